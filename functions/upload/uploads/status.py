"""`GET` and `DELETE /v1/uploads/{id}`: where a track stands, and taking it back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from shared import objects, telemetry
from shared.analyses import own_analysis
from shared.documents import as_service
from shared.documents.as_user import UserDocuments
from shared.documents.records import State, Track
from shared.identity import Caller
from shared.objects import ObjectVersion
from shared.problems import Problem
from shared.waiting import queue
from uploads import leases, sessions

ATTEMPTS = 5  # a track may move while it is being cancelled


def show(caller: Caller, track_id: str) -> dict[str, Any]:
    """The status of a track of the caller's.

    Raises Problem `not-found`, and `upload-expired` (410), which carries the status too, for one whose time is over.
    """
    documents = UserDocuments(caller)
    track = _own_track(documents, track_id)
    received = track.size_bytes
    if track.state == "awaiting-upload":
        track, received = _asked_storage(track)
    status = {
        "trackId": track.id,
        "state": track.state,
        "progress": track.progress,
        "receivedBytes": received,
        "queue": _place(track),
        "problem": track.problem,
        "reusedFrom": track.reused_from,
        "analysis": own_analysis(documents, track.id) if track.state == "done" else None,
    }
    if track.state == "expired":
        raise Problem("upload-expired", sessions.EXPIRED, status)
    return status


def cancel(caller: Caller, track_id: str) -> dict[str, Any]:
    """Takes a track back before it is analysed; its count is given back. Once cancelled, it stays so.

    Raises Problem `not-found`, or `conflict` for a track that has ended otherwise.
    """
    documents = UserDocuments(caller)
    for _ in range(ATTEMPTS):
        track = _own_track(documents, track_id)
        if track.state == "cancelled":
            break
        if track.ended:
            raise Problem("conflict", f"The track is {track.state} already; it cannot be cancelled any more.")
        if as_service.end_without_analysis(track, "cancelled"):
            _let_go(track)
            break
    else:
        raise Problem("conflict", "The track is changing right now; try again in a moment.")
    return show(caller, track_id)


def _own_track(documents: UserDocuments, track_id: str) -> Track:
    track = documents.track(track_id)
    if track is None:
        raise Problem("not-found", "There is no such track of yours.")
    return track


def _place(track: Track) -> dict[str, int] | None:
    """The place in the queue, 1 being next, and the expected wait; None where it does not wait, or nobody can say."""
    place = queue().place(track.id) if track.state == "queued" else None
    return {"position": place.position, "etaS": place.eta_s} if place else None


def _asked_storage(track: Track) -> tuple[Track, int]:
    """The track and the bytes that storage has. A session that is over, here or there, ends the track."""
    session = as_service.session(track.id)
    if session is None:
        return track, 0
    progress = sessions.progress(session, track.size_bytes)
    if progress.status == "complete":
        return track, progress.received_bytes
    if progress.status == "gone":
        detail = (
            f"Storage closed this upload: the bytes were not the {track.size_bytes} that were announced, "
            "or it was cancelled there. Start a new upload."
        )
        return _ended(track, "failed", Problem("upload-mismatch", detail)), 0
    if session.expires_at <= datetime.now(UTC):
        sessions.cancel(session)
        return _ended(track, "expired", Problem("upload-expired", sessions.EXPIRED)), 0
    leases.opened(track.id)
    return track, progress.received_bytes


def _ended(track: Track, state: State, problem: Problem) -> Track:
    current = as_service.track(track.id)
    if current is not None and current.state == "awaiting-upload":
        as_service.end_without_analysis(current, state, problem)
        leases.closed(track.id)
    return as_service.track(track.id) or track


def _let_go(track: Track) -> None:
    """A cancelled track leaves the queue, and its bytes go; what stays behind, the bucket's lifecycle removes."""
    leases.closed(track.id)
    queue().cancel(track.id)
    try:
        session = as_service.session(track.id)
        if session is not None and track.state == "awaiting-upload":
            sessions.cancel(session)
        if track.bucket is not None and track.generation is not None:
            objects.delete(ObjectVersion(track.bucket, track.object_name, track.generation))
    except Exception as error:
        telemetry.warning("bytes of a cancelled track were left behind", error=type(error).__name__)
