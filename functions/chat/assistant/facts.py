"""What an analysis says, as an answer needs it: measured value, target, and on which side of it the value lies.

An analysis is read tolerantly (any value may be null, a reduced one holds three), but nothing is ever made up: what is
not there is None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal

from assistant import knowledge
from assistant.knowledge import Metric

Role = Literal["track", "reference", "previous"]
Side = Literal["low", "high"]

# The order in which a mix is mended: what destroys the signal first, then level, then tone, then dynamics and width.
PART_ORDER = ("technical", "truePeak", "loudness", "frequencies", "dynamics", "stereo", "music", "file")
WEIGHT_ORDER = ("truePeak", "loudness", "frequencies", "dynamics", "stereo", "technical")
# What is worth a word when it is on target, the weightiest part of the score first, and in it the best known metric.
TELLING = (
    *(
        "truePeakDbtp",
        "integratedLufs",
        "shortTermMaxLufs",
        "sub",
        "bass",
        "lowMid",
        "mid",
        "highMid",
        "presence",
        "air",
    ),
    *("drDb", "plrDb", "psrDb", "rangeLu", "correlation", "correlationLow", "sideMidDb", "monoLossDb", "balanceDb"),
    "clippingSamples",
)
BANDS = ("sub", "bass", "lowMid", "mid", "highMid", "presence", "air")


@dataclass(frozen=True)
class NamedAnalysis:
    """One analysis of a conversation: the track asked about, its reference, or its previous version."""

    name: str
    role: Role
    analysis: Mapping[str, Any]


@dataclass(frozen=True)
class Reading:
    """One metric of one track. `status` is None where there is neither a target nor a usual range to judge by."""

    metric: Metric
    value: float | None
    target: float | None = None
    tolerance: float | None = None
    status: str | None = None
    bound: str = "both"  # of the target: "ceiling" and "floor" have one wrong side

    @property
    def extra_decimals(self) -> int:
        """1 where the usual rounding would print a value that is off as equal to its target."""
        if self.value is None or self.target is None or not self.off:
            return 0
        decimals = self.metric.decimals
        return int(round(self.value, decimals) == round(self.target, decimals))

    @property
    def delta(self) -> float | None:
        """Value minus target as a reader computes it from the two printed figures."""
        if self.value is None or self.target is None:
            return None
        decimals = self.metric.decimals + self.extra_decimals
        return round(self.value, decimals) - round(self.target, decimals)

    @property
    def side(self) -> Side | None:
        """On which side of the target, or of the usual range, the value lies; None where it lies within."""
        if self.value is None or self.status in (None, "green"):
            return None
        if self.target is not None:
            return "low" if self.value < self.target else "high"
        lowest, _ = self.metric.usual
        return "low" if lowest is not None and self.value < lowest else "high"

    @property
    def problem(self) -> str | None:
        if self.side is None:
            return None
        return self.metric.low if self.side == "low" else self.metric.high

    @property
    def off(self) -> bool:
        return self.status in ("yellow", "red")


class Track:
    """One analysis, read metric by metric."""

    def __init__(self, named: NamedAnalysis) -> None:
        self.name = named.name
        self.role = named.role
        self.analysis = named.analysis

    @property
    def reduced(self) -> bool:
        return bool(self.analysis.get("reduced"))

    @property
    def verdict(self) -> Mapping[str, Any]:
        return _mapping(self.analysis.get("verdict"))

    @property
    def score(self) -> float | None:
        return number(self.verdict.get("score"))

    def at(self, *path: str) -> Any:
        node: Any = self.analysis
        for key in path:
            if not isinstance(node, Mapping):
                return None
            node = node.get(key)
        return node

    def value(self, metric: str) -> float | None:
        return number(self.at(*knowledge.metrics()[metric].path))

    @cached_property
    def comparisons(self) -> Mapping[str, Mapping[str, Any]]:
        """The verdict's comparisons by our metric id; one about a metric we do not know is left out."""
        known: dict[str, Mapping[str, Any]] = {}
        for row in self.verdict.get("comparisons") or ():
            metric = metric_named(str(_mapping(row).get("metric", "")))
            if metric is not None:
                known.setdefault(metric, row)
        return known

    def reading(self, metric: str) -> Reading:
        definition = knowledge.metrics()[metric]
        row = self.comparisons.get(metric)
        if row is not None and number(row.get("target")) is not None:
            value = number(row.get("value"))
            return Reading(
                definition,
                self.value(metric) if value is None else value,
                number(row.get("target")),
                number(row.get("tolerance")),
                row.get("status") if row.get("status") in ("green", "yellow", "red") else None,
                str(row.get("side", "both")),
            )
        value = self.value(metric)
        return Reading(definition, value, status=_usual_status(definition, value))

    @cached_property
    def readings(self) -> Sequence[Reading]:
        return [self.reading(metric) for metric in knowledge.metrics()]

    @cached_property
    def findings(self) -> Sequence[Reading]:
        """What is off, the first to mend first: by the verdict's own priorities, then by the house's order."""
        priorities: dict[str, float] = {}
        for index, row in enumerate(self.verdict.get("suggestions") or ()):
            metric = metric_named(str(_mapping(row).get("metric", "")))
            if metric is not None:
                priorities.setdefault(metric, number(row.get("priority")) or index)

        def rank(reading: Reading) -> tuple[float, int, int, float]:
            severity = abs(reading.delta or 0.0) / (reading.tolerance or math.inf)
            return (
                priorities.get(reading.metric.id, math.inf),
                PART_ORDER.index(reading.metric.part),
                0 if reading.status == "red" else 1,
                -severity,
            )

        return sorted((r for r in self.readings if r.off and r.problem and self._counts(r)), key=rank)

    @cached_property
    def strengths(self) -> Sequence[Reading]:
        """What is on target, the heaviest part of the score first."""
        judged = [r for r in self.readings if r.status == "green" and r.value is not None and self._counts(r)]
        return sorted((r for r in judged if r.metric.id in TELLING), key=lambda r: TELLING.index(r.metric.id))

    def _counts(self, reading: Reading) -> bool:
        """Judged by a target; without one only what the verdict judges nowhere, so that nothing is said twice."""
        if reading.target is not None:
            return True
        return reading.metric.id not in self.comparisons and not any(
            knowledge.metrics()[m].part == reading.metric.part for m in self.comparisons
        )


def number(value: Any) -> float | None:
    """A finite number, or None for null, text, truth values, NaN and infinity."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


@cache
def _names() -> Mapping[str, str]:
    names: dict[str, str] = {}
    for metric in knowledge.metrics().values():
        for spelling in (metric.id, metric.path[-1], ".".join(metric.path), ".".join(metric.path[1:])):
            names.setdefault(spelling.casefold(), metric.id)
    names.update({"clipping": "clippingSamples", "dynamics.clipping": "clippingSamples", "truepeak": "truePeakDbtp"})
    names.update({"integrated": "integratedLufs", "dc": "dcOffset", "width": "widthPercent", "balance": "balanceDb"})
    return names


def metric_named(name: str) -> str | None:
    """Our id of a metric as a verdict names it: `integratedLufs`, `loudness.integratedLufs` and `bands.sub` alike."""
    names = _names()
    return names.get(name.casefold()) or names.get(name.rsplit(".", 1)[-1].casefold())


def _usual_status(metric: Metric, value: float | None) -> str | None:
    lowest, highest = metric.usual
    if value is None or (lowest is None and highest is None):
        return None
    shown = round(value, metric.decimals)
    if (lowest is not None and shown < lowest) or (highest is not None and shown > highest):
        return "yellow"
    return "green"


def _mapping(node: Any) -> Mapping[str, Any]:
    return node if isinstance(node, Mapping) else {}
