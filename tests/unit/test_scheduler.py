"""The scheduler's clock: the next full interval, always in the future."""

from hypothesis import given
from hypothesis import strategies as st

from local.scheduler import next_tick


def test_the_next_tick_is_at_the_full_minute() -> None:
    assert next_tick(1_700_000_041.5, 60) == 1_700_000_100
    assert next_tick(1_700_000_100.0, 60) == 1_700_000_160


@given(st.integers(0, 4_000_000_000), st.sampled_from([1, 5, 60, 3600]))
def test_a_tick_is_a_multiple_of_the_interval_and_at_most_one_interval_away(now_s: int, interval_s: int) -> None:
    due = next_tick(now_s, interval_s)
    assert due % interval_s == 0
    assert 0 < due - now_s <= interval_s
