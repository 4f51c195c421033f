"""What the service does with documents, on a real Firestore: found whatever their number, taken back, deleted whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.cloud.firestore import Client

from shared import cache, events
from shared.documents import account, as_service
from shared.documents.records import Session
from shared.identity import Caller
from shared.plans import month_of
from uploads import account as accounts

NOW = datetime.now(UTC)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of what metrics is told."""
    ids: list[str] = []
    monkeypatch.setattr(events, "track_usage", lambda _name, _uid, event_id, _data: ids.append(event_id))
    monkeypatch.setattr(cache, "forget", lambda _: None)
    return ids


def put_track(client: Client, track_id: str, uid: str, **fields: Any) -> None:
    document = {"uid": uid, "filename": "song.wav", "sizeBytes": 1, "contentType": "audio/wav", "mode": "genre"}
    document |= {"tier": "full", "createdAt": NOW, "state": "awaiting-upload"}
    client.document(f"tracks/{track_id}").set({**document, **fields})


def count(client: Client, uid: str) -> Any:
    return client.document(f"usage/{uid}_{month_of(NOW)}").get().get("analyses")


def test_of_more_tracks_than_one_tick_takes_every_one_has_its_turn(client: Client) -> None:
    ids = {f"{number:x}-track" for number in range(16)}
    for track_id in ids:
        put_track(client, track_id, "many", state="expired")
    assert {track.id for track in as_service.tracks_in("expired")} == ids
    seen: set[str] = set()
    for _ in range(500):
        some = [track.id for track in as_service.tracks_in("expired", 5)]
        assert len(set(some)) == len(some) == 5
        seen |= set(some)
        if seen == ids:
            break
    assert seen == ids


def test_of_cancelled_tracks_all_are_found_and_none_of_before(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(as_service, "PAGE", 4)
    for number in range(8):
        put_track(client, f"cancelled-{number}", "c", state="cancelled", cancelledAt=NOW, refunded=number < 7)
    put_track(client, "long-ago", "c", state="cancelled", cancelledAt=NOW - timedelta(days=3))
    found = as_service.tracks_cancelled_since(NOW - timedelta(days=2))
    assert sorted(track.id for track in found) == [f"cancelled-{number}" for number in range(8)]
    assert [track.id for track in found if not track.refunded] == ["cancelled-7"]


def test_an_upload_that_is_taken_back_leaves_nothing_and_counts_nothing(client: Client) -> None:
    put_track(client, "unopened", "back")
    as_service.put_session("unopened", Session("secret", "us", "b-us", NOW))
    client.document(f"usage/back_{month_of(NOW)}").set({"uid": "back", "analyses": 3})
    track = as_service.track("unopened")
    assert track is not None
    client.document("tracks/unopened").update({"state": "cancelled"})
    assert not as_service.take_back(track)
    assert count(client, "back") == 3
    current = as_service.track("unopened")
    assert current is not None
    assert as_service.take_back(current)
    assert (as_service.track("unopened"), as_service.session("unopened"), count(client, "back")) == (None, None, 2)


def talk(client: Client, uid: str, name: str) -> None:
    client.document(f"conversations/{name}").set({"participants": [uid], "trackIds": []})
    client.document(f"conversations/{name}/messages/q").set({"role": "user", "uid": uid})


def test_what_comes_to_be_behind_a_deletion_is_deleted_by_the_next_and_the_proof_says_so(
    client: Client, told: list[str]
) -> None:
    caller = Caller("leaver", "token")
    put_track(client, "of-leaver", "leaver")
    talk(client, "leaver", "talk")
    client.document("requests/leaver_q").set({"uid": "leaver", "digest": "0" * 64})  # what a key stands for
    assert [found["id"] for found in account.export("leaver")["requests"]] == ["leaver_q"]
    proof = accounts.delete(caller)
    assert proof["completedAt"] is not None
    assert proof["deleted"] == {"tracks": 1, "messages": 1, "conversations": 1, "requests": 1, "profile": 1}
    assert accounts.delete(caller) == proof
    assert told == ["leaver/deleted/5"]

    as_service.add_to_ledger("20261124", "leaver", "small", 1, 1, 1)  # an answer that was on its way
    client.document("users/leaver").set({"displayName": "back"})  # by a token that still lives
    again = accounts.delete(caller)
    assert again["deleted"] == {**proof["deleted"], "ledger": 1, "profile": 2}
    assert again["completedAt"] > proof["completedAt"] > again["startedAt"] == proof["startedAt"]
    assert not client.document("users/leaver").get().exists
    assert told[1:] == ["leaver/deleted/7"]


def test_a_deletion_that_runs_out_of_time_says_so_and_the_sweep_finishes_it(client: Client, told: list[str]) -> None:
    talk(client, "slow", "slow-talk")
    account.begin_deletion("slow")
    accounts.continue_deletion("slow", -1.0)
    half = account.deletion("slow")
    assert half is not None
    assert (half.counts, half.completed_at, told) == ({"messages": 1}, None, [])
    assert account.unfinished_deletions() == ["slow"]
    accounts.continue_deletion("slow", 10.0)
    assert account.unfinished_deletions() == []
    assert account.deletions_completed_since(NOW) != []
    assert told == ["slow/deleted/3"]


def test_an_answer_that_is_written_while_its_conversation_is_deleted_does_not_stay_behind(
    client: Client, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    talk(client, "hasty", "hasty-talk")
    account.begin_deletion("hasty")
    delete_conversation, late = account._delete_unchanged, ["late-answer"]

    def answered_meanwhile(uid: str, conversation: Any) -> None:
        while late:
            as_service.add_answer("hasty-talk", late.pop(), "Too late.")
        delete_conversation(uid, conversation)

    monkeypatch.setattr(account, "_delete_unchanged", answered_meanwhile)
    accounts.continue_deletion("hasty", 10.0)
    assert as_service.add_answer("hasty-talk", "later-still", "Too late.") == "Too late."
    assert list(client.collection("conversations/hasty-talk/messages").stream()) == []
    proof = account.deletion("hasty")
    assert proof is not None
    assert proof.counts == {"messages": 2, "conversations": 1, "profile": 1}
    assert proof.completed_at is not None


def test_an_answer_stands_once_in_a_conversation_that_is_there(client: Client) -> None:
    talk(client, "asker", "asked")
    assert [as_service.add_answer("asked", "a", text) for text in ("first", "second")] == ["first", "first"]
    assert as_service.open_conversation("asked", "asker", ["t"], "Hello.")
    assert not as_service.open_conversation("asked", "asker", ["t"], "Hello again.")
    assert not as_service.open_conversation("asked", "somebody", ["t"], "Hello.")
    names = [message.id for message in client.collection("conversations/asked/messages").stream()]
    assert sorted(names) == ["a", "opening", "q"]


def test_a_later_version_is_found_by_the_one_it_replaces_and_its_comparison_added(client: Client) -> None:
    put_track(client, "v2", "ana", replacesTrackId="v1")
    assert [track.id for track in as_service.tracks_replacing("v1")] == ["v2"]
    client.document("analyses/v2").set({"uid": "ana", "result": {"versionDeltas": {"metrics": None}, "file": {}}})
    metrics = {"loudness.integratedLufs": {"from": -12.0, "to": -9.0, "delta": 3.0}}
    as_service.put_version_deltas("v2", metrics)
    assert as_service.analysis("v2") == {"versionDeltas": {"metrics": metrics}, "file": {}}
