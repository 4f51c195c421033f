"""Originals are deleted when their plan's retention is over; analyses stay.

The bucket's lifecycle rule (deploy/buckets.py) deletes at the longest retention of any plan; the sweep deletes at the
plan's own, and writes it into the track, which then names no object any more.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from shared import objects, telemetry
from shared.documents import as_service
from shared.documents.records import Track
from shared.objects import ObjectVersion
from shared.plans import Plan
from uploads.budget import work_through

MOST = 200  # in one tick
BUDGET_S = 3.0


def until(plan: Plan, arrived_at: datetime) -> datetime:
    """The moment until which an original is kept: written as `originalUntil` when the track is queued."""
    return arrived_at + timedelta(days=plan.retention_days)


def sweep(now: datetime) -> int:
    """Deletes the originals whose time is over, at most MOST, and gives their number. Each step may be repeated."""
    deleted = work_through("originals", as_service.tracks_kept_until(now, MOST), _delete, BUDGET_S)[True]
    if deleted:
        telemetry.info("originals were deleted, their retention is over", originals=deleted)
    return deleted


def _delete(track: Track) -> bool:
    if not track.ended or track.bucket is None or track.generation is None:
        return False
    objects.delete(ObjectVersion(track.bucket, track.object_name, track.generation))
    return as_service.forget_original(track)
