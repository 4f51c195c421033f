# The two commands of a newcomer: `make demo` and `make test`. Both make .venv themselves.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test chaos long fuzz mutations schedules properties bundles up check bench lock clean

demo: .venv/.installed
	@$(BIN)/prodai demo $(if $(FILE),"$(FILE)")

test: .venv/.installed
	@$(BIN)/pytest -n 3 --dist loadgroup $(TESTS)

# All faults on the local cloud, about seven minutes; writes docs/faults.md.
chaos: .venv/.installed
	@CHAOS=full UPDATE_DOCS=1 $(BIN)/pytest tests/chaos

# What `make test` takes a sample of, in full, one after another, before a release; each takes some minutes:
# - fuzz: 2,000 damaged sound files, and a small one that decodes to hours against the limits of production
# - mutations: every fault put into the security rules, one at a time, must be noticed (needs Firestore's emulator)
# - schedules: 10,000 schedules of requests against the limits, 5,000 steps of the waiting jobs (needs a Redis)
# - properties: 500 examples of whatever is tested by examples that are made up
# - bundles: the environment of a deployment, made by pip from a registry
long: fuzz mutations schedules properties bundles

fuzz: .venv/.installed
	@PRODAI_FUZZ_FILES=2000 $(BIN)/pytest --timeout 3600 tests/unit/test_engine_fuzz.py

mutations: .venv/.installed
	@$(BIN)/python -m tests.rules.mutations 1
	@PRODAI_MODEL_STEPS=5000 $(BIN)/pytest --timeout 3600 tests/rules/test_model.py

schedules: .venv/.installed
	@LIMIT_SCHEDULES=10000 $(BIN)/pytest --timeout 3600 tests/contract/test_limits.py
	@WAITING_STEPS=5000 $(BIN)/pytest --timeout 3600 tests/contract/test_waiting.py

properties: .venv/.installed
	@PRODAI_EXAMPLES=500 $(BIN)/pytest -n 2 --dist loadgroup --timeout 3600 tests/unit

bundles: .venv/.installed
	@PRODAI_PIP=1 $(BIN)/pytest tests/contract/test_bundles.py

up: .venv/.installed
	@$(BIN)/prodai up

check: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@for function in upload analyze chat metrics; do $(BIN)/mypy functions/$$function/main.py || exit 1; done

bench: bench-engine

bench-%: .venv/.installed
	@$(BIN)/python -m benchmarks.$(subst -,_,$*)

# The locks, made anew: what is developed with, from pyproject.toml, and what each function gets, from its requirements.in;
# the versions of the second are those of the first.
PIP_COMPILE = $(BIN)/pip-compile --quiet --strip-extras --no-header --no-emit-index-url --no-emit-trusted-host \
	--no-emit-find-links --no-annotate
lock: .venv/.installed
	$(PIP_COMPILE) --extra dev --output-file requirements-dev.txt pyproject.toml
	@for function in upload analyze chat metrics; do $(PIP_COMPILE) --constraint requirements-dev.txt \
		--output-file functions/$$function/requirements.txt functions/$$function/requirements.in || exit 1; done

.venv/.installed: requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "prodai needs Python 3.11, 3.12 or 3.13; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12")'
	@echo "setting up .venv (once) …"
	@$(PYTHON) -m venv .venv || { echo "python3 has no venv module: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --root-user-action ignore -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --editable .
	@$(BIN)/python -m local.prepare
	@touch $@

clean:
	rm -rf .venv .prodai
