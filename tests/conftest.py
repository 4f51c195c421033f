"""One local cloud for all tests that need a whole one; these stay on one worker, one after another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import analysis  # noqa: F401  # before any test loads numpy: one thread for its linear algebra, as in production
from local import emulators
from tests.cloud import LocalCloud, alive, end_cloud, end_guards, start_cloud

HERE = Path(__file__).parent

settings.register_profile("suite", max_examples=int(os.environ.get("PRODAI_EXAMPLES", "40")))
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {HERE / "e2e", HERE / "chaos"} & set(item.path.parents):
            item.add_marker(pytest.mark.xdist_group("cloud"))


def pytest_unconfigure() -> None:
    end_guards()


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    reason = emulators.missing()
    if reason:
        pytest.skip(reason)
    ready_file = tmp_path_factory.mktemp("cloud") / "ready.json"
    process = start_cloud(ready_file)
    running = LocalCloud(ready_file)
    yield running
    pids = running.ready["pids"]
    end_cloud(process)
    assert process.returncode == 0
    assert {name for name, pid in pids.items() if alive(pid)} == set()


@pytest.fixture(scope="session")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's track."""
    from local import synth

    path = tmp_path_factory.mktemp("song") / "song.wav"
    synth.make(path)
    return path
