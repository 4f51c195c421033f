"""What an instance measures: exact buckets, batches that go once, bounded whatever happens."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import observations as observations_module
from shared import vitals
from shared.observations import (
    BATCH_BYTES,
    FIELDS_MOST,
    GAMMA,
    MINUTES_KEPT_S,
    USERS_MOST,
    Batch,
    Observations,
    bucket_of,
    bucket_value,
)


class Clock:
    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def __call__(self) -> float:
        return self.time


def parsed(batch: Batch | None) -> dict[str, Any]:
    assert batch is not None
    content: dict[str, Any] = json.loads(batch.argument)
    return content


@given(st.floats(1.0, 3_600_000))
def test_a_buckets_value_is_within_two_percent_of_all_it_holds(milliseconds: float) -> None:
    assert abs(bucket_value(bucket_of(milliseconds)) / milliseconds - 1) <= 0.02


@given(st.integers(1, 380))
def test_the_upper_edge_of_a_bucket_belongs_to_it(bucket: int) -> None:
    assert bucket_of(GAMMA**bucket) == bucket


def test_counts_of_a_minute_lie_together_and_name_their_key() -> None:
    clock = Clock()
    observations = Observations("upload/1", lambda: {"cpu": 0.5}, clock)
    observations.count("cache.hit")
    observations.count("cache.hit", 2)
    clock.time += 60
    observations.count("cache.hit")
    observations.present("ana")
    observations.plan("ana", "pro")
    batch = observations.take()
    assert batch is not None
    content = parsed(batch)
    amounts = {batch.keys[place - 1]: fields for place, fields in content["counts"]}
    minute = int(clock.time // 60)
    assert amounts == {f"tele:{minute - 1}": ["n|cache.hit", 3], f"tele:{minute}": ["n|cache.hit", 1]}
    assert [[batch.keys[place - 1], uids] for place, uids in content["users"]] == [[f"active:{minute}", ["ana"]]]
    assert [[batch.keys[place - 1], plan] for place, plan in content["plans"]] == [["plan:ana", "pro"]]
    assert json.loads(content["instance"][1])["gauges"] == {"cpu": 0.5}


def test_a_batch_that_was_lost_goes_again_under_its_number_and_newer_ones_wait() -> None:
    clock = Clock()
    observations = Observations("upload/1", clock=clock)
    observations.count("first")
    lost = observations.take()
    observations.count("second")
    clock.time += 1
    assert observations.take() is None  # one is under way
    observations.ended(arrived=False)
    again = observations.take()
    assert again == lost
    observations.ended(arrived=True)
    clock.time += 1
    newer = parsed(observations.take())
    assert newer["number"] == parsed(lost)["number"] + 1
    assert newer["counts"][0][1] == ["n|second", 1]


def test_requests_in_quick_succession_carry_nothing_along() -> None:
    clock = Clock()
    observations = Observations("upload/1", clock=clock)
    observations.count("a")
    assert observations.take() is not None
    observations.ended(arrived=True)
    observations.count("b")
    clock.time += 0.1
    assert observations.take() is None
    clock.time += 0.2
    assert observations.take() is not None


def carried(observations: Observations, clock: Clock) -> list[Batch]:
    """All that waits, as calls that follow one another carry it."""
    batches = []
    clock.time += 60  # whatever was lost may go again
    while (batch := observations.take()) is not None:
        batches.append(batch)
        observations.ended(arrived=True)
        clock.time += 1
    return batches


def size(batch: Batch) -> int:
    return len(batch.argument) + sum(len(key) for key in batch.keys)


def fields(batches: list[Batch]) -> list[str]:
    """`minute name` of every count that arrived."""
    return [
        f"{batch.keys[place - 1].removeprefix('tele:')} {name}"
        for batch in batches
        for place, parts in parsed(batch)["counts"]
        for name in parts[::2]
    ]


def test_a_flood_of_names_piles_up_no_more_than_the_bound() -> None:
    clock = Clock()
    observations = Observations("upload/1", clock=clock)
    for number in range(FIELDS_MOST + 100):
        observations.count(f"name {number}")
        observations.count("name 0")
    for number in range(USERS_MOST + 100):
        observations.present(f"user {number}")
        observations.plan(f"user {number}", "pro")
    batches = carried(observations, clock)
    assert len(fields(batches)) == FIELDS_MOST
    assert sum(len(users) for batch in batches for _, users in parsed(batch)["users"]) == USERS_MOST
    assert sum(len(parsed(batch)["plans"]) for batch in batches) == USERS_MOST
    assert max(size(batch) for batch in batches) <= BATCH_BYTES


def test_hours_without_redis_pile_up_the_last_minutes_in_batches_that_one_call_can_carry() -> None:
    clock = Clock()
    observations = Observations("upload/1", clock=clock)
    outage_minutes, names = 6 * 60, 200
    for minute in range(outage_minutes):
        if minute % 10 == 9:
            assert observations.take() is not None
            observations.ended(arrived=False)
        for number in range(names):
            observations.count(f"name {number}")
            observations.present(f"user {minute} {number}")
        clock.time += 60
    last = int(clock.time // 60) - 1
    batches = carried(observations, clock)
    arrived = fields(batches)
    assert max(size(batch) for batch in batches) <= BATCH_BYTES
    assert FIELDS_MOST / 2 < len(arrived) < 1.5 * FIELDS_MOST
    assert len(set(arrived)) == len(arrived)
    assert {f"{last} n|name {number}" for number in range(names)} <= set(arrived)  # the newest are what matters
    assert min(int(name.split()[0]) for name in arrived) >= last - 2 * MINUTES_KEPT_S // 60


def test_minutes_that_redis_would_no_longer_keep_are_not_sent() -> None:
    clock = Clock()
    observations = Observations("upload/1", clock=clock)
    observations.count("lost on the way")
    assert observations.take() is not None
    observations.ended(arrived=False)
    observations.count("long ago")
    observations.present("ana")
    clock.time += MINUTES_KEPT_S + 60
    observations.count("now")
    assert fields(carried(observations, clock)) == [f"{int((clock.time - 61) // 60)} n|now"]


def test_a_batch_that_does_not_arrive_is_tried_less_and_less_often() -> None:
    clock = Clock()
    observations = Observations("upload/1", clock=clock)
    observations.count("a")
    tries = 0
    for _ in range(600):
        if observations.take() is not None:
            tries += 1
            observations.ended(arrived=False)
        clock.time += 0.5
    assert 10 < tries < 40
    assert observations.take(at_once=True) is not None  # the last chance, when the instance is told to stop


def test_what_waits_is_old_some_seconds_after_the_last_sending() -> None:
    clock = Clock()
    observations = Observations("analyze/1", clock=clock)
    assert not observations.old()
    observations.count("a")
    assert observations.old()  # nothing was ever sent
    observations.take()
    observations.ended(arrived=True)
    observations.count("b")
    assert not observations.old()
    clock.time += 5.1
    assert observations.old()


def test_an_event_function_does_not_try_with_every_event_what_did_not_arrive() -> None:
    clock = Clock()
    observations = Observations("analyze/1", clock=clock)
    observations.count("a")
    for _ in range(10):
        clock.time += 60
        assert observations.old()
        assert observations.take(at_once=True) is not None
        observations.ended(arrived=False)
        assert not observations.old()


def test_requests_that_come_first_and_at_once_count_into_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    observations_module._made.cache_clear()
    monkeypatch.setattr(vitals, "sample", dict)
    barrier, made = threading.Barrier(20), list[int]()

    def first() -> None:
        barrier.wait()
        made.append(id(observations_module.observations()))

    threads = [threading.Thread(target=first) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    observations_module._made.cache_clear()
    assert len(set(made)) == 1
