"""The house of design.md: who may import whom, and which libraries live where."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"upload": "uploads", "analyze": "analysis", "chat": "assistant", "metrics": "monitoring"}
FUNCTION_FILES = sorted((ROOT / "functions").rglob("*.py"))
SHARED_FILES = sorted((ROOT / "shared").rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute, as in the bundle"
            yield (node.module or "").split(".")[0]


def test_there_is_something_to_check() -> None:
    assert len(FUNCTION_FILES) > 15
    assert len(SHARED_FILES) > 10


@pytest.mark.parametrize("path", FUNCTION_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_function_imports_its_own_package_and_shared_only(path: Path) -> None:
    function = path.relative_to(ROOT / "functions").parts[0]
    forbidden = {"local", "tests", "benchmarks", "functions", "main"} | set(PACKAGES.values()) - {PACKAGES[function]}
    assert not forbidden & set(imported(path))


@pytest.mark.parametrize("path", SHARED_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_shared_imports_no_function(path: Path) -> None:
    assert not {"local", "tests", "functions", *PACKAGES.values()} & set(imported(path))


@pytest.mark.parametrize("path", [*FUNCTION_FILES, *SHARED_FILES], ids=lambda p: str(p.relative_to(ROOT)))
def test_numpy_and_soundfile_live_in_analyze_and_heavy_libraries_nowhere(path: Path) -> None:
    names = set(imported(path))
    assert not {"scipy", "numba", "librosa", "pandas"} & names
    if "analyze" not in path.parts:
        assert not {"numpy", "soundfile"} & names


@pytest.mark.parametrize("path", [*FUNCTION_FILES, *SHARED_FILES], ids=lambda p: str(p.relative_to(ROOT)))
def test_only_the_documents_package_knows_firestore(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    if "documents" not in path.parts and path.name != "clients.py":
        assert "cloud.firestore" not in source
        assert "cloud import firestore" not in source


@pytest.mark.parametrize("function", PACKAGES)
def test_a_main_only_parses_calls_and_answers(function: str) -> None:
    lines = (ROOT / "functions" / function / "main.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 80
