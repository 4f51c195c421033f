"""docs/openapi.yaml describes every endpoint that the functions answer, and no other."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import settings as settings_module

ROOT = Path(__file__).resolve().parents[2]
DESCRIPTION = (ROOT / "docs" / "openapi.yaml").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "GOOGLE_CLOUD_PROJECT": "p",
        "UPLOAD_BUCKETS": "us=a",
        "UPSTASH_REDIS_REST_URL": "http://127.0.0.1:9",
        "UPSTASH_REDIS_REST_TOKEN": "t",
    }.items():
        monkeypatch.setenv(name, value)
    settings_module.settings.cache_clear()
    yield
    settings_module.settings.cache_clear()


def answered() -> set[tuple[str, str]]:
    """Method and path of every endpoint, from each function's own table."""
    found = set()
    for function in ("upload", "chat", "metrics"):
        path = ROOT / "functions" / function / "main.py"
        spec = importlib.util.spec_from_file_location(f"main_of_{function}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        found |= {(e.method.lower(), re.sub(r"\{\w+\}", "{}", e.pattern)) for e in module.ENDPOINTS}
    return found


def described() -> set[tuple[str, str]]:
    """Method and path of every operation in the description, read by its indentation."""
    found, path = set(), ""
    for line in DESCRIPTION.partition("\npaths:\n")[2].partition("\ncomponents:\n")[0].splitlines():
        if match := re.fullmatch(r"  (/\S+):", line):
            path = re.sub(r"\{\w+\}", "{}", match[1])
        elif match := re.fullmatch(r"    (get|post|put|delete):", line):
            found.add((match[1], path))
    return found


def test_every_endpoint_is_described_and_no_other() -> None:
    assert described() == answered()
    assert len(answered()) >= 6
