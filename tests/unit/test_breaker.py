"""The breaker: closed, open, half-open, as a state machine against its description."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.breaker import Breaker


@given(st.integers(1, 4), st.lists(st.sampled_from(["ok", "fail", "ask", "wait"]), max_size=60))
def test_calls_go_through_until_enough_failed_in_a_row_and_then_one_at_a_time_after_a_pause(
    most: int, moves: list[str]
) -> None:
    time = [0.0]
    breaker = Breaker(most, 1.0, lambda: time[0])
    failed, quiet_until = 0, 0.0
    for move in moves:
        if move == "ok":
            breaker.succeeded()
            failed = 0
        elif move == "fail":
            breaker.failed()
            failed, quiet_until = failed + 1, time[0] + 1.0
        elif move == "wait":
            time[0] += 0.5
        else:
            expected = failed < most or time[0] >= quiet_until
            assert breaker.allows() is expected
            if expected and failed >= most:
                quiet_until = time[0] + 1.0  # the probe is under way
        assert breaker.open is (failed >= most)
