"""When a waiting track is given up: judged by whoever meets it, a worker or the sweep, by the track alone."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.documents.records import Track
from shared.problems import Problem
from shared.waiting import ATTEMPTS_MOST

OLDEST = timedelta(days=1)


def is_held(track: Track, now: datetime) -> bool:
    """Whether a worker's lease on the track is still running."""
    return track.state == "analysing" and track.lease_until is not None and track.lease_until > now


def reason(track: Track, now: datetime) -> Problem | None:
    """Why a queued track, or one whose worker is gone, will not be analysed (again); None where it will."""
    if is_held(track, now):
        return None
    if track.attempts >= ATTEMPTS_MOST:
        detail = f"The analysis was tried {track.attempts} times and did not finish; its count was given back."
        return Problem("analysis-failed", detail)
    if now - (track.queued_at or track.created_at) > OLDEST:
        detail = "The track waited for more than a day; its count was given back. Upload it again."
        return Problem("event-too-old", detail)
    return None
