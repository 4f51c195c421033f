"""One job: take a waiting track, stream its object in, measure, judge, write the analysis, tell the others.

A lease says who is at work; it is extended with the progress, and whoever finds it run out may take the track over.
"""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from shared import events, objects, telemetry
from shared.documents import as_service
from shared.documents.records import Track
from shared.events import Event, Passing
from shared.objects import Gone, ObjectVersion
from shared.problems import Problem

LEASE = timedelta(seconds=10)
HEARTBEAT_S = 2.0
ATTEMPTS_MOST = 5
DOWNLOADED_PERCENT = 10

PROBLEMS = {"empty": "empty-file", "too-long": "too-long"}  # the engine's error codes; all others are `unreadable`


class Taken(Exception):  # noqa: N818
    """The track is not ours any more: cancelled by its user, or taken over after our lease ran out."""


class Lease:
    """Our hold on a track, and its progress, which never falls."""

    def __init__(self, track: Track) -> None:
        self.track = track
        self._percent = track.progress
        self._beat_at = time.monotonic() + HEARTBEAT_S

    def report(self, percent: int) -> None:
        """Called often; writes now and then. Raises Taken."""
        self._percent = max(self._percent, percent)
        if time.monotonic() < self._beat_at:
            return
        self._beat_at = time.monotonic() + HEARTBEAT_S
        held = as_service.move(self.track, "analysing", leaseUntil=datetime.now(UTC) + LEASE, progress=self._percent)
        if held is None:
            raise Taken
        self.track = held


def run(event: Event) -> None:
    """The work of one `track queued` event. However often it comes, the track is analysed once.

    Raises Passing where the event must come again.
    """
    track = as_service.track(event.data["trackId"])
    if track is None:
        raise Problem("not-found", "The queued track does not exist.")
    if track.state == "done":
        _announce(track)  # the delivery before this one may have died between writing and telling
        return
    if track.ended:
        return
    started = time.monotonic()
    try:
        lease = _take(track)
        result = _analysed(lease) if lease else None
    except Taken:
        telemetry.info("the track was taken away during its analysis", track=track.id)
        return
    if lease and result is not None:
        _finish(lease.track, result, started)


def _take(track: Track) -> Lease | None:
    now = datetime.now(UTC)
    if track.state == "awaiting-upload":
        raise Passing("the track is not queued yet")
    if track.state == "analysing" and track.lease_until is not None and track.lease_until > now:
        raise Passing("another worker is at it")
    if track.attempts >= ATTEMPTS_MOST:
        detail = f"The analysis was tried {track.attempts} times and did not finish; its count was given back."
        _reject(track, Problem("analysis-failed", detail))
        return None
    taken = as_service.move(track, "analysing", leaseUntil=now + LEASE, attempts=track.attempts + 1)
    if taken is None:
        raise Passing("the track changed while it was taken")
    return Lease(taken)


def _analysed(lease: Lease) -> dict[str, Any] | None:
    """The result with its verdict; None where the file is at fault and the track has been ended with the reason."""
    from analysis.errors import AnalysisError

    track = lease.track
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "track"
        try:
            objects.download(_version(track), path, lambda: lease.report(DOWNLOADED_PERCENT))
            return _measured(lease, path)
        except AnalysisError as error:
            _reject(lease.track, Problem(PROBLEMS.get(error.code, "unreadable"), error.detail, {"reason": error.code}))
        except Gone:
            _reject(lease.track, Problem("upload-mismatch", "The uploaded file is gone; upload it again."))
    return None


def _measured(lease: Lease, path: Path) -> dict[str, Any]:
    from analysis.engine import analyse
    from analysis.verdict import judge, reduced

    def report(share: float) -> None:
        lease.report(DOWNLOADED_PERCENT + int(share * (99 - DOWNLOADED_PERCENT)))

    result = analyse(path, on_progress=report)
    track = lease.track
    reference = as_service.analysis(track.reference_track_id) if track.reference_track_id else None
    if reference is not None and not reference.get("reduced"):
        verdict = judge(result, genre=track.genre, reference=reference, reference_id=track.reference_track_id)
    else:
        verdict = judge(result, genre=track.genre)
    judged = {**result, "verdict": verdict}
    return reduced(judged) if track.tier == "reduced" else judged


def _finish(track: Track, result: dict[str, Any], started: float) -> None:
    if not as_service.finish(track, result):
        telemetry.info("the analysis came too late; the track was taken away", track=track.id)
        return
    duration_ms = round((time.monotonic() - started) * 1000)
    telemetry.info("a track was analysed", track=track.id, durationMs=duration_ms)
    _announce(track)
    usage = {"durationMs": duration_ms, "audioS": result["file"]["durationS"]}
    events.track_usage("analysis.done", track.uid, f"{track.id}/done", usage)


def _reject(track: Track, problem: Problem) -> None:
    if not as_service.end_without_analysis(track, "failed", problem):
        raise Passing("the track changed while it was refused")
    telemetry.info("a track was refused", track=track.id, problem=problem.code)
    data = {"trackId": track.id, "uid": track.uid, "problem": problem.as_dict()}
    events.publish(events.TRACK_FAILED, f"{track.id}/failed", data)


def _announce(track: Track) -> None:
    data = {"trackId": track.id, "uid": track.uid, "filename": track.filename}
    events.publish(events.TRACK_ANALYSED, f"{track.id}/analysed", data)


def _version(track: Track) -> ObjectVersion:
    if track.bucket is None or track.generation is None:
        raise Problem("internal", "A queued track has no object.")
    return ObjectVersion(track.bucket, track.object_name, track.generation)
