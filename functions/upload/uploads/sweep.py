"""The sweep, at each tick: what was left standing is moved on, ended, or announced again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared import telemetry
from shared.documents import account, as_service
from shared.documents.records import Track
from shared.events import Event
from shared.problems import Problem
from uploads import sessions
from uploads.account import continue_deletion
from uploads.arrival import announce

SESSION_MISSING_AFTER = timedelta(minutes=10)
FORGOTTEN_AFTER = timedelta(minutes=2)
REFUNDS_BACK = timedelta(days=2)
DELETION_BUDGET_S = 10.0


@dataclass
class Swept:
    expired: int = 0
    announced: int = 0
    refunded: int = 0
    plans: int = 0


def at_tick(_: Event) -> None:
    sweep(datetime.now(UTC))


def sweep(now: datetime) -> Swept:
    """One pass; every step may be repeated, and each is guarded by the track's version."""
    swept = Swept()
    for track in as_service.tracks_in("awaiting-upload"):
        swept.expired += _expire(track, now)
    for track in as_service.tracks_in("queued"):
        swept.announced += _announce_forgotten(track, now)
    for track in as_service.tracks_in("analysing"):
        swept.announced += _announce_abandoned(track, now)
    for track in as_service.tracks_cancelled_since(now - REFUNDS_BACK):
        if track.state == "cancelled" and not track.refunded:
            swept.refunded += as_service.end_without_analysis(track, "cancelled")
    for user in as_service.users_whose_plan_expired(now):
        swept.plans += as_service.set_free(user)
    for uid in account.unfinished_deletions():
        continue_deletion(uid, DELETION_BUDGET_S)
    if swept != Swept():
        telemetry.info("the sweep moved tracks", **vars(swept))
    return swept


def _expire(track: Track, now: datetime) -> bool:
    session = as_service.session(track.id)
    if session is None and now - track.created_at < SESSION_MISSING_AFTER:
        return False
    if session is not None and now < session.expires_at:
        return False
    detail = "The upload was not finished within a day; its count was given back. Start a new upload."
    if not as_service.end_without_analysis(track, "expired", Problem("upload-expired", detail)):
        return False
    if session is not None:
        sessions.cancel(session)
    return True


def _announce_forgotten(track: Track, now: datetime) -> bool:
    if now - track.changed_at < FORGOTTEN_AFTER:
        return False
    return _announce_again(track)


def _announce_abandoned(track: Track, now: datetime) -> bool:
    if track.lease_until is None or now - max(track.lease_until, track.changed_at) < FORGOTTEN_AFTER:
        return False
    return _announce_again(track)


def _announce_again(track: Track) -> bool:
    """Announces a track, and notes it in the track, so that the next tick does not do the same."""
    if as_service.move(track, track.state, announcedAt=as_service.SERVER_TIME) is None:
        return False  # somebody is at it
    announce(track)
    return True
