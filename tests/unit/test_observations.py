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
from shared.observations import FIELDS_MOST, GAMMA, Batch, Observations, bucket_of, bucket_value


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


def test_a_long_outage_piles_up_no_more_than_the_bound() -> None:
    observations = Observations("upload/1")
    for number in range(3 * FIELDS_MOST):
        observations.count(f"name {number}")
    assert len(parsed(observations.take())["counts"][0][1]) == 2 * FIELDS_MOST


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
