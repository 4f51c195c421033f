"""The storage event: the bytes have arrived, are checked, and the track waits for its analysis."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared import events, objects, observations, telemetry
from shared.documents import as_service
from shared.documents.records import Track
from shared.events import Event, Passing
from shared.objects import ObjectVersion
from shared.plans import effective
from shared.problems import Problem
from shared.settings import settings
from shared.waiting import queue
from uploads import checks, leases, retention
from uploads.placement import region_of

ATTEMPTS = 3


class Changed(Passing):
    """Somebody has moved the track since it was read: its user, or another delivery."""


def arrived(event: Event) -> None:
    """Moves the track of a finalised object to `queued`, or ends it with the reason. Repeated, it changes nothing more.

    Raises Passing where the event must come again.
    """
    reason = filter_reason(_version(event.data))
    if reason:
        telemetry.info(f"object ignored: {reason}", event=event.id)
        return
    for _ in range(ATTEMPTS):
        try:
            _take_in(event)
        except Changed:
            continue
        return
    raise Passing("the track keeps changing")


def _take_in(event: Event) -> None:
    version = _version(event.data)
    track = as_service.track(version.name.split("/")[2])
    if track is None or track.object_name != version.name:
        telemetry.warning("object deleted: no track has it", event=event.id)
        objects.delete(version)  # its account was deleted while it was on its way
        return
    if track.state == "awaiting-upload":
        judge(track, event.data)
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
    """Puts a queued track into the order, and sends the token for it."""
    queue().add(track.id, track.uid, track.plan, track.queued_at or datetime.now(UTC), track.attempts)
    events.publish(events.TRACK_QUEUED, f"{track.id}/queued", {"trackId": track.id, "uid": track.uid})


def announce_analysed(track: Track) -> None:
    """Tells once more of a track that is done, as analyze does."""
    data = {"trackId": track.id, "uid": track.uid, "filename": track.filename}
    events.publish(events.TRACK_ANALYSED, f"{track.id}/analysed", data)


def judge(track: Track, metadata: Mapping[str, Any]) -> None:
    """Moves a track whose bytes have arrived on: to `queued` or, with the reason, to `failed`.

    Raises Changed where the track did meanwhile, and Passing where storage does not answer.
    """
    version = _version(metadata)
    problem = checks.fault(track, metadata)
    leases.closed(track.id)
    if problem is not None:
        reject(track, problem)
        objects.delete(version)
        return
    now = datetime.now(UTC)
    profile = as_service.profile(track.uid)
    plan = effective(profile.plan, profile.plan_expires_at, now) if profile else effective(None, None, now)
    queued = as_service.move(
        track,
        "queued",
        bucket=version.bucket,
        region=region_of(version.bucket),
        generation=version.generation,
        originalUntil=retention.until(plan, now),
        contentMd5=md5_of(metadata),
        plan=plan.name,
        traceparent=telemetry.current_trace().traceparent,
        queuedAt=as_service.server_time(),
    )
    if queued is None:
        raise Changed("the track changed while its object was checked")
    observations.timing("upload.arrival", (now - track.created_at).total_seconds() * 1000)
    queue().add(track.id, track.uid, plan.name, now)
    events.publish(events.TRACK_QUEUED, f"{track.id}/queued", {"trackId": track.id, "uid": track.uid})


def _version(metadata: Mapping[str, Any]) -> ObjectVersion:
    return ObjectVersion(metadata["bucket"], metadata["name"], int(metadata["generation"]))


def md5_of(metadata: Mapping[str, Any]) -> str | None:
    """The MD5 of an object in hexadecimal digits; storage knows none of a composed one."""
    encoded = metadata.get("md5Hash")
    return base64.b64decode(encoded).hex() if encoded else None


def reject(track: Track, problem: Problem) -> None:
    """Ends a track with a problem, gives its count back, and tells so. Raises Changed where it did meanwhile."""
    if not as_service.end_without_analysis(track, "failed", problem):
        raise Changed("the track changed while it was refused")
    queue().cancel(track.id)
    telemetry.info("a track was refused", track=track.id, problem=problem.code)
    data = {"trackId": track.id, "uid": track.uid, "problem": problem.as_dict()}
    events.publish(events.TRACK_FAILED, f"{track.id}/failed", data)
