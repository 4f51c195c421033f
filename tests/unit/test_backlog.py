"""The sweep's repair of the order, both ways: what waits in Firestore stands in it and has a token, and only that."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from shared.documents import as_service
from shared.documents.records import State, Track
from shared.waiting import Job, Unavailable
from tests.unit.test_tokens import NOW, track
from uploads import backlog

LONG_AGO, JUST_NOW = NOW - timedelta(minutes=5), NOW - timedelta(seconds=2)
AT_ONCE = 5


@dataclass
class World:
    """Firestore, the order, and what was announced and refused."""

    tracks: dict[str, Track] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    announced: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)  # tracks of which it was said that they are done
    refused: dict[str, str] = field(default_factory=dict)
    without_redis: bool = False
    without_pubsub: bool = False

    def add_all(self, jobs: list[Job]) -> list[bool]:
        if self.without_redis:
            raise Unavailable
        new = [job.track_id not in self.order for job in jobs]
        self.order += [job.track_id for job, is_new in zip(jobs, new, strict=True) if is_new]
        return new

    def entries(self) -> list[str]:
        return list(self.order)

    def cancel(self, track_id: str) -> None:
        self.order.remove(track_id)

    def tell(self, track: Track) -> None:
        if self.without_pubsub:
            raise OSError("Pub/Sub")
        self.told.append(track.id)

    def tracks_in(self, state: State, _: int) -> list[Track]:
        return [one for one in self.tracks.values() if one.state == state]

    def standing(self, *ids: str, state: State = "queued", **changes: Any) -> None:
        self.tracks |= {i: track(i, state, **{"changed_at": LONG_AGO, "attempts": 0, **changes}) for i in ids}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(as_service, "tracks_in", made.tracks_in)
    monkeypatch.setattr(as_service, "track", made.tracks.get)
    monkeypatch.setattr(as_service, "move", lambda track, to, **_: track)
    monkeypatch.setattr(backlog, "queue", lambda: made)
    monkeypatch.setattr(backlog, "announce", lambda track: made.announced.append(track.id))
    monkeypatch.setattr(backlog, "announce_analysed", made.tell)
    monkeypatch.setattr(backlog, "reject", lambda track, problem: made.refused.update({track.id: problem.code}))
    monkeypatch.setattr(backlog, "settings", lambda: type("Set", (), {"analyses_at_once": AT_ONCE}))
    return made


def test_after_a_wipe_everything_stands_in_the_order_again_and_as_many_tokens_as_may_run_are_sent(world: World) -> None:
    world.standing(*(f"t{number}" for number in range(20)))
    assert backlog.repair(NOW) == {"ended": 0, "restored": 20, "removed": 0, "announced": AT_ONCE}
    assert sorted(world.order) == sorted(world.tracks)


def test_what_was_just_queued_is_left_to_whoever_queued_it(world: World) -> None:
    world.standing("new", changed_at=JUST_NOW)
    assert backlog.repair(NOW)["announced"] == 0


def test_what_waits_in_its_place_for_long_has_its_token_sent_again(world: World) -> None:
    world.standing("waits")
    world.order = ["waits"]
    assert backlog.repair(NOW) == {"ended": 0, "restored": 0, "removed": 0, "announced": 1}
    assert world.announced == ["waits"]


def test_a_lease_whose_worker_is_gone_is_freed_and_a_running_one_is_left(world: World) -> None:
    world.standing("gone", state="analysing", lease_until=LONG_AGO)
    world.standing("at-work", state="analysing", lease_until=NOW + timedelta(seconds=5))
    backlog.repair(NOW)
    assert (world.order, world.announced) == (["gone"], ["gone"])


def test_what_has_ended_leaves_the_order_and_what_is_at_work_stays(world: World) -> None:
    world.standing("at-work", state="analysing", lease_until=NOW + timedelta(seconds=5))
    world.standing("done", state="done")
    world.order = ["at-work", "done", "deleted"]
    assert backlog.repair(NOW)["removed"] == 2
    assert world.order == ["at-work"]
    assert world.told == ["done"]  # whoever finished it may have died before telling


def test_what_is_done_and_cannot_be_told_stays_in_the_order_until_it_can(world: World) -> None:
    world.standing("done", state="done")
    world.order, world.without_pubsub = ["deleted", "done"], True
    assert backlog.repair(NOW)["removed"] == 1
    world.without_pubsub = False
    assert backlog.repair(NOW)["removed"] == 1
    assert (world.order, world.told) == ([], ["done"])


def test_five_attempts_and_a_day_end_a_track(world: World) -> None:
    world.standing("poison", state="analysing", lease_until=LONG_AGO, attempts=5)
    world.standing("old", queued_at=NOW - timedelta(hours=25))
    assert backlog.repair(NOW)["ended"] == 2
    assert world.refused == {"poison": "analysis-failed", "old": "event-too-old"}
    assert world.order == []


def test_without_redis_every_forgotten_track_has_its_own_token(world: World) -> None:
    world.without_redis = True
    world.standing(*(f"t{number}" for number in range(20)))
    assert backlog.repair(NOW) == {"ended": 0, "announced": 20}
