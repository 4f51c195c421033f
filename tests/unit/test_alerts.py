"""Alerts have the semantics of Prometheus: for, keep_firing_for, one firing however much it flaps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring import actions, alerts
from monitoring.alerts import Alert, Samples, Series, Transition, step

ROOT = Path(__file__).resolve().parents[2]
TABLE = alerts.table()
T0 = 1_790_000_000.0
FLAPPY = Alert("flappy", "g", "warning", "x", 1.0, 20.0, 30.0, "count", "{label} flaps", ())


def evaluated(alert: Alert, values: Mapping[float, float | None]) -> list[tuple[str, float]]:
    """What happens when the signal has these values at these seconds; None: not measured."""
    states: dict[str, Series] = {}
    happened: list[tuple[str, float]] = []
    for second, value in sorted(values.items()):
        samples: Samples = {} if value is None else {alert.signal: {"one": value}}
        states, transitions = step(states, samples, T0 + second, [alert])
        happened += [(transition.kind, transition.at - T0) for transition in transitions]
    return happened


def high(alert: Alert) -> float:
    return alert.above + 1


@pytest.mark.parametrize("alert", TABLE, ids=lambda alert: alert.name)
def test_each_alert_fires_at_its_second_and_not_before(alert: Alert) -> None:
    every_second = {float(s): high(alert) for s in range(int(alert.for_s) + 3)}
    assert evaluated(alert, every_second) == [("fired", alert.for_s)]
    assert evaluated(alert, {s: value for s, value in every_second.items() if s < alert.for_s}) == []


@pytest.mark.parametrize("alert", TABLE, ids=lambda alert: alert.name)
def test_each_alert_resolves_once_after_it_was_quiet_as_long_as_the_table_says(alert: Alert) -> None:
    fired = {0.0: high(alert), alert.for_s: high(alert)}
    quiet = {alert.for_s + 1 + s: alert.above for s in range(int(alert.keep_firing_for_s) + 60)}
    resolved_at = alert.for_s + 1 + alert.keep_firing_for_s
    assert evaluated(alert, fired | quiet) == [("fired", alert.for_s), ("resolved", resolved_at)]


@pytest.mark.parametrize("alert", [a for a in TABLE if a.keep_firing_for_s > 60], ids=lambda alert: alert.name)
def test_an_alert_that_flaps_is_one_alert(alert: Alert) -> None:
    held = {0.0: high(alert), alert.for_s: high(alert)}
    flaps = {alert.for_s + 60 * i: high(alert) if i % 2 else alert.above for i in range(1, 120)}
    assert evaluated(alert, held | flaps) == [("fired", alert.for_s)]


def test_exactly_at_the_threshold_is_not_above_it() -> None:
    assert evaluated(FLAPPY, {float(s): FLAPPY.above for s in range(100)}) == []


def test_a_condition_that_pauses_before_it_fires_begins_anew() -> None:
    values = {0.0: 2.0, 10.0: 2.0, 19.0: 0.0, 20.0: 2.0, 39.0: 2.0, 40.0: 2.0}
    assert evaluated(FLAPPY, values) == [("fired", 40.0)]


def test_what_was_not_measured_says_nothing_for_five_minutes_and_then_counts_as_over() -> None:
    assert evaluated(FLAPPY, {0.0: 2.0, 10.0: None, 20.0: None, 25.0: 2.0}) == [("fired", 25.0)]
    silence: dict[float, float | None] = {20.0 + 10 * i: None for i in range(1, 40)}
    assert evaluated(FLAPPY, {**silence, 0.0: 2.0, 20.0: 2.0}) == [("fired", 20.0), ("resolved", 360.0)]


def test_a_series_that_is_gone_from_what_was_measured_is_over() -> None:
    states, _ = step({}, {"x": {"a": 2.0, "b": 2.0}}, T0, [FLAPPY])
    states, fired = step(states, {"x": {"a": 2.0, "b": 2.0}}, T0 + 20, [FLAPPY])
    assert [transition.key for transition in fired] == ["flappy/a", "flappy/b"]
    states, _ = step(states, {"x": {"a": 2.0}}, T0 + 30, [FLAPPY])
    states, resolved = step(states, {"x": {"a": 2.0}}, T0 + 60, [FLAPPY])
    assert [(transition.kind, transition.key) for transition in resolved] == [("resolved", "flappy/b")]


@given(st.lists(st.tuples(st.integers(1, 25), st.booleans()), max_size=60))
def test_any_course_goes_as_the_rule_of_prometheus_would_have_it(course: list[tuple[int, bool]]) -> None:
    second = 0.0
    values: dict[float, float | None] = {}
    for gap, holds in course:
        second += gap
        values[second] = 2.0 if holds else 0.0
    assert evaluated(FLAPPY, values) == as_prometheus(FLAPPY, values)


def as_prometheus(alert: Alert, values: Mapping[float, float | None]) -> list[tuple[str, float]]:
    """rules/alerting.go, Eval, written down plainly."""
    state, active_at, quiet_since = "inactive", 0.0, None
    happened = []
    for second, value in sorted(values.items()):
        if value is not None and value > alert.above:
            if state == "inactive":
                state, active_at = "pending", second
            quiet_since = None
            if state == "pending" and second - active_at >= alert.for_s:
                state = "firing"
                happened.append(("fired", second))
        elif state == "pending":
            state = "inactive"
        elif state == "firing":
            quiet_since = second if quiet_since is None else quiet_since
            if second - quiet_since >= alert.keep_firing_for_s:
                state = "inactive"
                happened.append(("resolved", second))
    return happened


def test_a_state_survives_being_written_and_read() -> None:
    series = Series(T0, T0 + 60, 0.93, fired_at=T0 + 60)
    assert Series(**json.loads(json.dumps(series.as_dict()))) == series


def test_the_table_is_whole() -> None:
    assert len({alert.name for alert in TABLE}) == len(TABLE)
    assert {name for alert in TABLE for name in alert.actions} == set(actions.table())
    for alert in TABLE:
        assert alert.titled("chat")
        assert alert.severity in {"warning", "critical"}
    assert next(a for a in alerts.table(7) if a.name == "uploads-open").above == 7


@pytest.mark.parametrize("alert", TABLE, ids=lambda alert: alert.name)
def test_each_alert_has_its_runbook(alert: Alert) -> None:
    runbook = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert f"\n### {alert.name}\n" in runbook


def test_the_alerts_of_the_plan_are_those_of_the_plan() -> None:
    plan = {"cpu": (0.8, 300), "memory": (0.9, 120), "error-rate": (0.05, 180), "response-time": (2.0, 60)}
    assert {a.name: (a.above, a.for_s) for a in TABLE if a.name in plan} == plan


def test_a_transition_knows_its_series() -> None:
    assert Transition("fired", FLAPPY, "", T0, 1.0).key == "flappy"
    assert Transition("fired", FLAPPY, "us", T0, 1.0).key == "flappy/us"
