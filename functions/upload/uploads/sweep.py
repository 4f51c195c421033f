"""The sweep, at each tick: what was left standing is moved on, ended, or announced again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from shared import objects, telemetry
from shared.documents import account, as_service
from shared.documents.records import Track
from shared.events import Event
from shared.problems import Problem
from shared.waiting import queue
from uploads import backlog, leases, retention, sessions
from uploads.account import continue_deletion
from uploads.arrival import judge

SESSION_MISSING_AFTER = timedelta(minutes=10)
EVENT_MISSING_AFTER = timedelta(minutes=1)
LOOKED_AFTER_OFTEN = timedelta(minutes=10)
RARELY_MINUTES = 15
REFUNDS_BACK = timedelta(days=2)
DELETION_BUDGET_S = 10.0


@dataclass
class Swept:
    arrived: int = 0
    expired: int = 0
    backlog: dict[str, int] = field(default_factory=dict)
    originals: int = 0
    refunded: int = 0
    plans: int = 0


def at_tick(_: Event) -> None:
    sweep(datetime.now(UTC))


def sweep(now: datetime) -> Swept:
    """One pass; every step may be repeated, and each is guarded by the track's version. One that fails holds no other
    up, and the next tick tries it again."""
    swept = Swept()
    for step in (_uploads, _backlog, _cancelled, _originals, _plans, _deletions):
        _tried(step, swept, now)
    if swept != Swept():
        telemetry.info("the sweep moved tracks", **vars(swept))
    return swept


def _tried(step: Callable[[Swept, datetime], None], swept: Swept, now: datetime) -> None:
    try:
        step(swept, now)
    except Exception as error:
        telemetry.error("a step of the sweep failed", step=step.__name__.strip("_"), error=repr(error))


def _uploads(swept: Swept, now: datetime) -> None:
    for track in as_service.tracks_in("awaiting-upload"):
        if _has_arrived(track, now):
            swept.arrived += 1
        else:
            swept.expired += _expire(track, now)


def _backlog(swept: Swept, now: datetime) -> None:
    swept.backlog = {what: count for what, count in backlog.repair(now).items() if count}


def _cancelled(swept: Swept, now: datetime) -> None:
    for track in as_service.tracks_cancelled_since(now - REFUNDS_BACK):
        if track.state == "cancelled" and not track.refunded:
            swept.refunded += as_service.end_without_analysis(track, "cancelled")
            queue().cancel(track.id)


def _originals(swept: Swept, now: datetime) -> None:
    swept.originals = retention.sweep(now)


def _plans(swept: Swept, now: datetime) -> None:
    for user in as_service.users_whose_plan_expired(now):
        swept.plans += as_service.set_free(user)


def _deletions(_: Swept, __: datetime) -> None:
    for uid in account.unfinished_deletions():
        continue_deletion(uid, DELETION_BUDGET_S)


def _has_arrived(track: Track, now: datetime) -> bool:
    """Whether all bytes are there, though no storage event came; then the track goes on as if it had.

    Storage is asked often while an upload is young, and rarely after.
    """
    age = now - track.created_at
    if age < EVENT_MISSING_AFTER or (age > LOOKED_AFTER_OFTEN and now.minute % RARELY_MINUTES):
        return False
    session = as_service.session(track.id)
    found = objects.find(session.bucket, track.object_name) if session else None
    if found is None:
        return False
    judge(track, found)
    return True


def _expire(track: Track, now: datetime) -> bool:
    session = as_service.session(track.id)
    if session is None and now - track.created_at < SESSION_MISSING_AFTER:
        return False
    if session is not None and now < session.expires_at:
        return False
    if not as_service.end_without_analysis(track, "expired", Problem("upload-expired", sessions.EXPIRED)):
        return False
    leases.closed(track.id)
    if session is not None:
        sessions.cancel(session)
    return True
