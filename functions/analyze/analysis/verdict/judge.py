"""The verdict: a track's values against a genre's targets, or against another track's values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.verdict import score
from analysis.verdict.platforms import predictions
from analysis.verdict.suggestions import one_side_is_dead, suggestions
from analysis.verdict.tables import METRICS, SCORING, Genre, Metric, Names, Target, genre_named
from analysis.verdict.texts import both

_LEAST_BANDS = 3

Values = Mapping[str, float]  # by metric; what has no value is not in it


def judge(
    result: Mapping[str, Any],
    *,
    genre: str | None = None,
    reference: Mapping[str, Any] | None = None,
    reference_id: str | None = None,
) -> dict[str, Any]:
    """The `verdict` section for a result of the engine.

    genre: an id of GENRES; None is the default genre of the table, pop. reference: another result; given, the track is
    compared with it, metric by metric, and the genre is only checked to exist.

    What has no value is left out of the comparisons and named under `notes`; a part of the score without any value has
    the score None, and the others' weights count for the whole. `score` and `grade` are None where too little could be
    judged, as of a silent file. Raises UnknownGenre.
    """
    values, chosen = _values(result), genre_named(genre)
    if reference is None:
        head: dict[str, Any] = {"mode": "genre", "genre": chosen.id}
        targets, against, faults = _genre_targets(values, chosen), _in_a_sentence(chosen.names), {}
    else:
        head = {"mode": "reference", "referenceId": reference_id}
        theirs = _values(reference)
        targets, against, faults = _reference_targets(values, theirs), both("reference"), _faults_of(theirs)
    comparisons = [_comparison(METRICS[metric], values[metric], target) for metric, target in targets.items()]
    ratios = {c["metric"]: _ratio(c) for c in comparisons}
    parts = score.parts(comparisons, ratios)
    total = score.total(parts)
    return {
        **head,
        "score": total,
        "grade": score.grade(total),
        "gradePt": score.grade(total, "pt-BR"),
        "parts": parts,
        "comparisons": comparisons,
        "suggestions": suggestions(comparisons, ratios, result, against),
        "platforms": predictions(values.get("integratedLufs"), values.get("truePeakDbtp")),
        "notes": _notes(result, values, parts, total) | faults,
    }


def _values(result: Mapping[str, Any]) -> Values:
    found = {metric.id: metric.value(result) for metric in METRICS.values()}
    if found["leadingS"] is not None and found["leadingS"] >= result["file"]["durationS"]:
        found |= {"leadingS": None, "trailingS": None}  # all silence: neither start nor end
    if one_side_is_dead(result):
        found |= dict.fromkeys(("correlation", "correlationLow", "monoLossDb", "sideMidDb"))  # balanceDb says it all
    return {metric: value for metric, value in found.items() if value is not None}


def _genre_targets(values: Values, genre: Genre) -> dict[str, Target]:
    bands = _laid_through(values, genre.bands_db)
    targets = {}
    for metric in (METRICS[metric_id] for metric_id in values):
        if metric.id in genre.targets:
            targets[metric.id] = genre.targets[metric.id]
        elif metric.id in bands:
            tolerance = genre.band_tolerances_db.get(metric.id, metric.tolerance)
            targets[metric.id] = Target(bands[metric.id], tolerance)
        elif metric.target is not None:
            targets[metric.id] = Target(metric.target, metric.tolerance)
    return targets


def _reference_targets(values: Values, theirs: Values) -> dict[str, Target]:
    bands = _laid_through(values, {metric: value for metric, value in theirs.items() if METRICS[metric].eq})
    targets = {}
    for metric in (METRICS[metric_id] for metric_id in values if metric_id in theirs):
        if not metric.eq:
            targets[metric.id] = Target(_no_stricter(metric, theirs[metric.id]), metric.tolerance)
        elif metric.id in bands:
            targets[metric.id] = Target(bands[metric.id], metric.tolerance)
    return targets


def _no_stricter(metric: Metric, value: float) -> float:
    """A reference far below a ceiling, or above a floor, does not make the rule stricter than it is."""
    if metric.target is None or metric.side == "both":
        return value
    return max(metric.target, value) if metric.side == "ceiling" else min(metric.target, value)


def _laid_through(values: Values, curve: Mapping[str, float]) -> dict[str, float]:
    """The curve of bands moved to the track's level, so that loudness does not count as tonal balance.

    The move is the median of the differences: a band far off shifts itself only, not all others.
    """
    differences = [values[band] - level for band, level in curve.items() if band in values]
    if len(differences) < _LEAST_BANDS:
        return {}
    move = _median(differences)
    return {band: round(level + move, 2) for band, level in curve.items()}


def _median(values: Sequence[float]) -> float:
    """As `statistics.median`, whose import takes longer than the whole judgement."""
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _comparison(metric: Metric, value: float, target: Target) -> dict[str, Any]:
    comparison = {
        "metric": metric.id,
        "part": metric.part,
        "unit": metric.unit,
        "side": metric.side,
        "value": value,
        "target": target.value,
        "tolerance": target.tolerance,
        "delta": round(value - target.value, 6) + 0.0,
    }
    return {**comparison, "status": score.status(_ratio(comparison))}


def _ratio(comparison: Mapping[str, Any]) -> float:
    """How many tolerances the value is on the wrong side of its target."""
    excess = score.excess(comparison["delta"], comparison["side"])
    return round(excess / float(comparison["tolerance"]), 6)


def _in_a_sentence(names: Names) -> Names:
    """Pop is "pop" within a sentence, EDM stays EDM."""
    return {locale: name if name.split()[0].isupper() else name[0].lower() + name[1:] for locale, name in names.items()}


def _notes(
    result: Mapping[str, Any], values: Values, parts: Mapping[str, Mapping[str, Any]], total: int | None
) -> dict[str, str]:
    """Reasons, in English as the engine's are, by metric or under "score"."""
    reasons = result.get("notes") or {}
    left_out = [metric for metric in METRICS.values() if metric.id not in values]
    notes = {m.id: f"not judged: {reasons.get('.'.join(m.path), 'no value')}" for m in left_out}
    missing = [part for part, found in parts.items() if found["score"] is None]
    if total is None:
        notes["score"] = "too little could be measured to judge the track"
    elif missing:
        weight = 100 - sum(SCORING["weights"][part] for part in missing)
        notes["score"] = f"{', '.join(missing)} left out: the other parts, {weight} of 100, count for the whole"
    return notes


def _faults_of(theirs: Values) -> dict[str, str]:
    """Where the reference itself breaks a rule of delivery: matching it there is no proof of a clean master."""
    faults = {}
    for metric in (METRICS[metric_id] for metric_id in theirs):
        value, rule = theirs[metric.id], metric.target
        if rule is not None and score.excess(value - rule, metric.side) > metric.tolerance:
            faults[f"reference.{metric.id}"] = f"the reference itself is at {value:g}, the rule is {rule:g}"
    return faults
