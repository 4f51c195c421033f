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
from shared.documents.library import FieldFilter, exceptions, firestore
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
        messages = [
            _with_id(message) for message in snapshot.reference.collection("messages").stream(timeout=DEADLINE_S)
        ]
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


def unfinished_deletions() -> Iterator[str]:
    wanted = FieldFilter("completedAt", "==", None)
    for snapshot in clients.firestore().collection("deletions").where(filter=wanted).stream(timeout=DEADLINE_S):
        yield snapshot.id


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


def delete_rest(uid: str) -> None:
    """Deletes the conversations with their messages, the usage, and the profile last of all."""
    for conversation in _conversations(uid):
        messages = conversation.reference.collection("messages")
        while page := list(messages.limit(PAGE).stream(timeout=DEADLINE_S)):
            _delete(uid, [("messages", message.reference) for message in page], {})
        _delete(uid, [("conversations", conversation.reference)], {})
    for kind in ("contents", "usage", "ledger"):
        for snapshot in _owned(kind, uid):
            _delete(uid, [(kind, snapshot.reference)], {})
    profile = clients.firestore().document(f"users/{uid}")
    if profile.get(timeout=DEADLINE_S).exists:
        _delete(uid, [("profile", profile)], {})
    _record(uid).update({"completedAt": firestore.SERVER_TIMESTAMP}, timeout=DEADLINE_S)


def _delete(uid: str, references: list[tuple[str, Any]], further: Mapping[str, int]) -> None:
    batch = clients.firestore().batch()
    counts = dict(further)
    for kind, reference in references:
        batch.delete(reference)
        counts[kind] = counts.get(kind, 0) + 1
    increments = {f"counts.{kind}": firestore.Increment(count) for kind, count in counts.items() if count}
    if increments:
        batch.update(_record(uid), increments)
    batch.commit(timeout=DEADLINE_S)


def _record(uid: str) -> Any:
    return clients.firestore().document(f"deletions/{uid}")


def _owned(collection: str, uid: str) -> list[Any]:
    query = clients.firestore().collection(collection).where(filter=FieldFilter("uid", "==", uid))
    return list(query.stream(timeout=DEADLINE_S))


def _conversations(uid: str) -> list[Any]:
    mine = FieldFilter("participants", "array_contains", uid)
    return list(clients.firestore().collection("conversations").where(filter=mine).stream(timeout=DEADLINE_S))


def _with_id(snapshot: Any) -> dict[str, Any]:
    return {"id": snapshot.id, **snapshot.to_dict()}
