"""Our hold on a track: Firestore's lease says who is at work, and the order on Redis is told.

Whoever finds a lease run out may take the track over; every write of ours is guarded by the track's version.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from shared import observations
from shared.documents import as_service
from shared.documents.records import Track
from shared.events import Passing
from shared.waiting import LEASE_S, Job, queue

LEASE = timedelta(seconds=LEASE_S)
HEARTBEAT_S = 2.0


class Taken(Exception):  # noqa: N818
    """The track is not ours any more: cancelled by its user, or taken over after our lease ran out."""


class Lease:
    """A track that is being analysed, and its progress, which never falls."""

    def __init__(self, track: Track, holder: str) -> None:
        self.track = track
        self._holder = holder
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
        observations.flush_old()
        queue().beat(job_of(held), self._holder, self._percent)


def take(track: Track, holder: str) -> Lease:
    """Raises Passing where the track changed meanwhile."""
    taken = as_service.move(track, "analysing", leaseUntil=datetime.now(UTC) + LEASE, attempts=track.attempts + 1)
    if taken is None:
        raise Passing("the track changed while it was taken")
    return Lease(taken, holder)


def seconds_held(track: Track) -> float:
    """For how long the track is still another worker's; 0 where it is nobody's."""
    if track.state != "analysing" or track.lease_until is None:
        return 0.0
    return max(0.0, (track.lease_until - datetime.now(UTC)).total_seconds())


def job_of(track: Track) -> Job:
    """The track as the order knows it."""
    return Job(track.id, track.uid, track.plan, track.queued_at or track.created_at, track.attempts)
