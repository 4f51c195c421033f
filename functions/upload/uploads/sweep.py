"""The sweep, at each tick: what was left standing is moved on, ended, or announced again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from shared import objects, telemetry
from shared.documents import account, as_service
from shared.documents.records import Session, Track
from shared.events import Event, Passing
from shared.problems import Problem
from shared.waiting import queue
from uploads import backlog, leases, retention, sessions
from uploads.account import continue_deletion
from uploads.arrival import Changed, judge
from uploads.budget import work_through

SESSION_MISSING_AFTER = timedelta(minutes=10)
EVENT_MISSING_AFTER = timedelta(minutes=1)
LOOKED_AFTER_OFTEN = timedelta(minutes=10)
RARELY_MINUTES = 15
TOKENS_LIVE = timedelta(minutes=70)  # an hour, and what a request may take
DELETED_AGAIN_MINUTES = 5
REFUNDS_BACK, REFUNDS_LATELY = timedelta(days=2), timedelta(minutes=10)
UPLOADS_BUDGET_S = 12.0  # together with those of the backlog and the originals 40 of the function's 60 s
CANCELLED_BUDGET_S = PLANS_BUDGET_S = 4.0
DELETIONS_BUDGET_S = 8.0


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
    silent: set[str] = set()  # buckets that did not answer: their other tracks wait for the next tick

    def move_on(track: Track) -> str:
        session = as_service.session(track.id)
        if session is not None and session.bucket in silent:
            return "left"
        try:
            return _moved_on(track, session, now)
        except (Passing, Problem) as error:
            if session is not None and not isinstance(error, Changed):
                silent.add(session.bucket)
            raise

    outcomes = work_through("uploads", as_service.tracks_in("awaiting-upload"), move_on, UPLOADS_BUDGET_S)
    swept.arrived, swept.expired = outcomes["arrived"], outcomes["expired"]


def _backlog(swept: Swept, now: datetime) -> None:
    swept.backlog = {what: count for what, count in backlog.repair(now).items() if count}


def _cancelled(swept: Swept, now: datetime) -> None:
    """What users cancelled in Firestore themselves. Those of days ago are gone through now and then."""
    since = now - (REFUNDS_LATELY if now.minute % RARELY_MINUTES else REFUNDS_BACK)
    tracks = as_service.tracks_cancelled_since(since)
    owed = [track for track in tracks if track.state == "cancelled" and not track.refunded]
    swept.refunded = work_through("refunds", owed, _refund, CANCELLED_BUDGET_S)[True]


def _refund(track: Track) -> bool:
    queue().cancel(track.id)
    return as_service.end_without_analysis(track, "cancelled")


def _originals(swept: Swept, now: datetime) -> None:
    swept.originals = retention.sweep(now)


def _plans(swept: Swept, now: datetime) -> None:
    users = as_service.users_whose_plan_expired(now)
    swept.plans = work_through("plans", users, as_service.set_free, PLANS_BUDGET_S)[True]


def _deletions(_: Swept, now: datetime) -> None:
    """Those not finished and, now and then, those finished lately: an answer that was on its way may have been written
    since, or a token that still lives may have made a profile."""
    uids = account.unfinished_deletions()
    if now.minute % DELETED_AGAIN_MINUTES == 0:
        uids += account.deletions_completed_since(now - TOKENS_LIVE)
    ends = time.monotonic() + DELETIONS_BUDGET_S

    def go_on(uid: str) -> None:
        continue_deletion(uid, ends - time.monotonic())

    work_through("deletions", uids, go_on, DELETIONS_BUDGET_S)


def _moved_on(track: Track, session: Session | None, now: datetime) -> str:
    """What became of a track that waits for its bytes: arrived, expired, or "" where it waits on."""
    if _is_looked_after(track, now) and _has_arrived(track, session):
        return "arrived"
    if session is None:
        return "expired" if now - track.created_at >= SESSION_MISSING_AFTER and _expire(track) else ""
    if now < session.expires_at:
        return ""
    sessions.cancel(session)  # no byte comes behind the last look
    if _has_arrived(track, session):
        return "arrived"
    return "expired" if _expire(track) else ""


def _is_looked_after(track: Track, now: datetime) -> bool:
    """Whether storage is asked at this tick: often while an upload is young, and rarely after."""
    age = now - track.created_at
    return age >= EVENT_MISSING_AFTER and (age <= LOOKED_AFTER_OFTEN or now.minute % RARELY_MINUTES == 0)


def _has_arrived(track: Track, session: Session | None) -> bool:
    """Whether all bytes are there, though no storage event came; then the track goes on as if it had."""
    found: Mapping[str, Any] | None = objects.find(session.bucket, track.object_name) if session else None
    if found is None:
        return False
    judge(track, found)
    return True


def _expire(track: Track) -> bool:
    if not as_service.end_without_analysis(track, "expired", Problem("upload-expired", sessions.EXPIRED)):
        return False
    leases.closed(track.id)
    return True
