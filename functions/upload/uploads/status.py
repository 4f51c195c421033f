"""`GET` and `DELETE /v1/uploads/{id}`: where a track stands, and taking it back."""

from __future__ import annotations

from typing import Any

from shared import objects, telemetry
from shared.analyses import own_analysis
from shared.documents import as_service
from shared.documents.as_user import UserDocuments
from shared.documents.records import Track
from shared.identity import Caller
from shared.objects import ObjectVersion
from shared.problems import Problem
from uploads import sessions

ATTEMPTS = 5  # a track may move while it is being cancelled


def show(caller: Caller, track_id: str) -> dict[str, Any]:
    """The status of a track of the caller's. Raises Problem `not-found`."""
    documents = UserDocuments(caller)
    track = _own_track(documents, track_id)
    received = track.size_bytes
    if track.state == "awaiting-upload":
        track, received = _asked_storage(track)
    analysis = own_analysis(documents, track.id) if track.state == "done" else None
    return {
        "trackId": track.id,
        "state": track.state,
        "progress": track.progress,
        "receivedBytes": received,
        "queue": None,
        "problem": track.problem,
        "analysis": analysis,
    }


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
            _drop_bytes(track)
            break
    else:
        raise Problem("conflict", "The track is changing right now; try again in a moment.")
    return show(caller, track_id)


def _own_track(documents: UserDocuments, track_id: str) -> Track:
    track = documents.track(track_id)
    if track is None:
        raise Problem("not-found", "There is no such track of yours.")
    return track


def _asked_storage(track: Track) -> tuple[Track, int]:
    """The track and the bytes that storage has. A session that storage has closed ends the track."""
    session = as_service.session(track.id)
    if session is None:
        return track, 0
    progress = sessions.progress(session, track.size_bytes)
    if progress.status != "gone":
        return track, progress.received_bytes
    detail = (
        f"Storage closed this upload: the bytes were not the {track.size_bytes} that were announced, "
        "or it was cancelled there. Start a new upload."
    )
    current = as_service.track(track.id)
    if current is not None and current.state == "awaiting-upload":
        as_service.end_without_analysis(current, "failed", Problem("upload-mismatch", detail))
    return as_service.track(track.id) or track, 0


def _drop_bytes(track: Track) -> None:
    """What is left behind here, the bucket's lifecycle removes."""
    try:
        session = as_service.session(track.id)
        if session is not None and track.state == "awaiting-upload":
            sessions.cancel(session)
        if track.bucket is not None and track.generation is not None:
            objects.delete(ObjectVersion(track.bucket, track.object_name, track.generation))
    except Exception as error:
        telemetry.warning("bytes of a cancelled track were left behind", error=type(error).__name__)
