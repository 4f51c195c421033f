"""Durations in buckets: percentiles within 2 % of the true ones, however many instances measured them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.metrics import DISTRIBUTIONS, INSTANCES, worst_error
from monitoring.histogram import Histogram, merged
from shared.observations import bucket_of, bucket_value

durations = st.floats(1, 1e7, allow_nan=False)


def histogram(values: list[float]) -> Histogram:
    return merged(Histogram({bucket_of(value): 1}) for value in values)


@given(durations)
def test_the_value_of_a_bucket_is_within_two_percent_of_each_duration_in_it(duration_ms: float) -> None:
    assert bucket_value(bucket_of(duration_ms)) == pytest.approx(duration_ms, rel=0.02)


@given(st.lists(durations, min_size=1, max_size=60), st.floats(0.1, 100))
def test_a_percentile_is_within_two_percent_of_the_duration_at_its_rank(values: list[float], q: float) -> None:
    true = sorted(values)[max(1, math.ceil(len(values) * q / 100)) - 1]
    assert histogram(values).percentile(q) == pytest.approx(true, rel=0.02)


@given(st.lists(st.lists(durations, max_size=20), max_size=6))
def test_merging_parts_gives_what_measuring_together_gives(parts: list[list[float]]) -> None:
    together = histogram([value for part in parts for value in part])
    assert merged(histogram(part) for part in parts) == together


@given(st.lists(durations, min_size=1, max_size=40))
def test_the_sum_is_within_two_percent_and_all_are_at_most_the_longest(values: list[float]) -> None:
    found = histogram(values)
    assert found.sum_ms == pytest.approx(sum(values), rel=0.02)
    assert found.at_most(max(values) * 1.02) == found.count == len(values)


def test_without_durations_there_is_no_percentile_and_up_to_a_millisecond_is_told_as_one() -> None:
    assert Histogram().percentile(95) is None
    assert histogram([0.0, 0.3]).percentile(95) == 1.0


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_percentiles_merged_from_fifty_instances_agree_with_numpy(name: str) -> None:
    samples = DISTRIBUTIONS[name](np.random.default_rng(7), 20_000)
    assert worst_error(samples, INSTANCES) < 0.02
