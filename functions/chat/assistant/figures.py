"""The number check: which figures of a text come from nowhere.

A figure is allowed when it is a measured value, a target, a difference of two values of one metric (or of one band at
equal loudness), or a setting that the knowledge table writes. Everything else is invented, whoever wrote the text.
Names in quotation marks are data and are not looked at; nor are the numbers that count a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise
from typing import Any

from assistant import knowledge
from assistant.facts import BANDS, NamedAnalysis, Track, number
from assistant.language import Locale
from assistant.replies.pairs import pairs_of
from assistant.replies.platforms import plays

_NUMBER = r"(?<![\w.,:/])[+\-−–]?\d+(?:[.,]\d+)?"
_UNIT = r"dBTP|dBFS|LUFS|LKFS|LU|dB/oct|dB|kHz|Hz|BPM|bpm|ms|s|%|cents|bits?|seconds|segundos"
# "80 to 120 Hz" and "80 a 120 Hz" are two figures with one unit; "Q 1.4" and "4:1" carry theirs in front or behind.
_RATIO = re.compile(r"(?<![\w.,])(\d+(?:[.,]\d+)?):1\b")
_Q = re.compile(r"\bQ (?:of |de )?(\d+(?:[.,]\d+)?)(?:(?: to | a | e | and |-|–)(\d+(?:[.,]\d+)?))?")
_FIGURE = re.compile(rf"({_NUMBER})(?:(?: ?(?:to|a|and|e|-|–) ?)(\d+(?:[.,]\d+)?))? ?({_UNIT})(?![\w/])")
_BARE = re.compile(rf"({_NUMBER})(?![\w:])")
_QUOTED = re.compile(r"“[^”]*”|\"[^\"]*\"")
_LIST_NUMBER = re.compile(r"^\s*\d+\. ", re.MULTILINE)
_NAMES = re.compile(
    r"BS\.?1770(?:-\d)?|R ?128|TD1008|DR14|Camelot \d+[AB]|\b\d{1,2}[AB]\b|A ?= ?440 Hz|Lá ?= ?440 Hz|MP3|H264|4x|v\d+"
)
_SIGNED = frozenset({"LUFS", "dBTP", "dBFS"})  # levels: their sign is part of the value
_SAME = {"LKFS": "LUFS", "bpm": "BPM", "bits": "bit", "seconds": "s", "segundos": "s", "LU": "dB"}


@dataclass(frozen=True)
class Figure:
    """A number as written: `decimals` says how far it may be rounded; unit "" is a number without one."""

    value: float
    decimals: int
    unit: str
    text: str
    start: int  # its place in the text
    end: int

    def is_(self, value: float) -> bool:
        """True where `value`, rounded as this figure is, reads like it. A difference reads without its sign."""
        slack = 0.5 * 10**-self.decimals + 1e-6
        if abs(self.value - value) <= slack:
            return True
        return self.unit not in _SIGNED and abs(abs(self.value) - abs(value)) <= slack


@dataclass(frozen=True)
class Source:
    """Where a figure may come from: one value, or the span between two settings ("2 to 4 dB").

    Between the ends of a span lie settings, which are round ("3 dB", "2.5 dB"): "2.7 dB" reads like a measurement. And
    no frequency lies there: "57 Hz" speaks of one sound, and none was measured.
    """

    low: float
    high: float
    unit: str

    def covers(self, figure: Figure) -> bool:
        if figure.unit != self.unit:
            return False
        between = self.unit != "Hz" and self.low < figure.value < self.high and (2 * figure.value).is_integer()
        return between or figure.is_(self.low) or figure.is_(self.high)


class NumberCheck:
    """The check for one conversation. Sources are gathered once, so that a stream can be checked by the sentence."""

    def __init__(self, analyses: Sequence[NamedAnalysis], locale: Locale) -> None:
        self._locale = locale
        self._sources: dict[str, set[Source]] = {}
        for source in _sources(analyses, locale):
            self._sources.setdefault(source.unit, set()).add(source)

    def untraceable(self, text: str, *, with_bare_numbers: bool = False) -> list[Figure]:
        """The figures of `text` that nothing vouches for, each with its place; an empty list is what should be.

        `with_bare_numbers` looks at numbers without a unit too (scores, correlations, counts).
        """
        found = figures(text, with_bare_numbers=with_bare_numbers)
        return [f for f in found if not any(source.covers(f) for source in self._sources.get(f.unit, ()))]

    def vouches(self, figure: Figure) -> bool:
        """Whether a number without a unit is one of the sources, whatever its unit."""
        every = (source for sources in self._sources.values() for source in sources)
        return any(figure.is_(source.low) or figure.is_(source.high) for source in every)


def figures(text: str, *, with_bare_numbers: bool = False) -> list[Figure]:
    """The figures of a text in reading order; of a span ("80 to 120 Hz") both ends, each with the span's place."""
    rest = text
    for skipped in (_QUOTED, _LIST_NUMBER, _NAMES):
        rest = skipped.sub(_blank, rest)
    found: list[Figure] = []
    for pattern, unit in ((_RATIO, ":1"), (_Q, "Q"), (_FIGURE, None), (_BARE, "")):
        if pattern is _BARE and not with_bare_numbers:
            continue
        for match in pattern.finditer(rest):
            *written, last = match.groups() if unit is None else (*match.groups(), unit)
            found += [_figure(w, last, match) for w in written if w is not None]
        rest = pattern.sub(_blank, rest)
    return sorted(found, key=lambda f: f.start)


def unit_of(metric: str) -> str:
    """The unit of a metric as figures have it."""
    unit = knowledge.metrics()[metric].unit
    return _SAME.get(unit, unit)


def _blank(match: re.Match[str]) -> str:
    """As many spaces, so that places in the text stay what they are."""
    return " " * len(match[0])


def _figure(written: str, unit: str, match: re.Match[str]) -> Figure:
    digits = written.replace("−", "-").replace("–", "-").replace(",", ".")
    value, decimals = float(digits), len(digits.partition(".")[2])
    if unit == "kHz":
        value, decimals, unit = value * 1000, decimals - 3, "Hz"
    return Figure(value, decimals, _SAME.get(unit, unit), match[0].strip(), match.start(), match.end())


def _sources(analyses: Sequence[NamedAnalysis], locale: Locale) -> Iterator[Source]:
    yield from _settings(locale)
    tracks = [Track(named) for named in analyses]
    for track in tracks:
        yield from _measured(track)
    for metric, row in knowledge.metrics().items():
        unit = _SAME.get(row.unit, row.unit)
        values = [v for track in tracks for v in _values(track, metric)]
        yield from (Source(v, v, unit) for v in values)
        yield from _differences(values, "dB" if unit in _SIGNED else unit, row.decimals)
    yield from _levelled(tracks)
    yield from _beside_platforms(tracks)


@cache
def _settings(locale: Locale) -> tuple[Source, ...]:
    """Every figure the tables write in this language, a span as a span; targets of platforms and usual limits too."""
    sources: list[Source] = []
    for text in knowledge.texts(locale):
        written = figures(text, with_bare_numbers=True)
        sources += [Source(f.value, f.value, f.unit) for f in written]
        for first, second in pairwise(written):
            if first.text == second.text and first.unit == second.unit and first.value < second.value:
                sources.append(Source(first.value, second.value, first.unit))
    for platform in knowledge.platforms().values():
        if platform.target_lufs is not None and platform.ceiling_dbtp is not None:
            sources.append(Source(platform.target_lufs, platform.target_lufs, "LUFS"))
            sources.append(Source(platform.ceiling_dbtp, platform.ceiling_dbtp, "dBTP"))
    for metric in knowledge.metrics().values():
        sources += [Source(limit, limit, metric.unit) for limit in metric.usual if limit is not None]
    return tuple(sources)


def _measured(track: Track) -> Iterator[Source]:
    """What an analysis holds beside the metrics: score and parts, alternative tempi, the first clipping, platforms."""
    if track.score is not None:
        yield Source(track.score, track.score, "")
    parts = track.verdict.get("parts")
    for row in parts.values() if isinstance(parts, Mapping) else ():
        yield from _values_as(row.get("score"), "")
    for bpm in track.at("rhythm", "alternativesBpm") or ():
        yield from _values_as(bpm, "BPM")
    yield from _values_as(track.at("dynamics", "clipping", "firstS"), "s")
    yield from _values_as(track.at("dynamics", "clipping", "runs"), "")
    for row in track.verdict.get("platforms") or ():
        yield from _values_as(row.get("gainDb"), "dB")
        yield from _values_as(row.get("playsAtLufs"), "LUFS")


def _values(track: Track, metric: str) -> list[float]:
    reading = track.reading(metric)
    return [v for v in (reading.value, reading.target) if v is not None]


def _differences(values: Iterable[float], unit: str, decimals: int) -> Iterator[Source]:
    for a, b in combinations(values, 2):
        for gap in (a - b, round(a, decimals) - round(b, decimals), round(a, decimals + 1) - round(b, decimals + 1)):
            yield Source(abs(gap), abs(gap), unit)


def _levelled(tracks: Sequence[Track]) -> Iterator[Source]:
    """Differences of the bands of two tracks at equal loudness, as a comparison gives them."""
    for track in tracks:
        for other in tracks:
            if track is not other:
                for pair in pairs_of(track, other, BANDS):
                    yield Source(abs(pair.delta), abs(pair.delta), "dB")


def _beside_platforms(tracks: Sequence[Track]) -> Iterator[Source]:
    """Loudness against each platform's target and peak against its ceiling: differences, and where it plays then."""
    for track in tracks:
        loudness, peak = track.value("integratedLufs"), track.value("truePeakDbtp")
        for platform in knowledge.platforms().values():
            if platform.target_lufs is None or platform.ceiling_dbtp is None:
                continue
            if loudness is not None:
                gain, level = plays(platform, track, loudness)
                yield Source(gain, gain, "dB")
                yield Source(level, level, "LUFS")
                yield from _differences((loudness, platform.target_lufs), "dB", 1)
                yield from _differences((level, platform.target_lufs), "dB", 1)
            if peak is not None:
                yield from _differences((peak, platform.ceiling_dbtp), "dB", 1)


def _values_as(value: Any, unit: str) -> Iterator[Source]:
    found = number(value)
    if found is not None:
        yield Source(found, found, unit)
