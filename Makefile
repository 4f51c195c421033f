# The two commands of a newcomer: `make demo` and `make test`. Both make .venv themselves.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test up check bench lock clean

demo: .venv/.installed
	@$(BIN)/prodai demo $(if $(FILE),"$(FILE)")

test: .venv/.installed
	@$(BIN)/pytest -n 2 --dist loadgroup $(TESTS)

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

# The development lock, made anew from pyproject.toml.
lock: .venv/.installed
	$(BIN)/pip-compile --quiet --extra dev --strip-extras --no-header --no-emit-index-url --no-emit-trusted-host \
		--no-emit-find-links --no-annotate --output-file requirements-dev.txt pyproject.toml

.venv/.installed: requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "prodai needs Python 3.11, 3.12 or 3.13; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12")'
	@echo "setting up .venv (once) …"
	@$(PYTHON) -m venv .venv || { echo "python3 has no venv module: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --root-user-action ignore -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --editable .
	@touch $@

clean:
	rm -rf .venv .prodai
