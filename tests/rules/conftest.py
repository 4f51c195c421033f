"""A Firestore emulator for each file of the rules' tests; visibly skipped where it cannot run.

One for a file, not one for all: it keeps what was ever written in its memory, and grows slow.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from google.cloud.firestore import Client

from local import emulators
from shared import clients
from tests.rules.emulator import running_emulator
from tests.rules.firestore import Firestore


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("rules"))  # one emulator at a time


@pytest.fixture(scope="module")
def firestore() -> Iterator[Firestore]:
    reason = emulators.missing()
    if reason:
        pytest.skip(reason)
    with running_emulator() as started:
        yield started


@pytest.fixture
def client(firestore: Firestore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """The functions' own client, on the emulator."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore.host)
    made = Client(project=firestore.project)
    monkeypatch.setattr(clients, "firestore", lambda: made)
    yield made
    made.close()  # type: ignore[no-untyped-call]
