"""One track, from waiting to its end: measured, or given the measures of equal bytes, judged, written, told.

Every write is guarded by the track's version, so whatever happens twice, or dies in between, ends the same and is
charged once.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analysis import lease as leases
from analysis import reuse, versions
from analysis.lease import Lease, Taken, job_of
from shared import events, giving_up, objects, observations, telemetry
from shared.documents import as_service
from shared.documents.records import Tier, Track
from shared.events import Passing
from shared.objects import Gone, ObjectVersion
from shared.problems import Problem
from shared.waiting import queue

DOWNLOADED_PERCENT = 10

PROBLEMS = {"empty": "empty-file", "too-long": "too-long"}  # the engine's error codes; all others are `unreadable`


def process(track: Track, holder: str) -> None:
    """Brings a track that nobody works at to its end, or out of the order. Raises what will pass."""
    refusal = giving_up.reason(track, datetime.now(UTC))
    if refusal is not None:
        _reject(track, refusal)
        return
    decision = reuse.decide(track)
    if isinstance(decision, reuse.Refuse):
        _reject(track, decision.problem)
    elif isinstance(decision, reuse.Reuse):
        if not _finish_reused(track, decision.measures, decision.leader, "full") and not _given_up(track):
            raise Passing("the track changed while it was given the measures of equal bytes")
    elif isinstance(decision, reuse.Wait):
        queue().cancel(track.id)  # its leader's worker completes it, or puts it back
    else:
        _analyse(track, holder)


def _analyse(track: Track, holder: str) -> None:
    started = time.monotonic()
    lease = leases.take(track, holder)
    try:
        measures = _measured(lease)
    except Taken:
        telemetry.info("the track was taken away during its analysis", track=track.id)
        _given_up(track)
    except Problem as problem:
        _reject(lease.track, problem)
    else:
        _finish(lease.track, measures, started)


def _given_up(track: Track) -> bool:
    """Where somebody has ended the track, it leaves the order, and another one of the same bytes may lead."""
    current = as_service.track(track.id)
    if current is not None and not current.ended:
        return False
    if current is not None and current.state == "done":
        announce(current)  # whoever finished it may have died before telling
        queue().finish(current.id, "reused" if current.reused_from else "analysed")
    else:
        queue().cancel(track.id)
    _put_back_followers(track)
    return True


def _measured(lease: Lease) -> dict[str, Any]:
    """The measures of the track's bytes. Raises Problem where the file is at fault, Taken, and what will pass."""
    from analysis.engine import analyse
    from analysis.errors import AnalysisError

    def report(share: float) -> None:
        lease.report(DOWNLOADED_PERCENT + int(share * (99 - DOWNLOADED_PERCENT)))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "track"
        try:
            objects.download(_version(lease.track), path, lambda: lease.report(DOWNLOADED_PERCENT))
            _check_digest(lease.track, lambda: _sha256(path))
            return analyse(path, on_progress=report)
        except AnalysisError as error:
            code = PROBLEMS.get(error.code, "unreadable")
            raise Problem(code, error.detail, {"reason": error.code}) from error
        except Gone as error:
            raise Problem("upload-mismatch", "The uploaded file is gone; upload it again.") from error


def _check_digest(track: Track, sha256: Callable[[], str]) -> None:
    """Raises Problem where the bytes are not those that the client announced."""
    if track.sha256 is None:
        return
    found = sha256()
    if found != track.sha256:
        detail = (
            f"The bytes that arrived have the SHA-256 {found}, announced was {track.sha256}; upload the file again."
        )
        raise Problem("upload-mismatch", detail)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _judged(track: Track, measures: Mapping[str, Any], tier: Tier) -> dict[str, Any]:
    """The analysis of a track from its measures: judged, cut to a tier, compared with the version before."""
    from analysis.verdict import judge, reduced

    reference = as_service.analysis(track.reference_track_id) if track.reference_track_id else None
    if reference is not None and not reference.get("reduced"):
        verdict = judge(measures, genre=track.genre, reference=reference, reference_id=track.reference_track_id)
    else:
        verdict = judge(measures, genre=track.genre)
    result = {**measures, "verdict": verdict}
    if tier == "reduced":
        result = reduced(result)
    if track.replaces_track_id:
        earlier = as_service.analysis(track.replaces_track_id)
        metrics = versions.deltas(result, earlier) if earlier is not None else None
        result["versionDeltas"] = {"replacesTrackId": track.replaces_track_id, "metrics": metrics}
    return result


def _finish(track: Track, measures: Mapping[str, Any], started: float) -> None:
    if not as_service.finish(track, _judged(track, measures, track.tier)):
        telemetry.info("the analysis came too late; the track was taken away", track=track.id)
        _given_up(track)
        return
    duration_ms = round((time.monotonic() - started) * 1000)
    telemetry.info("a track was analysed", track=track.id, durationMs=duration_ms)
    observations.count("analysis.done")
    observations.timing("analysis", duration_ms)
    usage = {"durationMs": duration_ms, "audioS": measures["file"]["durationS"]}
    events.track_usage("analysis.done", track.uid, f"{track.id}/done", usage)
    announce(track)
    queue().finish(track.id)  # untold, it stays in the order, where it is met and told
    versions.compare_late(track)
    for follower in reuse.followers(track):
        _put_back(follower)
        _finish_reused(follower, measures, track.id, track.tier)


def _finish_reused(track: Track, measures: Mapping[str, Any], leader: str, leader_tier: Tier) -> bool:
    """Ends a track with another one's measures; its count is given back. False where somebody has moved it.

    What its user has in full already is not withheld: of both tiers the better one counts.
    """
    try:
        _check_digest(track, lambda: measures["contentSha256"])
    except Problem as problem:
        _reject(track, problem)
        return True
    tier: Tier = "full" if leader_tier == "full" else track.tier
    result = {**_judged(track, measures, tier), "reusedFrom": leader}
    if not as_service.finish(track, result, reused_from=leader):
        return False
    telemetry.info("a track has the bytes of an analysed one", track=track.id, leader=leader)
    observations.count("analysis.reused")
    events.track_usage("analysis.reused", track.uid, f"{track.id}/reused", {})
    announce(track)
    queue().finish(track.id, "reused")
    versions.compare_late(track)
    return True


def _put_back_followers(track: Track) -> None:
    """Those that waited for a track that ended without an analysis: one of them takes over."""
    if not reuse.leads(track):
        return
    for follower in reuse.followers(track):
        _put_back(follower)
        announce_queued(follower)


def _put_back(follower: Track) -> None:
    queue().add(follower.id, follower.uid, follower.plan, job_of(follower).queued_at, follower.attempts)


def _reject(track: Track, problem: Problem) -> None:
    if not as_service.end_without_analysis(track, "failed", problem):
        if not _given_up(track):
            raise Passing("the track changed while it was refused")
        telemetry.info("the track was taken away before it was refused", track=track.id, problem=problem.code)
        return
    queue().fail(track.id, problem.code)
    telemetry.info("a track was refused", track=track.id, problem=problem.code)
    observations.count("analysis.failed")
    data = {"trackId": track.id, "uid": track.uid, "problem": problem.as_dict()}
    events.publish(events.TRACK_FAILED, f"{track.id}/failed", data)
    _put_back_followers(track)


def announce_queued(track: Track) -> None:
    events.publish(events.TRACK_QUEUED, f"{track.id}/queued", {"trackId": track.id, "uid": track.uid})


def announce(track: Track) -> None:
    data = {"trackId": track.id, "uid": track.uid, "filename": track.filename}
    events.publish(events.TRACK_ANALYSED, f"{track.id}/analysed", data)


def _version(track: Track) -> ObjectVersion:
    if track.bucket is None or track.generation is None:
        raise Problem("internal", "A queued track has no object.")
    return ObjectVersion(track.bucket, track.object_name, track.generation)
