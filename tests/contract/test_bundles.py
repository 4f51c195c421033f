"""Every function is staged with `shared/` into a clean bundle that runs with its own requirements and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy import bundle, smoke

pytestmark = pytest.mark.xdist_group("bundles")

ROOT = Path(__file__).resolve().parents[2]
DEPLOYABLES = json.loads((ROOT / "functions" / "deployables.json").read_text("utf-8"))["deployables"]
SOURCES = sorted({deployable["source"] for deployable in DEPLOYABLES})
PACKAGES = {"upload": "uploads", "analyze": "analysis", "chat": "assistant", "metrics": "monitoring"}
NO_REGISTRY = ("No matching distribution", "Temporary failure", "ConnectionError", "Connection refused", "ProxyError")


@dataclass(frozen=True)
class Staged:
    folder: Path
    python: Path


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Staged]:
    """Every bundle as ./deploy.sh stages it, each with an environment made from its requirements alone."""
    place = tmp_path_factory.mktemp("bundles")
    stage_all = [str(ROOT / "deploy.sh"), "all", "--stage", str(place)]
    subprocess.run(stage_all, env={"PATH": os.environ["PATH"]}, check=True, capture_output=True, timeout=60)

    def prepared(source: str) -> Staged:
        folder = place / Path(source).name
        return Staged(folder, smoke.make_environment(folder / "requirements.txt", place / f"{folder.name}.venv"))

    try:
        with ThreadPoolExecutor(2) as pool:
            return dict(zip(SOURCES, pool.map(prepared, SOURCES), strict=True))
    except smoke.Failed as failed:
        if any(sign in str(failed) for sign in NO_REGISTRY):
            pytest.skip(f"pip reaches no package registry: {str(failed).splitlines()[-1]}")
        raise


@pytest.mark.parametrize("source", SOURCES)
def test_a_bundle_loads_in_an_empty_environment_from_outside_the_repository(
    bundles: Mapping[str, Staged], source: str
) -> None:
    staged = bundles[source]
    code = "import sys; sys.path.insert(0, sys.argv[1]); import main; print(main.__file__, *sys.path)"
    loaded, *path = smoke.load(staged.python, staged.folder, [], code).split()
    assert loaded == str(staged.folder / "main.py")
    assert not [entry for entry in path if Path(entry).is_relative_to(ROOT)]


@pytest.mark.parametrize("source", SOURCES)
def test_functions_framework_serves_each_entry_point_of_the_bundle(bundles: Mapping[str, Staged], source: str) -> None:
    targets = [deployable["entryPoint"] for deployable in DEPLOYABLES if deployable["source"] == source]
    smoke.load(bundles[source].python, bundles[source].folder, targets)


@pytest.mark.parametrize("source", SOURCES)
def test_every_module_of_the_bundle_finds_what_it_imports(bundles: Mapping[str, Staged], source: str) -> None:
    staged = bundles[source]
    modules = [".".join(path.relative_to(staged.folder).with_suffix("").parts) for path in staged.folder.rglob("*.py")]
    unused_here = [name for name in modules if name.startswith("shared.") and not _needed(name, staged.folder)]
    code = (
        "import importlib, sys\nsys.path.insert(0, sys.argv[1])\n"
        "for name in sys.argv[2:]: importlib.import_module(name.removesuffix('.__init__'))"
    )
    smoke.load(staged.python, staged.folder, sorted(set(modules) - set(unused_here)), code)


@pytest.mark.parametrize("source", SOURCES)
def test_neither_the_local_cloud_nor_tests_nor_another_function_can_be_imported(
    bundles: Mapping[str, Staged], source: str
) -> None:
    staged = bundles[source]
    strangers = {"local", "tests", "benchmarks", "deploy", "pytest"} | set(PACKAGES.values())
    strangers -= {PACKAGES[Path(source).name]}
    code = (
        "import importlib.util, sys\nsys.path.insert(0, sys.argv[1])\n"
        "print(*[name for name in sys.argv[2:] if importlib.util.find_spec(name)])"
    )
    assert smoke.load(staged.python, staged.folder, sorted(strangers), code).split() == []


@pytest.mark.parametrize("source", SOURCES)
def test_a_bundle_holds_its_function_and_shared_and_nothing_else(bundles: Mapping[str, Staged], source: str) -> None:
    function = Path(source).name
    folder = bundles[source].folder
    assert {path.name for path in folder.iterdir()} == {"main.py", "requirements.txt", "shared", PACKAGES[function]}
    staged = sorted(path for path in folder.rglob("*") if path.is_file())
    assert {path.suffix for path in staged} <= {".py", ".json", ".lua", ".txt"}
    for path in staged:
        name = path.relative_to(folder)
        original = ROOT / name if name.parts[0] == "shared" else ROOT / source / name
        assert original.is_file(), name


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
def test_requirements_are_pinned_one_by_one(source: str) -> None:
    lines = (ROOT / source / "requirements.txt").read_text("utf-8").split()
    assert [line for line in lines if line.count("==") != 1] == []


def _needed(module: str, folder: Path) -> bool:
    """Whether the function's own code, or shared code that it reaches, imports this module of shared."""
    reached, waiting = set(), [path for path in folder.rglob("*.py") if "shared" not in path.relative_to(folder).parts]
    while waiting:
        path = waiting.pop()
        for name in _shared_imports(path):
            candidate = folder / (name.replace(".", "/") + ".py")
            candidate = candidate if candidate.is_file() else folder / name.replace(".", "/") / "__init__.py"
            if name not in reached and candidate.is_file():
                reached.add(name)
                waiting.append(candidate)
    return module.removesuffix(".__init__") in reached


def _shared_imports(path: Path) -> list[str]:
    import ast

    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("shared"):
            names += [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names
