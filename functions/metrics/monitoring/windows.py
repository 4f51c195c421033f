"""What was measured in a stretch of time, as it stands in one Redis hash: a minute, an hour, or all time.

Fields: `n|{name}` counts, `s|{endpoint}|{status}` answers by status, `h|{endpoint or timing}|{bucket}` durations,
written by every function; `u|{event}` usage events and `v|{event}|{value}` what they sum up to,
written by metrics alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self, TypeVar

from monitoring.histogram import Histogram, merged

Key = TypeVar("Key")


@dataclass(frozen=True)
class Window:
    start: datetime
    counts: Mapping[str, int] = field(default_factory=dict)
    statuses: Mapping[str, Mapping[int, int]] = field(default_factory=dict)  # endpoint -> status -> answers
    histograms: Mapping[str, Histogram] = field(default_factory=dict)  # endpoint or timing -> durations in ms
    events: Mapping[str, int] = field(default_factory=dict)  # usage events
    values: Mapping[str, int] = field(default_factory=dict)  # "{event}.{value}" -> summed over the events

    @classmethod
    def of(cls, start: datetime, fields: Mapping[str, str | int]) -> Self:
        """From the fields of a Redis hash; what is no known field is left out."""
        counts: dict[str, int] = {}
        events: dict[str, int] = {}
        values: dict[str, int] = {}
        statuses: dict[str, dict[int, int]] = defaultdict(dict)
        buckets: dict[str, dict[int, int]] = defaultdict(dict)
        for key, raw in fields.items():
            kind, _, name = key.partition("|")
            subject, _, last = name.rpartition("|")
            if kind == "n":
                counts[name] = int(raw)
            elif kind == "u":
                events[name] = int(raw)
            elif kind == "v":
                values[name.replace("|", ".")] = int(raw)
            elif kind == "s" and last.isdecimal():
                statuses[subject][int(last)] = int(raw)
            elif kind == "h" and last.isdecimal():
                buckets[subject][int(last)] = int(raw)
        histograms = {name: Histogram(found) for name, found in buckets.items()}
        return cls(start, counts, dict(statuses), histograms, events, values)

    def as_fields(self) -> dict[str, int]:
        """As it stands in Redis, without the usage events."""
        fields = {f"n|{name}": count for name, count in self.counts.items()}
        fields |= {f"s|{name}|{status}": n for name, answers in self.statuses.items() for status, n in answers.items()}
        durations = self.histograms.items()
        return fields | {f"h|{name}|{bucket}": n for name, found in durations for bucket, n in found.buckets.items()}

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(sorted(self.statuses))

    def requests(self, endpoint: str | None = None) -> dict[int, int]:
        """Answers by status, of one endpoint or of all."""
        return _added([self.statuses.get(endpoint, {})] if endpoint else self.statuses.values())

    def histogram(self, name: str | None = None) -> Histogram:
        """The durations of an endpoint or timing, or of all endpoints together."""
        if name is not None:
            return self.histograms.get(name, Histogram())
        return merged(self.histogram(endpoint) for endpoint in self.statuses)

    def percentile(self, name: str | None, q: float) -> float | None:
        """ms; q from 0 to 100; None where nothing was measured."""
        return self.histogram(name).percentile(q)

    def error_rate(self, endpoint: str | None = None) -> float | None:
        """The share of answers that are 5xx, 0 to 1; None where nothing was asked."""
        answers = self.requests(endpoint)
        total = sum(answers.values())
        return sum(n for status, n in answers.items() if status >= 500) / total if total else None


@dataclass(frozen=True)
class Minute(Window):
    active: int = 0  # distinct users


def together(windows: Iterable[Window], start: datetime) -> Window:
    """All of them as one window."""
    found = list(windows)
    endpoints = {name for window in found for name in window.statuses}
    timed = {name for window in found for name in window.histograms}
    return Window(
        start,
        _added(window.counts for window in found),
        {name: _added(window.requests(name) for window in found) for name in endpoints},
        {name: merged(window.histogram(name) for window in found) for name in timed},
        _added(window.events for window in found),
        _added(window.values for window in found),
    )


def _added(counts: Iterable[Mapping[Key, int]]) -> dict[Key, int]:
    total: dict[Key, int] = {}
    for each in counts:
        for key, count in each.items():
            total[key] = total.get(key, 0) + count
    return total
