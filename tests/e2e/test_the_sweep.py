"""At each tick, what was left standing is moved on, and what is owed is given back once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import requests

from local.cloud import write_document
from tests.e2e.conftest import LocalCloud, eventually

BODY = {"filename": "song.wav", "sizeBytes": 1000, "contentType": "audio/wav"}
PAST = datetime.now(UTC) - timedelta(minutes=1)


def tick(cloud: LocalCloud) -> None:
    topic = f"http://{cloud.ready['pubsub']}/v1/projects/{cloud.ready['project']}/topics/tick:publish"
    requests.post(topic, json={"messages": [{"data": "e30="}]}, timeout=10).raise_for_status()


def announced(cloud: LocalCloud, uid: str) -> str:
    headers = {"Authorization": f"Bearer {cloud.token(uid)}"}
    answer = requests.post(f"{cloud.ready['upload']}/v1/uploads", json=BODY, headers=headers, timeout=30)
    assert cloud.usage(uid)["analyses"] == 1
    return str(answer.json()["trackId"])


def test_an_upload_that_nobody_finished_expires_and_its_count_is_given_back_once(cloud: LocalCloud) -> None:
    track_id = announced(cloud, "forgetful")
    write_document(cloud.ready["firestore"], f"uploadSessions/{track_id}", {"expiresAt": PAST})
    for _ in range(2):
        tick(cloud)
        eventually(lambda: cloud.document(f"tracks/{track_id}")["state"] == "expired")
    status = cloud.client("forgetful").status(track_id)
    assert status["problem"]["code"] == "upload-expired"
    assert cloud.usage("forgetful")["analyses"] == 0


def test_a_track_that_its_user_cancelled_in_firestore_gives_its_count_back(cloud: LocalCloud) -> None:
    track_id = announced(cloud, "direct-canceller")
    base = f"projects/{cloud.ready['project']}/databases/(default)/documents"
    write = {
        "update": {"name": f"{base}/tracks/{track_id}", "fields": {"state": {"stringValue": "cancelled"}}},
        "updateMask": {"fieldPaths": ["state"]},
        "updateTransforms": [{"fieldPath": "cancelledAt", "setToServerValue": "REQUEST_TIME"}],
    }
    headers = {"Authorization": f"Bearer {cloud.token('direct-canceller')}"}
    address = f"http://{cloud.ready['firestore']}/v1/{base}:commit"
    requests.post(address, json={"writes": [write]}, headers=headers, timeout=10).raise_for_status()
    tick(cloud)
    eventually(lambda: cloud.usage("direct-canceller")["analyses"] == 0)


def test_a_deletion_that_was_interrupted_is_finished_and_its_record_is_exact(cloud: LocalCloud) -> None:
    track_id = announced(cloud, "half-deleted")
    record = {"uid": "half-deleted", "startedAt": PAST, "completedAt": None, "counts": {"tracks": 4, "objects": 4}}
    write_document(cloud.ready["firestore"], "deletions/half-deleted", record)
    tick(cloud)
    eventually(lambda: cloud.document("deletions/half-deleted")["completedAt"])
    assert cloud.document(f"tracks/{track_id}") is None
    assert cloud.document("users/half-deleted") is None
    counts = cloud.document("deletions/half-deleted")["counts"]
    assert counts == {"tracks": 5, "objects": 4, "sessions": 1, "usage": 1, "profile": 1}


def test_the_stored_plan_follows_when_it_has_expired(cloud: LocalCloud) -> None:
    cloud.token("lapsed", "pro")
    write_document(cloud.ready["firestore"], "users/lapsed", {"planExpiresAt": PAST})
    tick(cloud)
    eventually(lambda: cloud.document("users/lapsed")["plan"] == "free")
    assert cloud.document("users/lapsed")["planStatus"] == "active"
