"""One reading in words: the value, the target and the distance between them."""

from __future__ import annotations

from assistant.facts import Reading, Track
from assistant.language import Locale
from assistant.wording import difference, figure, plain, say, with_unit


def target_word(track: Track, locale: Locale) -> str:
    return say(locale, "target.reference" if track.verdict.get("mode") == "reference" else "target")


def state(reading: Reading, track: Track, locale: Locale, *, brief: bool = False) -> str:
    """`0.3 dBTP (target -1.0 dBTP, 1.3 dB above)`; without a target the usual range; without a value nothing."""
    if reading.value is None:
        return ""
    metric = reading.metric
    if metric.id == "clippingSamples":
        return _clipping(reading.value, locale)
    value = figure(reading.value, metric, locale, extra=reading.extra_decimals)
    if reading.target is None:
        return _beside_usual(reading, value, locale)
    if metric.part == "technical" and not reading.off:
        return value
    distance = reading.delta or 0.0
    words = {
        "value": value,
        "target": figure(reading.target, metric, locale, extra=reading.extra_decimals),
        "target_word": target_word(track, locale),
        "difference": difference(distance, metric, locale, extra=reading.extra_decimals),
        "side": say(locale, "above" if distance > 0 else "below"),
    }
    return say(locale, _phrase(reading, distance, brief), **words)


def _phrase(reading: Reading, distance: float, brief: bool) -> str:
    if reading.status == "green" and (
        (reading.bound == "ceiling" and distance > 0) or (reading.bound == "floor" and distance < 0)
    ):
        return "state.near"
    if reading.bound == "ceiling":
        return "state.ceiling.over" if distance > 0 and not brief else "state.ceiling"
    if reading.bound == "floor":
        return "state.floor.under" if distance < 0 and not brief else "state.floor"
    if abs(distance) < 1e-9:
        return "state.met"
    return "state.short" if brief else "state.target"


def verdict(reading: Reading, locale: Locale) -> str:
    if reading.status is None:
        return say(locale, "status.none")
    if reading.status == "green" and reading.target is None:
        return say(locale, "status.usual")
    return say(locale, f"status.{reading.status}")


def _clipping(samples: float, locale: Locale) -> str:
    if samples <= 0:
        return say(locale, "metric.clipping.none")
    return say(locale, "metric.clipping.some", count=plain(samples, 0, locale))


def _beside_usual(reading: Reading, value: str, locale: Locale) -> str:
    lowest, highest = reading.metric.usual
    if lowest is not None and highest is not None:
        low, high = (figure(limit, reading.metric, locale) for limit in (lowest, highest))
        return say(locale, "state.usual.between", value=value, low=low, high=high)
    limit = lowest if lowest is not None else highest
    if limit is None:
        return value
    phrase = "state.usual.from" if lowest is not None else "state.usual.to"
    return say(locale, phrase, value=value, limit=figure(limit, reading.metric, locale))


def seconds(value: float, locale: Locale) -> str:
    return with_unit(plain(value, 1, locale), "s")
