"""Every function is staged with `shared/` into a clean bundle that runs with its own requirements and nothing else."""

from __future__ import annotations

import ast
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks import cold
from deploy import bundle, smoke
from local import environments

pytestmark = pytest.mark.xdist_group("bundles")

ROOT = Path(__file__).resolve().parents[2]
DEPLOYABLES = json.loads((ROOT / "functions" / "deployables.json").read_text("utf-8"))["deployables"]
SOURCES = sorted({deployable["source"] for deployable in DEPLOYABLES})
PACKAGES = {"upload": "uploads", "analyze": "analysis", "chat": "assistant", "metrics": "monitoring"}
NO_REGISTRY = ("No matching distribution", "Temporary failure", "ConnectionError", "Connection refused", "ProxyError")
LOADING = """
import importlib, importlib.util, json, sys, traceback
bundle, asked = sys.argv[1], json.loads(sys.argv[2])
sys.path.insert(0, bundle)
found = {"path": sys.path[1:], "strangers": [name for name in asked["strangers"] if importlib.util.find_spec(name)]}
import functions_framework
applications = [functions_framework.create_app(target, f"{bundle}/main.py") for target in asked["targets"]]
found["targets"] = len(applications)
missing = [name for name in asked["imports"] if not importlib.util.find_spec(name)]
found["faults"] = [f"{name} is imported but not required" for name in missing]
for name in asked["modules"]:
    try:
        importlib.import_module(name)
    except Exception:
        found["faults"].append(f"{name}: {traceback.format_exc()}")
found["main"] = importlib.import_module("main").__file__
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Staged:
    source: str
    folder: Path
    loaded: Mapping[str, Any]  # what LOADING saw, in an environment with only this bundle's requirements


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every bundle as ./deploy.sh stages it."""
    place = tmp_path_factory.mktemp("bundles")
    stage_all = [str(ROOT / "deploy.sh"), "all", "--stage", str(place)]
    subprocess.run(stage_all, env={"PATH": os.environ["PATH"]}, check=True, capture_output=True, timeout=60)
    return place


@pytest.fixture(scope="module", params=SOURCES)
def staged(request: pytest.FixtureRequest, place: Path) -> Staged:
    """One of them, loaded once in an environment made from its requirements alone."""
    return _loaded(request.param, place / Path(request.param).name)


def _loaded(source: str, folder: Path) -> Staged:
    python = environments.linked(folder / "requirements.txt", folder.with_suffix(".venv"))
    modules = {".".join(path.relative_to(folder).with_suffix("").parts) for path in folder.rglob("*.py")}
    reached = _reached(folder)
    unused_here = {
        name for name in modules if name.startswith("shared.") and name.removesuffix(".__init__") not in reached
    }
    strangers = {"local", "tests", "benchmarks", "deploy", "pytest"} | set(PACKAGES.values()) - {PACKAGES[folder.name]}
    asked = {
        "strangers": sorted(strangers),
        "targets": [deployable["entryPoint"] for deployable in DEPLOYABLES if deployable["source"] == source],
        "imports": sorted(
            {
                name.partition(".")[0]
                for path in (folder / PACKAGES[folder.name]).rglob("*.py")
                for name in _imports(path)
            }
        ),
        "modules": sorted(name.removesuffix(".__init__") for name in modules - unused_here),
    }
    printed = smoke.load(python, folder, [json.dumps(asked)], LOADING).splitlines()
    return Staged(source, folder, json.loads(next(line for line in printed if line.startswith('{"path"'))))


def test_a_bundle_loads_in_an_empty_environment_from_outside_the_repository(staged: Staged) -> None:
    assert staged.loaded["main"] == str(staged.folder / "main.py")
    assert not [entry for entry in staged.loaded["path"] if Path(entry).is_relative_to(ROOT)]


def test_functions_framework_serves_each_entry_point_of_the_bundle(staged: Staged) -> None:
    assert staged.loaded["targets"] == [row["source"] for row in DEPLOYABLES].count(staged.source)


def test_every_module_of_the_bundle_finds_what_it_imports(staged: Staged) -> None:
    assert staged.loaded["faults"] == []


def test_neither_the_local_cloud_nor_tests_nor_another_function_can_be_imported(staged: Staged) -> None:
    assert staged.loaded["strangers"] == []


def test_a_bundle_holds_its_function_and_shared_and_nothing_else(staged: Staged) -> None:
    folder = staged.folder
    assert {path.name for path in folder.iterdir()} == {"main.py", "requirements.txt", "shared", PACKAGES[folder.name]}
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert {path.suffix for path in files} <= {".py", ".json", ".lua", ".txt"}
    for path in files:
        name = path.relative_to(folder)
        original = ROOT / name if name.parts[0] == "shared" else ROOT / staged.source / name
        assert original.is_file(), name


@pytest.mark.skipif(not os.environ.get("PRODAI_PIP"), reason="pip takes its time: `make bundles` runs this")
def test_pip_makes_the_environment_of_a_deployment_from_a_registry(tmp_path: Path, place: Path) -> None:
    folder = place / "metrics"
    try:
        python = smoke.make_environment(folder / "requirements.txt", tmp_path / "environment")
    except smoke.Failed as failed:
        if any(sign in str(failed) for sign in NO_REGISTRY):
            pytest.skip(f"pip reaches no package registry: {str(failed).splitlines()[-1]}")
        raise
    smoke.load(python, folder, ["metrics"])


def test_what_lies_around_in_a_source_folder_is_not_deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "functions/upload/main.py",
        "functions/upload/requirements.txt",
        "functions/upload/uploads/rules.json",
        "functions/upload/uploads/.env",
        "functions/upload/uploads/notes.md",
        "functions/upload/uploads/__pycache__/x.cpython-311.py",
        "functions/upload/tests/test_x.py",
        "functions/upload/.env",
        "functions/upload/key.json",
        "shared/settings.py",
        "shared/count.lua",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    monkeypatch.setattr(bundle, "ROOT", tmp_path)
    bundle.stage("functions/upload", tmp_path / "staged")
    staged = {str(p.relative_to(tmp_path / "staged")) for p in (tmp_path / "staged").rglob("*") if p.is_file()}
    expected = {"main.py", "requirements.txt", "uploads/rules.json", "shared/settings.py", "shared/count.lua"}
    assert staged == expected


def test_the_same_files_give_the_same_fingerprint_and_a_changed_one_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("functions/upload/main.py", "functions/upload/requirements.txt", "shared/settings.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    monkeypatch.setattr(bundle, "ROOT", tmp_path)
    first = bundle.stage("functions/upload", tmp_path / "first")
    assert bundle.stage("functions/upload", tmp_path / "second") == first
    (tmp_path / "shared/settings.py").write_text("y")
    assert bundle.stage("functions/upload", tmp_path / "third") != first
    with pytest.raises(ValueError, match="not empty"):
        bundle.stage("functions/upload", tmp_path / "third")


@pytest.mark.parametrize("source", SOURCES)
def test_requirements_pin_all_that_the_function_asks_for_and_all_that_this_asks_for_in_turn(source: str) -> None:
    """Or the day of the build would decide on versions. `make lock` writes them anew."""
    asked = [Requirement(line) for line in (ROOT / source / "requirements.in").read_text("utf-8").split()]
    pinned = dict(line.split("==") for line in (ROOT / source / "requirements.txt").read_text("utf-8").split())
    tested = (ROOT / "requirements-dev.txt").read_text("utf-8").split("\n")
    assert set(pinned) == _closure(asked)
    assert [pin for pin in map("==".join, pinned.items()) if pin not in tested] == []


def test_a_start_that_misses_its_aim_is_told_by_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    aims = {case.name: True for case in cold.CASES}
    monkeypatch.setattr(cold, "measured", lambda case, *_: (case.name, aims[case.name]))
    assert cold.main(1) == 0
    aims["chat"] = False
    assert cold.main(1) == 1


def _closure(asked: list[Requirement]) -> set[str]:
    """All packages that come with the ones asked for, by the metadata of those installed here."""
    reached: set[tuple[str, str]] = set()
    waiting = [(requirement, extra) for requirement in asked for extra in ("", *requirement.extras)]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, extra) in reached:
            continue
        reached.add((name, extra))
        for inner in map(Requirement, metadata.requires(name) or ()):
            if inner.marker is None or inner.marker.evaluate({"extra": extra}):
                waiting += [(inner, wanted) for wanted in ("", *inner.extras)]
    return {name for name, _ in reached}


def _reached(folder: Path) -> set[str]:
    """The modules that the function's own code imports, and shared code that it reaches in turn."""
    reached: set[str] = set()
    waiting = [path for path in folder.rglob("*.py") if "shared" not in path.relative_to(folder).parts]
    while waiting:
        for name in _imports(waiting.pop()):
            candidate = folder / (name.replace(".", "/") + ".py")
            candidate = candidate if candidate.is_file() else folder / name.replace(".", "/") / "__init__.py"
            if name not in reached and candidate.is_file():
                reached.add(name)
                waiting.append(candidate)
    return reached


def _imports(path: Path) -> list[str]:
    """What a file imports, at its top or when it is first needed."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names
