"""The storage event: the bytes have arrived, are checked, and the track waits for its analysis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared import events, objects, telemetry
from shared.documents import as_service
from shared.documents.records import Track
from shared.events import Event, Passing
from shared.objects import Gone, ObjectVersion
from shared.problems import Problem
from shared.settings import settings
from uploads.accept import ACCEPTED, START_BYTES, audio_format


def arrived(event: Event) -> None:
    """Moves the track of a finalised object to `queued`, or ends it with the reason. Repeated, it changes nothing more.

    Raises Passing where the event must come again.
    """
    version, size_bytes = _object_of(event.data)
    reason = filter_reason(version)
    if reason:
        telemetry.info(f"object ignored: {reason}", event=event.id)
        return
    track = as_service.track(version.name.split("/")[2])
    if track is None or track.object_name != version.name:
        telemetry.warning("object deleted: no track has it", event=event.id)
        objects.delete(version)  # its account was deleted while it was on its way
        return
    if track.state == "awaiting-upload":
        _judge(track, version, size_bytes)
    elif track.state == "queued" and track.generation == version.generation:
        announce(track)  # the delivery before this one may have died between moving and announcing
    elif track.ended and track.state != "done":
        objects.delete(version)  # cancelled or expired while its last bytes were on their way


def filter_reason(version: ObjectVersion) -> str | None:
    """Why an object is not one of ours; None for one that is."""
    if version.bucket not in settings().upload_buckets.values():
        return "it lies in another bucket"
    parts = version.name.split("/")
    if len(parts) != 3 or parts[0] != "tracks" or not all(parts):
        return "its name is not tracks/UID/TRACK"
    return None


def announce(track: Track) -> None:
    events.publish(events.TRACK_QUEUED, f"{track.id}/queued", {"trackId": track.id, "uid": track.uid})


def _judge(track: Track, version: ObjectVersion, size_bytes: int) -> None:
    problem = _fault(track, version, size_bytes)
    if problem is not None:
        reject(track, problem)
        objects.delete(version)
        return
    queued = as_service.move(
        track, "queued", bucket=version.bucket, generation=version.generation, queuedAt=as_service.SERVER_TIME
    )
    if queued is None:
        raise Passing("the track changed while its object was checked")
    announce(queued)


def _fault(track: Track, version: ObjectVersion, size_bytes: int) -> Problem | None:
    if size_bytes == 0:
        return Problem("empty-file", "The uploaded file has no bytes; export it again and upload that.")
    if size_bytes != track.size_bytes:
        detail = f"{size_bytes} bytes arrived, {track.size_bytes} were announced; upload the file again."
        return Problem("upload-mismatch", detail)
    try:
        start = objects.read_start(version, START_BYTES)
    except Gone:
        return Problem("upload-mismatch", "The uploaded file was removed before it could be read; upload it again.")
    if audio_format(start) is None:
        detail = (
            f"The file's content is not audio of a kind that is read, whatever its name says. Accepted: {ACCEPTED}."
        )
        return Problem("not-audio", detail, {"accepted": ACCEPTED})
    return None


def reject(track: Track, problem: Problem) -> None:
    """Ends a track with a problem, gives its count back, and tells so. Raises Passing where it changed meanwhile."""
    if not as_service.end_without_analysis(track, "failed", problem):
        raise Passing("the track changed while it was refused")
    telemetry.info("a track was refused", track=track.id, problem=problem.code)
    data = {"trackId": track.id, "uid": track.uid, "problem": problem.as_dict()}
    events.publish(events.TRACK_FAILED, f"{track.id}/failed", data)


def _object_of(data: Mapping[str, Any]) -> tuple[ObjectVersion, int]:
    return ObjectVersion(data["bucket"], data["name"], int(data["generation"])), int(data["size"])
