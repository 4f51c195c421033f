"""A token takes one job after another, and is acknowledged only where nobody's help is needed for the rest."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from analysis import job, processing
from shared.documents import as_service
from shared.documents.records import Track
from shared.events import TRACK_QUEUED, Event, Passing
from shared.problems import Problem
from shared.waiting import Idle, Job, Taken, Unavailable

NOW = datetime.now(UTC)


def track(track_id: str, state: Any = "queued", **changes: Any) -> Track:
    fields: dict[str, Any] = dict.fromkeys(Track.__dataclass_fields__)
    fields |= {"id": track_id, "uid": "ana", "filename": "song.wav", "state": state, "plan": "pro", "attempts": 0}
    fields |= {"created_at": NOW, "queued_at": NOW, "progress": 0, "refunded": False, "tier": "full", "version": 1}
    return Track(**{**fields, **changes})


@dataclass
class Order:
    """Gives what it is told to give, and remembers what it is told."""

    gives: list[Taken | Idle | Exception]
    told: list[tuple[str, str]] = field(default_factory=list)

    def add_all(self, jobs: list[Job]) -> None:
        self.told += [("add", one.track_id) for one in jobs]

    def take(self, _: str) -> Taken | Idle:
        given = self.gives.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    def cancel(self, track_id: str) -> None:
        self.told.append(("cancel", track_id))

    def retry(self, track_id: str, _: str, delay_s: float, *, counts: bool = True) -> None:
        self.told.append(("retry" if counts else "put back", track_id))
        assert delay_s > 0

    def entries(self) -> list[str]:
        return ["a", "b"]


@dataclass
class Worker:
    tracks: dict[str, Track]
    order: Order
    processed: list[str] = field(default_factory=list)
    announced: list[str] = field(default_factory=list)
    fault: Exception | None = None
    without_pubsub: bool = False

    def tell(self, track: Track) -> None:
        if self.without_pubsub:
            raise OSError("Pub/Sub")
        self.announced.append(track.id)

    def run(self, track_id: str) -> None:
        job.run(Event("e", TRACK_QUEUED, {"trackId": track_id}, None))

    def process(self, track: Track, _: str) -> None:
        if self.fault:
            raise self.fault
        self.processed.append(track.id)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    made = Worker({name: track(name) for name in "abc"}, Order([]))
    monkeypatch.setattr(as_service, "track", made.tracks.get)
    monkeypatch.setattr(job, "queue", lambda: made.order)
    monkeypatch.setattr(job, "process", made.process)
    monkeypatch.setattr(job, "announce", made.tell)
    monkeypatch.setattr(job, "announce_queued", lambda track: made.announced.append(f"queued {track.id}"))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return made


def test_the_best_job_is_taken_not_the_tokens_and_then_the_next_until_there_is_none(worker: Worker) -> None:
    worker.order.gives = [Taken("b", 1), Taken("c", 1), Idle(None)]
    worker.run("a")
    assert worker.order.told == [("add", "a")]
    assert worker.processed == ["b", "c"]


def test_where_a_silent_worker_must_be_waited_for_a_little_the_token_waits(worker: Worker) -> None:
    worker.order.gives = [Idle(3.0), Idle(2.0), Taken("a", 2), Idle(None)]
    worker.run("a")
    assert worker.processed == ["a"]


def test_where_it_takes_longer_the_token_comes_again(worker: Worker) -> None:
    worker.order.gives = [Idle(60.0)]
    with pytest.raises(Passing):
        worker.run("a")


def test_without_redis_a_token_is_worth_its_own_track(worker: Worker) -> None:
    worker.order.gives = [Unavailable(), Unavailable()]
    worker.run("a")
    assert worker.processed == ["a"]


def test_without_redis_a_track_that_another_one_holds_is_left_and_the_token_comes_again(worker: Worker) -> None:
    worker.tracks["a"] = track("a", "analysing", lease_until=NOW + timedelta(hours=1))
    worker.order.gives = [Unavailable(), Unavailable()]
    with pytest.raises(Passing):
        worker.run("a")
    assert worker.processed == []


def test_a_take_whose_answer_was_lost_is_repeated_once(worker: Worker) -> None:
    worker.order.gives = [Unavailable(), Taken("a", 1), Idle(None)]
    worker.run("a")
    assert worker.processed == ["a"]


def test_what_the_order_gives_and_firestore_says_has_ended_leaves_the_order_and_is_told_again(worker: Worker) -> None:
    worker.tracks |= {"b": track("b", "done"), "c": track("c", "cancelled")}
    worker.order.gives = [Taken("b", 1), Taken("c", 1), Taken("gone", 1), Idle(None)]
    worker.run("a")
    assert worker.order.told[1:] == [("cancel", "b"), ("cancel", "c"), ("cancel", "gone")]
    assert worker.announced == ["b"]
    assert worker.processed == []


def test_what_is_done_and_cannot_be_told_stays_in_the_order_and_the_token_comes_again(worker: Worker) -> None:
    worker.tracks["b"], worker.without_pubsub = track("b", "done"), True
    worker.order.gives = [Taken("b", 1)]
    with pytest.raises(OSError, match="Pub/Sub"):
        worker.run("a")
    assert worker.order.told[1:] == [("retry", "b")]


def test_a_job_that_another_worker_holds_by_firestores_word_is_put_back_without_counting(worker: Worker) -> None:
    worker.tracks["b"] = track("b", "analysing", lease_until=NOW + timedelta(hours=1))
    worker.order.gives = [Taken("b", 1), Idle(None)]
    worker.run("a")
    assert ("put back", "b") in worker.order.told


def test_what_fails_in_passing_is_tried_later_and_the_token_comes_again(worker: Worker) -> None:
    worker.order.gives, worker.fault = [Taken("b", 1)], OSError("storage")
    with pytest.raises(OSError, match="storage"):
        worker.run("a")
    assert ("retry", "b") in worker.order.told


def test_a_token_of_a_track_that_is_done_tells_again_and_works_on(worker: Worker) -> None:
    worker.tracks["a"] = track("a", "done")
    worker.order.gives = [Taken("b", 1), Idle(None)]
    worker.run("a")
    assert (worker.announced, worker.processed, worker.order.told) == (["a"], ["b"], [])


def test_a_worker_near_the_end_of_its_time_passes_its_token_on(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "WORK_UNTIL_S", -1.0)
    worker.order.gives = [Taken("a", 1)]
    worker.run("a")
    assert worker.announced == ["queued a"]


def test_the_pauses_between_attempts_double_and_differ() -> None:
    pauses = [[job._backoff_s(attempt) for _ in range(50)] for attempt in range(1, 5)]
    for first, attempt in zip((10, 20, 40, 80), pauses, strict=True):
        assert all(first <= pause <= 1.5 * first for pause in attempt)
        assert len(set(attempt)) > 40


def test_announced_digits_are_held_against_the_bytes() -> None:
    processing._check_digest(track("a"), lambda: "f" * 64)  # none were announced
    processing._check_digest(track("a", sha256="f" * 64), lambda: "f" * 64)
    with pytest.raises(Problem, match="upload-mismatch"):
        processing._check_digest(track("a", sha256="0" * 64), lambda: "f" * 64)
