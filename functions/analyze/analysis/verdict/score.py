"""From comparisons to the score: a mark per metric, a score per part, one number and its grade.

A metric within its tolerance has the full mark 1, at twice the tolerance (where yellow ends) 0.5, at four times 0, with
straight lines between. A part's score is half the mean of its marks and half its worst mark, so that one bad band does
not hide behind six good ones. The score is the mean of the parts by their weights; parts without a mark are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.verdict.tables import SCORING, Side

_GREEN, _YELLOW, _RED = "green", "yellow", "red"


def excess(delta: float, side: Side) -> float:
    """How far a value is on the wrong side of its target, in the metric's unit; 0 where it is on the right one."""
    if side == "ceiling":
        return max(0.0, delta)
    return max(0.0, -delta) if side == "floor" else abs(delta)


def status(ratio: float) -> str:
    """ratio: the excess in tolerances."""
    if ratio <= 1:
        return _GREEN
    return _YELLOW if ratio <= SCORING["yellowUpTo"] else _RED


def mark(ratio: float) -> float:
    """1 (as it should be) to 0; never rises with the excess."""
    end_of_yellow, zero_at, at_end = SCORING["yellowUpTo"], SCORING["zeroAt"], SCORING["markAtYellowsEnd"]
    if ratio <= 1:
        return 1.0
    if ratio <= end_of_yellow:
        return float(1 - (1 - at_end) * (ratio - 1) / (end_of_yellow - 1))
    return max(0.0, float(at_end * (zero_at - ratio) / (zero_at - end_of_yellow)))


def parts(comparisons: Sequence[Mapping[str, Any]], ratios: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """By part: its weight, and its score 0 to 100, None where no metric of it could be judged."""
    found: dict[str, dict[str, Any]] = {}
    for part, weight in SCORING["weights"].items():
        marks = [mark(ratios[c["metric"]]) for c in comparisons if c["part"] == part]
        found[part] = {"weight": weight, "score": _part_score(marks) if marks else None}
    return found


def total(parts_: Mapping[str, Mapping[str, Any]]) -> int | None:
    """The score, 0 to 100. None where the parts that could be judged weigh too little to speak for the track."""
    judged = [part for part in parts_.values() if part["score"] is not None]
    weight = sum(part["weight"] for part in judged)
    if weight < SCORING["leastWeight"]:
        return None
    return int(sum(part["weight"] * part["score"] for part in judged) / weight + 0.5)


def grade(score: int | None, locale: str = "en") -> str | None:
    if score is None:
        return None
    found: str = next(row[locale] for row in SCORING["grades"] if score >= row["from"])
    return found


def _part_score(marks: Sequence[float]) -> float:
    worst: float = SCORING["worstShare"]
    return round(100 * ((1 - worst) * sum(marks) / len(marks) + worst * min(marks)), 1)
