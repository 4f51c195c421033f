"""`GET` and `DELETE /v1/account`: everything of one user, given out or deleted, objects included."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from shared import cache, events, objects, telemetry
from shared.analyses import cache_key
from shared.documents import account, as_service
from shared.documents.records import Track
from shared.identity import Caller
from shared.objects import ObjectVersion
from uploads import sessions

BUDGET_S = 20.0  # what one request spends on a deletion; the sweep goes on with the rest


def export(caller: Caller) -> dict[str, Any]:
    return {"uid": caller.uid, **account.export(caller.uid)}


def delete(caller: Caller) -> dict[str, Any]:
    """Deletes an account, or goes on with it, and answers the proof; `completedAt` is null while some is left.

    Of an account that was deleted before, what has come to be since is deleted too.
    """
    account.begin_deletion(caller.uid)
    continue_deletion(caller.uid, BUDGET_S)
    proof = account.deletion(caller.uid)
    if proof is None:
        raise RuntimeError("the record of a deletion is gone")
    return {
        "uid": caller.uid,
        "deleted": dict(proof.counts),
        "startedAt": proof.started_at.isoformat(),
        "completedAt": proof.completed_at.isoformat() if proof.completed_at else None,
    }


def continue_deletion(uid: str, budget_s: float) -> None:
    """Deletes until a pass over everything finds nothing, or the time is up; every step may be repeated."""
    ends = time.monotonic() + budget_s
    found = True
    while found:
        found = False
        for _ in _deleting(uid):
            found = True
            if time.monotonic() > ends:
                return
    proof = account.deletion(uid)
    if proof is not None and proof.completed_at is None:
        account.complete_deletion(uid)
        of_all = sum(proof.counts.values())  # more, where something came to be after an earlier completion
        events.track_usage(events.ACCOUNT_DELETED, uid, f"{uid}/deleted/{of_all}", {})
        telemetry.info("an account was deleted")


def _deleting(uid: str) -> Iterator[None]:
    for track in account.tracks(uid):
        _delete_track(track)
        yield
    yield from account.delete_rest(uid)


def _delete_track(track: Track) -> None:
    session = as_service.session(track.id)
    if session is not None and track.state == "awaiting-upload":
        sessions.cancel(session)
    stored = track.bucket is not None and track.generation is not None
    if track.bucket is not None and track.generation is not None:
        objects.delete(ObjectVersion(track.bucket, track.object_name, track.generation))
    cache.forget(cache_key(track.uid, track.id))
    account.delete_track(track, objects=int(stored))
