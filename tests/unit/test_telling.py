"""What is done is told: an analysis that could not be announced stays in the order, where it is met again."""

from __future__ import annotations

from typing import Any

import pytest

from analysis import processing, reuse, versions
from shared import events
from shared.documents import as_service
from shared.documents.records import Track
from shared.events import Passing
from shared.problems import Problem
from tests.unit.test_tokens import track

MEASURES = {"file": {"durationS": 2.0}, "contentSha256": "f" * 64}


class World:
    """Firestore, the order and Pub/Sub, and what happens to them in which sequence."""

    def __init__(self) -> None:
        self.happened: list[tuple[str, str]] = []
        self.untellable: set[str] = set()
        self.changed: dict[str, Track] = {}  # tracks that somebody moves while we are at them

    def finish(self, track: Track, _: Any, reused_from: str | None = None) -> bool:
        if track.id in self.changed:
            return False
        self.happened.append(("written", track.id))
        return True

    def publish(self, event_type: str, event_id: str, data: Any) -> None:
        if event_type == events.TRACK_ANALYSED:
            if data["trackId"] in self.untellable:
                raise OSError("Pub/Sub")
            self.happened.append(("told", data["trackId"]))

    def add(self, track_id: str, *_: Any) -> None:
        self.happened.append(("in the order", track_id))

    def end(self, *_: Any) -> bool:
        return False

    def cancel(self, track_id: str) -> None:
        self.happened.append(("out of the order", track_id))

    def done(self, track_id: str, *_: Any) -> None:
        self.happened.append(("out of the order", track_id))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    order = type(
        "Order",
        (),
        {"add": staticmethod(made.add), "finish": staticmethod(made.done), "cancel": staticmethod(made.cancel)},
    )
    monkeypatch.setattr(as_service, "finish", made.finish)
    monkeypatch.setattr(as_service, "end_without_analysis", made.end)
    monkeypatch.setattr(as_service, "track", made.changed.get)
    monkeypatch.setattr(events, "publish", made.publish)
    monkeypatch.setattr(processing, "queue", order)
    monkeypatch.setattr(processing, "_judged", lambda _, measures, __: dict(measures))
    monkeypatch.setattr(versions, "compare_late", lambda _: None)
    monkeypatch.setattr(reuse, "followers", lambda track: [follower] if track.id == "leader" else [])
    return made


follower = track("follower", content_md5="0" * 32)


def test_a_track_and_those_of_its_bytes_are_told_of_before_they_leave_the_order(world: World) -> None:
    processing._finish(track("leader", "analysing"), MEASURES, 0.0)
    steps = ("written", "told", "out of the order")
    expected = [(step, "leader") for step in steps]
    expected += [(step, "follower") for step in ("in the order", *steps)]
    assert world.happened == expected


@pytest.mark.parametrize("untold", ["leader", "follower"])
def test_one_that_cannot_be_told_of_stays_in_the_order_and_its_token_comes_again(world: World, untold: str) -> None:
    world.untellable = {untold}
    with pytest.raises(OSError, match="Pub/Sub"):
        processing._finish(track("leader", "analysing"), MEASURES, 0.0)
    assert ("written", untold) in world.happened
    assert ("out of the order", untold) not in world.happened


def test_a_track_that_its_user_cancelled_while_its_bytes_were_read_leaves_the_order_and_nothing_comes_again(
    world: World,
) -> None:
    world.changed["a"] = track("a", "cancelled")
    processing._reject(track("a", "analysing"), Problem("upload-mismatch", "The file is gone."))
    assert world.happened == [("out of the order", "a")]


def test_a_track_that_is_at_work_again_is_not_given_up(world: World) -> None:
    world.changed["a"] = track("a", "analysing")
    with pytest.raises(Passing):
        processing._reject(track("a", "analysing"), Problem("unreadable", "It is damaged."))
    assert world.happened == []


def test_two_workers_at_a_track_of_equal_bytes_end_it_once_and_the_slower_one_is_content(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.changed["a"] = track("a", "done", reused_from="leader")
    monkeypatch.setattr(reuse, "decide", lambda _: reuse.Reuse("leader", MEASURES))
    processing.process(track("a"), "holder")
    assert world.happened == [("told", "a"), ("out of the order", "a")]
