"""The backlog, repaired both ways: what Firestore has waiting stands in the order and has tokens, and only that.

A worker takes one job after another, so as many tokens as analyses may run are enough for any number of tracks.
Without Redis a token is worth its own track: then every forgotten one is announced.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from shared import giving_up, telemetry
from shared.documents import as_service
from shared.documents.records import Track
from shared.settings import settings
from shared.waiting import ENTRIES_MOST, Job, Unavailable, queue
from uploads.arrival import announce, announce_analysed, reject
from uploads.budget import work_through

FORGOTTEN_AFTER = timedelta(minutes=2)
MISSED_AFTER = timedelta(seconds=15)  # whoever moved the track may be about to announce it
LOOKED_UP_MOST = 200
BUDGET_S = 3.0  # for each of the three parts of a pass


def repair(now: datetime) -> dict[str, int]:
    """One pass, counted by what was done; every step may be repeated."""
    found = [*as_service.tracks_in("queued", ENTRIES_MOST), *as_service.tracks_in("analysing", ENTRIES_MOST)]
    standing = sorted((t for t in found if not giving_up.is_held(t, now)), key=lambda t: t.queued_at or t.created_at)
    over = {track.id: problem for track in standing if (problem := giving_up.reason(track, now)) is not None}
    to_end = [track for track in standing if track.id in over]
    ended = work_through("given up", to_end, lambda track: reject(track, over[track.id]), BUDGET_S)[None]
    waiting = [track for track in standing if track.id not in over]
    forgotten = [track for track in waiting if now - _last_seen(track) >= FORGOTTEN_AFTER]
    try:
        added = queue().add_all([_job(track) for track in waiting])
        removed = _remove_others({track.id for track in found})
    except Unavailable as error:
        telemetry.warning(f"the order of waiting tracks could not be repaired: {error}")
        return {"ended": ended, "announced": _announced(forgotten)}
    missed = [t for t, new in zip(waiting, added, strict=True) if new and now - _last_seen(t) >= MISSED_AFTER]
    tokens = _first(missed + forgotten, settings().analyses_at_once)
    return {"ended": ended, "restored": len(missed), "removed": removed, "announced": _announced(tokens)}


def _first(tracks: Sequence[Track], most: int) -> list[Track]:
    return list({track.id: track for track in tracks}.values())[:most]


def _last_seen(track: Track) -> datetime:
    moment: datetime = max(track.lease_until or track.changed_at, track.changed_at)
    return moment


def _job(track: Track) -> Job:
    return Job(track.id, track.uid, track.plan, track.queued_at or track.created_at, track.attempts)


def _remove_others(standing: set[str]) -> int:
    """Takes out of the order what has ended: whoever ended it may have died before telling, or not have known how."""
    others = [entry for entry in queue().entries() if entry not in standing][:LOOKED_UP_MOST]
    return work_through("entries", others, _remove, BUDGET_S)[True]


def _remove(track_id: str) -> bool:
    track = as_service.track(track_id)
    if track is not None and not track.ended:
        return False
    if track is not None and track.state == "done":
        announce_analysed(track)
    queue().cancel(track_id)
    return True


def _announced(tracks: Sequence[Track]) -> int:
    return work_through("tokens", tracks, _announce_again, BUDGET_S)[True]


def _announce_again(track: Track) -> bool:
    """Announces a track, and notes it in the track, so that the next tick does not do the same."""
    if as_service.move(track, track.state, announcedAt=as_service.server_time()) is None:
        return False  # somebody is at it
    announce(track)
    return True
