"""Everything of one user: gathered for the export, and deleted step by step with a record of what was deleted.

Each step deletes documents and counts them in one batch, so an interrupted deletion goes on where it stopped, and the
record `deletions/{uid}` is exact.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared import clients
from shared.documents.as_service import DEADLINE_S
from shared.documents.library import FieldFilter, exceptions, firestore, listed
from shared.documents.records import Track, track_of

PAGE = 200


@dataclass(frozen=True)
class Deletion:
    """The proof: how many documents and objects of each kind were deleted, and when."""

    counts: Mapping[str, int]
    started_at: datetime
    completed_at: datetime | None


def export(uid: str) -> dict[str, Any]:
    """All documents of a user, as they are stored, with their ids."""
    tracks = [_with_id(snapshot) for snapshot in _owned("tracks", uid)]
    conversations = []
    for snapshot in _conversations(uid):
        messages = [_with_id(message) for message in listed(snapshot.reference.collection("messages"), DEADLINE_S)]
        conversations.append({**_with_id(snapshot), "messages": messages})
    profile = clients.firestore().document(f"users/{uid}").get(timeout=DEADLINE_S)
    return {
        "profile": profile.to_dict(),
        "usage": [_with_id(snapshot) for snapshot in _owned("usage", uid)],
        "ledger": [_with_id(snapshot) for snapshot in _owned("ledger", uid)],
        "tracks": tracks,
        "analyses": [_with_id(snapshot) for snapshot in _owned("analyses", uid)],
        "contents": [_with_id(snapshot) for snapshot in _owned("contents", uid)],
        "conversations": conversations,
        "requests": [_with_id(snapshot) for snapshot in _owned("requests", uid)],
    }


def begin_deletion(uid: str) -> None:
    """Records that a deletion is wanted and shuts the account, so that nothing new comes to be; once, however often."""
    batch = clients.firestore().batch()
    record = {"uid": uid, "startedAt": firestore.SERVER_TIMESTAMP, "completedAt": None, "counts": {}}
    batch.create(_record(uid), record)
    batch.set(clients.firestore().document(f"users/{uid}"), {"planStatus": "deleted"}, merge=True)
    with contextlib.suppress(exceptions.AlreadyExists, exceptions.Conflict):
        batch.commit(timeout=DEADLINE_S)


def deletion(uid: str) -> Deletion | None:
    snapshot = _record(uid).get(timeout=DEADLINE_S)
    if not snapshot.exists:
        return None
    data = snapshot.to_dict()
    return Deletion(data["counts"], data["startedAt"], data["completedAt"])


def unfinished_deletions() -> list[str]:
    wanted = FieldFilter("completedAt", "==", None)
    deletions = clients.firestore().collection("deletions").where(filter=wanted)
    return [snapshot.id for snapshot in listed(deletions, DEADLINE_S)]


def deletions_completed_since(moment: datetime) -> list[str]:
    lately = FieldFilter("completedAt", ">=", moment)
    deletions = clients.firestore().collection("deletions").where(filter=lately)
    return [snapshot.id for snapshot in listed(deletions, DEADLINE_S)]


def tracks(uid: str) -> Iterator[Track]:
    for snapshot in _owned("tracks", uid):
        found = track_of(snapshot)
        if found is not None:
            yield found


def delete_track(track: Track, objects: int) -> None:
    """Deletes a track's documents once its objects are gone, counting both."""
    named = {
        "analyses": f"analyses/{track.id}",
        "sessions": f"uploadSessions/{track.id}",
        "tracks": f"tracks/{track.id}",
    }
    references = [(kind, clients.firestore().document(path)) for kind, path in named.items()]
    there = [(kind, r) for kind, r in references if r.get(field_paths=["uid"], timeout=DEADLINE_S).exists]
    _delete(track.uid, there, {"objects": objects})


def delete_rest(uid: str) -> Iterator[None]:
    """Deletes, batch by batch, the conversations with their messages, the usage, and the profile last of all."""
    for conversation in _conversations(uid):
        messages = conversation.reference.collection("messages")
        while page := listed(messages.limit(PAGE), DEADLINE_S):
            _delete(uid, [("messages", message.reference) for message in page], {})
            yield
        _delete_unchanged(uid, conversation)
        yield
    for kind in ("contents", "usage", "ledger", "requests"):
        for snapshot in _owned(kind, uid):
            _delete(uid, [(kind, snapshot.reference)], {})
            yield
    profile = clients.firestore().document(f"users/{uid}")
    if profile.get(timeout=DEADLINE_S).exists:
        _delete(uid, [("profile", profile)], {})
        yield


def complete_deletion(uid: str) -> None:
    _record(uid).update({"completedAt": firestore.SERVER_TIMESTAMP}, timeout=DEADLINE_S)


def _delete_unchanged(uid: str, conversation: Any) -> None:
    """A conversation that got a message meanwhile stays for the next pass: without it, nobody finds the message."""
    batch = clients.firestore().batch()
    batch.delete(conversation.reference, clients.firestore().write_option(last_update_time=conversation.update_time))
    batch.update(_record(uid), {"counts.conversations": firestore.Increment(1), "completedAt": None})
    with contextlib.suppress(exceptions.FailedPrecondition, exceptions.NotFound, exceptions.Aborted):
        batch.commit(timeout=DEADLINE_S)


def _delete(uid: str, references: list[tuple[str, Any]], further: Mapping[str, int]) -> None:
    """Deletes and counts in one batch. A deletion that was completed is open again: something had come to be."""
    batch = clients.firestore().batch()
    counts = dict(further)
    for kind, reference in references:
        batch.delete(reference)
        counts[kind] = counts.get(kind, 0) + 1
    increments = {f"counts.{kind}": firestore.Increment(count) for kind, count in counts.items() if count}
    if increments:
        batch.update(_record(uid), {**increments, "completedAt": None})
    batch.commit(timeout=DEADLINE_S)


def _record(uid: str) -> Any:
    return clients.firestore().document(f"deletions/{uid}")


def _owned(collection: str, uid: str) -> list[Any]:
    query = clients.firestore().collection(collection).where(filter=FieldFilter("uid", "==", uid))
    return listed(query, DEADLINE_S)


def _conversations(uid: str) -> list[Any]:
    mine = FieldFilter("participants", "array_contains", uid)
    return listed(clients.firestore().collection("conversations").where(filter=mine), DEADLINE_S)


def _with_id(snapshot: Any) -> dict[str, Any]:
    return {"id": snapshot.id, **snapshot.to_dict()}
