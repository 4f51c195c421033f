"""The ledger of what models cost: a document per day, user and model, exact however many write at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from google.cloud.firestore import Client

from shared import clients
from shared.documents import as_service
from tests.rules.firestore import Firestore


def test_calls_written_at_once_add_up_and_nobody_elses_are_touched(
    firestore: Firestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore.host)
    client = Client(project=firestore.project)
    monkeypatch.setattr(clients, "firestore", lambda: client)
    with ThreadPoolExecutor(8) as threads:
        for number in range(40):
            uid = "ana" if number % 2 else "bob"
            threads.submit(as_service.add_to_ledger, "20261124", uid, "vendor/small:1", 1_000, 100, 210)
    written = client.document("ledger/20261124_ana_vendor-small-1").get().to_dict()
    assert written == {
        "day": "20261124",
        "uid": "ana",
        "model": "vendor/small:1",
        "calls": 20,
        "promptTokens": 20_000,
        "completionTokens": 2_000,
        "costMicroUsd": 4_200,
    }
    assert len(list(client.collection("ledger").stream())) == 2
    client.close()  # type: ignore[no-untyped-call]
