"""Metrics of two tracks side by side, and how they are told: what every comparison is built from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from assistant import knowledge
from assistant.facts import BANDS, Track
from assistant.intents import Request
from assistant.knowledge import Metric
from assistant.language import Locale
from assistant.replies.common import labelled_list
from assistant.wording import capital, difference, figure, quoted, say

# What a listener can hear between two masters, one metric for each quality where several say the same.
COMPARED = (
    ("integratedLufs", "shortTermMaxLufs"),
    ("plrDb", "psrDb", "drDb"),
    ("rangeLu",),
    ("truePeakDbtp",),
    ("clippingSamples",),
    ("sub",),
    ("bass",),
    ("lowMid",),
    ("mid",),
    ("highMid",),
    ("presence",),
    ("air",),
    ("sideMidDb",),
    ("correlation",),
    ("correlationLow",),
    ("monoLossDb",),
    ("balanceDb",),
)
FINDINGS_SHOWN = 3


@dataclass(frozen=True)
class Pair:
    """One metric of two tracks. The bands of two tracks are compared at equal loudness: `other` is moved there."""

    metric: Metric
    value: float
    other: float

    @property
    def levelled(self) -> bool:
        return self.metric.id in BANDS

    @property
    def delta(self) -> float:
        decimals = self.metric.decimals
        if self.levelled:
            return round(self.value - self.other, decimals)
        return round(self.value, decimals) - round(self.other, decimals)

    @property
    def weight(self) -> float:
        """How audible the difference is: 1 and more deserves a word."""
        return abs(self.delta) / self.metric.notable

    @property
    def side(self) -> str:
        return "low" if self.delta < 0 else "high"

    @property
    def problem(self) -> str | None:
        return self.metric.low if self.side == "low" else self.metric.high


def pairs_of(track: Track, other: Track, ids: Iterable[str]) -> list[Pair]:
    move = level_move_db(track, other)
    pairs = []
    for metric in ids:
        value, against = track.value(metric), other.value(metric)
        if value is not None and against is not None:
            pairs.append(Pair(knowledge.metrics()[metric], value, against + move if metric in BANDS else against))
    return pairs


def level_move_db(track: Track, other: Track) -> float:
    """What moves the other track's bands to this one's level: the median, so that one odd band moves itself only."""
    both = [(track.value(band), other.value(band)) for band in BANDS]
    differences = [value - against for value, against in both if value is not None and against is not None]
    return median(differences) if differences else 0.0


def topics(asked: Request) -> tuple[str, ...]:
    """The metrics a comparison is about: those named, else the main ones of a problem named."""
    named = [m for m in asked.metrics if m not in ("durationS",)]
    of_problems = [metric for problem in asked.problems for metric, _ in knowledge.problems()[problem].evidence[:2]]
    of_terms = [metric for term in asked.terms for metric in knowledge.terms()[term].see]
    return tuple(dict.fromkeys(named or of_problems or of_terms))[:7]


def topic_text(topics: Sequence[str], track: Track, other: Track, locale: Locale) -> str:
    return "\n".join(topic_lines(topics, track, other, locale))


def topic_lines(topics: Sequence[str], track: Track, other: Track, locale: Locale) -> list[str]:
    lines = []
    for pair in pairs_of(track, other, topics):
        gap = ""
        if pair.levelled:
            lines.append(item(pair, locale))
            continue
        if abs(pair.delta) > 1e-9:
            direction = say(locale, "compare.lower" if pair.delta < 0 else "compare.higher")
            gap = f" ({difference(pair.delta, pair.metric, locale)} {direction})"
        told = say(
            locale,
            "compare.topic",
            label=capital(pair.metric.label[locale]),
            name=quoted(track.name),
            value=figure(pair.value, pair.metric, locale),
            other=name(other, locale),
            other_value=figure(pair.other, pair.metric, locale),
        )
        lines.append(told + gap)
    return lines or [say(locale, "compare.same", name=quoted(track.name), other=name(other, locale))]


def item(pair: Pair, locale: Locale) -> str:
    if pair.levelled:
        return say(
            locale,
            "compare.level.item",
            label=capital(pair.metric.label[locale]),
            difference=difference(pair.delta, pair.metric, locale),
            direction=say(locale, "compare.lower" if pair.delta < 0 else "compare.higher"),
        )
    return say(
        locale,
        "compare.item",
        label=capital(pair.metric.label[locale]),
        value=figure(pair.value, pair.metric, locale),
        other=figure(pair.other, pair.metric, locale),
        difference=difference(pair.delta, pair.metric, locale),
        direction=say(locale, "compare.lower" if pair.delta < 0 else "compare.higher"),
    )


def name(other: Track, locale: Locale) -> str:
    return quoted(other.name) if other.name else say(locale, "compare.reference")


def meanwhile(track: Track, locale: Locale) -> str:
    if not track.findings:
        return ""
    return say(locale, "compare.meanwhile", states=labelled_list(track.findings[:FINDINGS_SHOWN], track, locale))
