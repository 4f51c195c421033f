"""The sweep under load and with faults: every track has its turn, and one that fails holds no other up."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from google.api_core.exceptions import ServiceUnavailable
from google.auth.credentials import AnonymousCredentials
from google.cloud.firestore import Client
from google.cloud.firestore_v1.base_query import FieldFilter

from shared import objects
from shared.documents import account, as_service
from shared.documents.library import listed
from shared.documents.records import Session, State, Track
from shared.events import Passing
from shared.problems import Problem
from tests.unit.test_tokens import NOW, track
from uploads import arrival, leases, sessions, sweep

AWAY = ServiceUnavailable("Firestore is away")  # type: ignore[no-untyped-call]
YESTERDAY = NOW - timedelta(hours=25)
AT_THE_QUARTER, BETWEEN = NOW.replace(minute=15), NOW.replace(minute=16)


@dataclass
class World:
    """Firestore, storage and the clock, as far as the sweep meets them."""

    tracks: dict[str, Track] = field(default_factory=dict)
    arrived: set[str] = field(default_factory=set)  # tracks whose bytes are in storage
    arriving: set[str] = field(default_factory=set)  # their last byte comes while their session is closed
    silent: set[str] = field(default_factory=set)  # buckets whose storage does not answer
    faulty: set[str] = field(default_factory=set)  # tracks and users that Firestore fails at
    asked: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    moved: dict[str, str] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)

    def waiting(self, count: int, created_at: Any) -> None:
        for number in range(count):
            name = f"t{number:03}"
            self.tracks[name] = track(name, "awaiting-upload", created_at=created_at)

    def tracks_in(self, state: State) -> list[Track]:
        return [one for one in self.tracks.values() if one.state == state]

    def session(self, track_id: str) -> Session:
        if track_id in self.faulty:
            raise AWAY
        bucket = "eu" if int(track_id[1:]) % 2 else "us"
        return Session(track_id, bucket, bucket, self.tracks[track_id].created_at + sessions.LIFE)

    def find(self, bucket: str, name: str) -> dict[str, Any] | None:
        self.asked.append(bucket)
        if bucket in self.silent:
            raise Passing("storage could not be read")
        return {"name": name} if name.rpartition("/")[2] in self.arrived else None

    def cancel(self, session: Session) -> None:
        if session.bucket in self.silent:
            raise Problem("unavailable", "Storage does not answer.")
        self.closed.append(session.url)
        self.arrived |= self.arriving & {session.url}

    def judge(self, track: Track, _: Any) -> None:
        self._move(track, "queued")

    def end(self, track: Track, to: State, _: Problem | None = None) -> bool:
        self._move(track, to)
        return True

    def _move(self, track: Track, to: State) -> None:
        self.moved[track.id] = to
        self.tracks[track.id] = replace(self.tracks[track.id], state=to)

    def continue_deletion(self, uid: str, _: float) -> None:
        if uid in self.faulty:
            raise AWAY
        self.deleted.append(uid)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(as_service, "tracks_in", made.tracks_in)
    monkeypatch.setattr(as_service, "session", made.session)
    monkeypatch.setattr(as_service, "end_without_analysis", made.end)
    monkeypatch.setattr(objects, "find", made.find)
    monkeypatch.setattr(sessions, "cancel", made.cancel)
    monkeypatch.setattr(leases, "closed", lambda _: None)
    monkeypatch.setattr(sweep, "judge", made.judge)
    monkeypatch.setattr(sweep, "continue_deletion", made.continue_deletion)
    return made


def swept(step: Any, now: Any) -> sweep.Swept:
    result = sweep.Swept()
    step(result, now)
    return result


def test_of_three_hundred_abandoned_uploads_one_that_fails_holds_no_other_up(world: World) -> None:
    world.waiting(300, YESTERDAY)
    world.faulty = {"t000"}
    world.arrived = {"t299"}
    assert swept(sweep._uploads, BETWEEN) == sweep.Swept(arrived=1, expired=298)
    assert world.tracks_in("awaiting-upload") == [world.tracks["t000"]]


def test_a_region_that_does_not_answer_is_asked_once_and_the_others_uploads_go_on(world: World) -> None:
    world.waiting(300, NOW - timedelta(minutes=5))
    world.arrived, world.silent = set(world.tracks), {"eu"}
    assert swept(sweep._uploads, NOW).arrived == 150
    assert world.asked.count("eu") == 1


def test_a_track_that_its_user_changes_meanwhile_leaves_its_region_in_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(track: Track, found: Any) -> None:
        if track.id == "t001":
            raise arrival.Changed
        world.judge(track, found)

    world.waiting(40, NOW - timedelta(minutes=5))
    world.arrived = set(world.tracks)
    monkeypatch.setattr(sweep, "judge", changed)
    assert swept(sweep._uploads, NOW).arrived == 39


def test_what_does_not_fit_into_a_ticks_time_is_done_by_those_after_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(100_000))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))  # every look takes a second
    world.waiting(60, YESTERDAY)
    world.faulty = {f"t{number:03}" for number in range(20)}  # as many as one tick has time for
    first = swept(sweep._uploads, BETWEEN).expired
    assert 0 <= first <= sweep.UPLOADS_BUDGET_S + 1
    for _ in range(40):
        swept(sweep._uploads, BETWEEN)
    assert len(world.moved) > 20  # although the first of them always fail


@pytest.mark.parametrize("when", ["arrived", "arriving"])
def test_an_upload_whose_last_byte_came_just_before_its_end_is_analysed_and_not_thrown_away(
    world: World, when: str
) -> None:
    world.waiting(1, YESTERDAY)
    setattr(world, when, {"t000"})
    assert swept(sweep._uploads, BETWEEN) == sweep.Swept(arrived=1)
    assert (world.closed, world.moved) == (["t000"], {"t000": "queued"})


def test_an_old_upload_is_looked_after_now_and_then(world: World) -> None:
    world.waiting(2, NOW - timedelta(hours=2))
    for moment, looks in ((BETWEEN, 0), (AT_THE_QUARTER, 2)):
        swept(sweep._uploads, moment)
        assert len(world.asked) == looks


def test_a_deletion_that_fails_holds_no_other_up_and_those_finished_lately_are_looked_at_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "unfinished_deletions", lambda: ["ana", "bea", "cleo"])
    monkeypatch.setattr(account, "deletions_completed_since", lambda _: ["lately"])
    world.faulty = {"bea"}
    swept(sweep._deletions, BETWEEN)
    assert sorted(world.deleted) == ["ana", "cleo"]
    swept(sweep._deletions, AT_THE_QUARTER)
    assert sorted(world.deleted[2:]) == ["ana", "cleo", "lately"]


def test_refunds_are_made_for_all_that_were_cancelled_and_only_those_owed_cost_a_write(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled = [track(f"t{n}", "cancelled", refunded=n < 600) for n in range(610)]
    since: list[Any] = []

    def cancelled_since(moment: Any) -> list[Track]:
        since.append(moment)
        return cancelled

    monkeypatch.setattr(as_service, "tracks_cancelled_since", cancelled_since)
    monkeypatch.setattr(sweep, "queue", type("Queue", (), {"cancel": lambda *_: None}))
    world.tracks = {one.id: one for one in cancelled}
    assert swept(sweep._cancelled, AT_THE_QUARTER).refunded == 10
    swept(sweep._cancelled, BETWEEN)
    assert since == [AT_THE_QUARTER - timedelta(days=2), BETWEEN - timedelta(minutes=10)]


class FailingFirestore:
    """Google's interface, whose stream ends with an error."""

    def run_query(self, **_: Any) -> Any:
        raise AWAY
        yield


class FailingClient(Client):
    _firestore_api = FailingFirestore()


def test_a_stream_that_breaks_says_so_by_its_own_error() -> None:
    client = FailingClient(project="p", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
    query = client.collection("tracks").where(filter=FieldFilter("state", "==", "queued"))
    with pytest.raises(ServiceUnavailable):
        listed(query, 1.0)
