"""Whether what was measured is an alert: the semantics of Prometheus, as a pure step from one state to the next.

A condition that holds is pending; held for `for` it fires; no longer true, it goes on firing for `keep_firing_for`, so
that one that flaps is one alert. What was not measured says nothing: a series stays as it was, up to STALE_S.
Source: Prometheus, "Alerting rules"; rules/alerting.go (ActiveAt, KeepFiringSince); the lookback delta of 5 min.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

STALE_S = 300.0

Samples = Mapping[str, Mapping[str, float]]  # signal -> label -> value; a signal that is absent was not measured


@dataclass(frozen=True)
class Alert:
    name: str
    group: str  # alerts of a group make one incident
    severity: Literal["warning", "critical"]
    signal: str
    above: float
    for_s: float
    keep_firing_for_s: float
    unit: str
    title: str
    actions: tuple[str, ...]
    told_unless: str = ""  # not told while an incident of this group is open, which tells it already
    aftermath_s: float = 0  # nor so long after it: what it left behind is still in the alert's window

    def titled(self, label: str) -> str:
        return self.title.format(label=label)


@dataclass(frozen=True)
class Series:
    """Where one alert stands for one label. Moments are seconds since 1970."""

    active_since: float
    seen_at: float  # when it was last measured
    value: float
    fired_at: float | None = None
    quiet_since: float | None = None  # firing, but no longer true

    def as_dict(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Transition:
    kind: Literal["fired", "resolved"]
    alert: Alert
    label: str
    at: float
    value: float

    @property
    def key(self) -> str:
        return key_of(self.alert.name, self.label)


States = Mapping[str, Series]  # by key


def key_of(name: str, label: str) -> str:
    return f"{name}/{label}" if label else name


@cache
def table(uploads_open_above: float = 50) -> tuple[Alert, ...]:
    rows = json.loads(Path(__file__).with_name("alerts.json").read_text(encoding="utf-8"))["alerts"]
    return tuple(_alert(row, uploads_open_above) for row in rows)


def _alert(row: Mapping[str, Any], uploads_open_above: float) -> Alert:
    above = uploads_open_above if row["signal"] == "uploadsOpen" else row["above"]
    return Alert(
        row["name"],
        row["group"],
        row["severity"],
        row["signal"],
        above,
        row["forS"],
        row["keepFiringForS"],
        row["unit"],
        row["title"],
        tuple(row["actions"]),
        row.get("toldUnless", ""),
        row.get("aftermathS", 0),
    )


def step(
    states: States, samples: Samples, now: float, alerts: Sequence[Alert]
) -> tuple[dict[str, Series], list[Transition]]:
    """The states after one evaluation at `now`, later than the one before, and what fired or resolved by it."""
    after: dict[str, Series] = {}
    transitions: list[Transition] = []
    for alert in alerts:
        measured = samples.get(alert.signal)
        known = [key for key in states if key.partition("/")[0] == alert.name]
        labels = {key.partition("/")[2] for key in known} | set(measured or {})
        for label in sorted(labels):
            key = key_of(alert.name, label)
            series = _next(alert, states.get(key), measured, label, now)
            if series is not None:
                after[key] = series
            transition = _transition(alert, label, states.get(key), series, now)
            if transition is not None:
                transitions.append(transition)
    return after, transitions


def _next(
    alert: Alert, before: Series | None, measured: Mapping[str, float] | None, label: str, now: float
) -> Series | None:
    """The series after an evaluation; None where it is neither pending nor firing."""
    if measured is None and before is not None and now - before.seen_at <= STALE_S:
        return before
    value = (measured or {}).get(label)
    if value is not None and value > alert.above:
        series = before or Series(now, now, value)
        fired_at = series.fired_at
        if fired_at is None and now - series.active_since >= alert.for_s:
            fired_at = now
        return replace(series, seen_at=now, value=value, fired_at=fired_at, quiet_since=None)
    if before is None or before.fired_at is None:
        return None
    quiet_since = now if before.quiet_since is None else before.quiet_since
    if now - quiet_since >= alert.keep_firing_for_s:
        return None
    seen_at = before.seen_at if measured is None else now
    return replace(before, seen_at=seen_at, quiet_since=quiet_since)


def _transition(alert: Alert, label: str, before: Series | None, after: Series | None, now: float) -> Transition | None:
    was, fires = bool(before and before.fired_at is not None), bool(after and after.fired_at is not None)
    if fires and after and not was:
        return Transition("fired", alert, label, now, after.value)
    if was and before and not fires:
        return Transition("resolved", alert, label, now, before.value)
    return None
