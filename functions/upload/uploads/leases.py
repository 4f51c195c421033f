"""Uploads that are under way, counted by leases that expire: a client that dies is not counted for ever.

The sorted set `uploads:open` holds the tracks, each with the end of its lease in seconds since 1970; whoever wants the
number counts from now on (`ZCOUNT uploads:open now +inf`). Counting never harms an upload: no function here raises.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from shared import clients, telemetry

KEY = "uploads:open"
LEASE_S = 600  # a plan's largest file at less than 1 Mbit/s; asking for the status extends it


def opened(track_id: str, now: float | None = None) -> None:
    """Begins or extends the lease of an upload, and drops those that ran out."""
    at = time.time() if now is None else now

    def extend(redis: Any) -> None:
        pipeline = redis.pipeline()
        pipeline.zremrangebyscore(KEY, "-inf", f"({at:.0f}")
        pipeline.zadd(KEY, {track_id: round(at + LEASE_S)})
        pipeline.exec()

    _never_raising(extend)


def closed(track_id: str) -> None:
    """Ends the lease of an upload that has arrived or was given up. Repeated, it changes nothing."""
    _never_raising(lambda redis: redis.zrem(KEY, track_id))


def _never_raising(work: Callable[[Any], object]) -> None:
    try:
        work(clients.redis())
    except Exception as error:  # the lease expires by itself
        telemetry.warning("the lease of an upload was not noted", error=type(error).__name__)
