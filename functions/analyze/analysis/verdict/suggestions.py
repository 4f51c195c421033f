"""What to change, in the order in which it is worth doing, each from which value to which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.verdict.score import status
from analysis.verdict.tables import ADVICE, CEILING_DBTP, LOCALES, METRICS, SCORING, Metric, Names
from analysis.verdict.texts import Field, both, number


def suggestions(
    comparisons: Sequence[Mapping[str, Any]], ratios: Mapping[str, float], result: Mapping[str, Any], against: Names
) -> list[dict[str, Any]]:
    """One for each yellow or red comparison, in the order of scoring.json and within a group the farthest off first.

    `against` is what the track was compared with, for the sentences.
    """
    wanting = [c for c in comparisons if status(ratios[c["metric"]]) != "green"]
    wanting.sort(key=lambda c: (_group(METRICS[c["metric"]]), -ratios[c["metric"]]))
    return [_suggestion(priority, comparison, result, against) for priority, comparison in enumerate(wanting, start=1)]


def one_side_is_dead(result: Mapping[str, Any]) -> bool:
    return bool({"left", "right"} & set((result.get("stereo") or {}).get("deadChannels") or ()))


def _group(metric: Metric) -> int:
    order: list[list[str]] = SCORING["suggestionOrder"]
    return next(i for i, group in enumerate(order) if metric.suggested in group)


def _suggestion(
    priority: int, comparison: Mapping[str, Any], result: Mapping[str, Any], against: Names
) -> dict[str, Any]:
    metric = METRICS[comparison["metric"]]
    path = _sentence(metric, comparison, result)
    fields = _fields(metric, comparison, result, against)
    title, action = both(*path, "title", **fields), both(*path, "action", **fields)
    return {
        "priority": priority,
        "metric": metric.id,
        "title": title["en"],
        "titlePt": title["pt-BR"],
        "action": action["en"],
        "actionPt": action["pt-BR"],
        "valueFrom": comparison["value"],
        "valueTo": comparison["target"],
        "unit": metric.unit,
        "status": comparison["status"],
    }


def _sentence(metric: Metric, comparison: Mapping[str, Any], result: Mapping[str, Any]) -> tuple[str, ...]:
    """Where in texts.json the suggestion stands."""
    way = "high" if comparison["delta"] > 0 else "low"
    if metric.eq:
        deep = "Deep" if comparison["status"] == "red" else ""
        return ("suggestions", "band", f"{way}{deep}")
    if metric.id == "balanceDb" and one_side_is_dead(result):
        way = "dead"
    if metric.id == "clippingSamples" and _sample_peak_dbfs(result) > 0:
        way = "over"
    if metric.id == "integratedLufs" and way == "low":
        return ("suggestions", metric.id, _way_to_louder(comparison, result))
    return ("suggestions", metric.id, way)


def _way_to_louder(comparison: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    peak = METRICS["truePeakDbtp"].value(result)
    if peak is None:
        return "low"
    limiting_db = peak - comparison["delta"] - CEILING_DBTP
    if limiting_db <= 0:
        return "lowClean"
    return "lowDeep" if limiting_db > ADVICE["deepLimitingFromDb"] else "low"


def _fields(
    metric: Metric, comparison: Mapping[str, Any], result: Mapping[str, Any], against: Names
) -> dict[str, Field]:
    off = abs(comparison["delta"])
    decimals = {"": 2, "s": 1}.get(metric.unit, 1)
    fields: dict[str, Field] = {
        "value": number(comparison["value"], decimals),
        "target": number(comparison["target"], decimals),
        "off": number(off, decimals),
        "against": against,
        "ceiling": number(CEILING_DBTP),
    }
    if metric.eq:
        fields |= _eq_fields(metric, metric.eq, off)
    if metric.id == "integratedLufs":
        peak = METRICS["truePeakDbtp"].value(result)
        lands_at = 0.0 if peak is None else peak + off
        fields |= {"landsAt": number(lands_at), "limiting": number(max(0.0, lands_at - CEILING_DBTP))}
    if metric.id == "clippingSamples":
        fields |= _clipping_fields(result)
    if metric.id == "dcOffset":
        fields["value"] = number(comparison["value"], 4)
    if metric.id == "balanceDb":
        louder, softer = ("left", "right") if comparison["delta"] > 0 else ("right", "left")
        fields |= {"louder": both("sides", louder), "softer": both("sides", softer)}
    return fields


def _eq_fields(metric: Metric, eq: Mapping[str, Any], off: float) -> dict[str, Field]:
    step_db = ADVICE["eqStepDb"]
    move = max(step_db, round(min(off, ADVICE["eqMostDb"]) / step_db) * step_db)
    hz = eq["hz"]
    where = {
        locale: f"{number(hz / 1000, 1 if hz % 1000 else 0).written(locale)} kHz" if hz >= 1000 else f"{hz} Hz"
        for locale in LOCALES
    }
    return {
        "band": both("bands", metric.id),
        "instruments": both("instruments", metric.id),
        "filter": both("filters", eq["shape"], hz=where, q=number(ADVICE["eqQ"])),
        "move": number(move),
    }


def _clipping_fields(result: Mapping[str, Any]) -> dict[str, Field]:
    clipping = result["dynamics"]["clipping"]
    first_s = clipping.get("firstS")
    at = "" if first_s is None else f"{int(first_s) // 60}:{first_s % 60:04.1f}"
    start = both("clippingStarts", at=at) if at else both("clippingSomewhere")
    return {"samples": f"{clipping['samples']}", "start": start, "peak": number(_sample_peak_dbfs(result))}


def _sample_peak_dbfs(result: Mapping[str, Any]) -> float:
    """Above 0 only where samples are floats or come from a lossy decoder; 0 where it is not known."""
    return (result.get("loudness") or {}).get("samplePeakDbfs") or 0.0
