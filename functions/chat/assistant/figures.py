"""The number check: which figures of a text come from nowhere.

A figure is allowed when it is a measured value, a target, a difference of two values of one metric (or of one band at
equal loudness), or a setting that the knowledge table writes. Everything else is invented, whoever wrote the text.
Names in quotation marks are data and are not looked at; nor are the numbers that count a list.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, pairwise
from typing import Any

from assistant import knowledge
from assistant.facts import BANDS, NamedAnalysis, Track, number
from assistant.language import Locale
from assistant.replies.pairs import pairs_of
from assistant.replies.platforms import plays
from assistant.written import plainly

_NUMBER = r"(?<![\w.,:/])[+\-−–]?\d+(?:[.,]\d+)?"
_UNIT = (
    r"dBTP|dBFS|LUFS|LKFS|LU|dB/oct|dB|kHz|Hz|BPM|bpm|ms|s|min|%|cents|bits?|seconds|segundos|semitones|octaves|samples|"
    r"kbps|MB|degrees"
)
# "80 to 120 Hz" and "80 a 120 Hz" are two figures with one unit; "Q 1.4" and "4:1" carry theirs in front or behind.
_RATIO = re.compile(r"(?<![\w.,])(\d+(?:[.,]\d+)?):1\b")
_Q = re.compile(r"\bQ (?:of |de )?(\d+(?:[.,]\d+)?)(?:(?: to | a | e | and |-|–)(\d+(?:[.,]\d+)?))?")
_FIGURE = re.compile(rf"({_NUMBER})(?:(?: ?(?:to|a|and|e|-|–) ?)(\d+(?:[.,]\d+)?))? ?({_UNIT})(?![\w/])")
# "3:35" and "3 min 35 s" are one figure, in seconds; "loudness (LUFS): -9" and "BPM = 140" have their unit in front.
_CLOCK = re.compile(
    r"(?<![\w.,:/])(\d{1,3})(?::(?=\d\d)| ?m(?:in)? (?:and |e )?(?=[\d.,]+ ?s\b))(\d{1,2}(?:[.,]\d+)?)(?: ?s)?(?![\w:])"
)
_UNIT_FIRST = re.compile(rf"(?<!\w)({_UNIT})\)? ?(?:[:=|]|is|at|é|em) ?({_NUMBER})(?![\w:]|[.,]\d)")
# "9 DR" and "12 LRA": a metric as the unit of its value. "37 dBA", "37 LUFS/int", "2 samples/s": not ours.
_METRIC_AS_UNIT = re.compile(rf"({_NUMBER})[ -]?(DR|PLR|PSR|LRA|RMS|TP)(?![\w/])")
_UNKNOWN_UNIT = re.compile(rf"({_NUMBER})[ -]?((?:dB|db|DB)\w+(?:/\w+)?|LU\w*/\w+|(?:{_UNIT})/\w+)")
_BARE = re.compile(rf"({_NUMBER})(?![\w:])")
_QUOTED = re.compile(r"“[^”]*”|\"[^\"]*\"")
_LIST_NUMBER = re.compile(r"^\s*\d+\. ", re.MULTILINE)
_NAMES = re.compile(
    r"BS\.?1770(?:-\d)?|R ?128|TD1008|DR14|Camelot \d+[AB]|\b\d{1,2}[AB]\b|A ?= ?440 Hz|Lá ?= ?440 Hz|MP3|H264|4x|v\d+"
)
_SIGNED = frozenset({"LUFS", "dBTP", "dBFS"})  # levels: their sign is part of the value
_OF_METRIC = {"DR": "dB", "PLR": "dB", "PSR": "dB", "LRA": "LU", "RMS": "dBFS", "TP": "dBTP"}
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
        """Whether a number without a unit is one of the sources, whatever its unit; one below 0 with its sign."""
        every = (source for sources in self._sources.values() for source in sources)
        level = replace(figure, unit="LUFS") if figure.value < 0 else figure
        return any(level.is_(source.low) or level.is_(source.high) for source in every)


def figures(text: str, *, with_bare_numbers: bool = False) -> list[Figure]:
    """The figures of a text in reading order; of a span ("80 to 120 Hz") both ends, each with the span's place."""
    rest = text
    for skipped in (_QUOTED, _LIST_NUMBER, _NAMES):
        rest = skipped.sub(_blank, rest)
    found: list[Figure] = []
    for pattern, read in _READERS:
        if pattern is _BARE and not with_bare_numbers:
            continue
        for match in pattern.finditer(rest):
            written, unit = read(match)
            start = match.start(2) if pattern is _UNIT_FIRST else match.start()
            found += [_figure(w, unit, text[start : match.end()], start) for w in written if w is not None]
        rest = pattern.sub(_blank, rest)
    return sorted(found, key=lambda f: f.start)


def _seconds(match: re.Match[str]) -> str:
    """`3:35.5` as `215.5`, as exactly as it is written."""
    seconds = match[2].replace(",", ".")
    return f"{int(match[1]) * 60 + float(seconds):.{len(seconds.partition('.')[2])}f}"


# In this order: what one has read, the next does not see.
_READERS: Sequence[tuple[re.Pattern[str], Callable[[re.Match[str]], tuple[Sequence[str | None], str]]]] = (
    (_RATIO, lambda match: (match.groups(), ":1")),
    (_Q, lambda match: (match.groups(), "Q")),
    (_CLOCK, lambda match: ([_seconds(match)], "s")),
    (_FIGURE, lambda match: (match.groups()[:-1], match[3])),
    (_METRIC_AS_UNIT, lambda match: ([match[1]], _OF_METRIC[match[2]])),
    (_UNKNOWN_UNIT, lambda match: ([match[1]], match[2])),
    (_UNIT_FIRST, lambda match: ([match[2]], match[1])),
    (_BARE, lambda match: (match.groups(), "")),
)


def unit_of(metric: str) -> str:
    """The unit of a metric as figures have it."""
    unit = "samples" if metric == "clippingSamples" else knowledge.metrics()[metric].unit
    return _SAME.get(unit, unit)


def _blank(match: re.Match[str]) -> str:
    """As many spaces, so that places in the text stay what they are."""
    return " " * len(match[0])


def _figure(written: str, unit: str, text: str, start: int) -> Figure:
    digits = written.replace("−", "-").replace("–", "-").replace(",", ".")
    value, decimals = float(digits), len(digits.partition(".")[2])
    if unit == "kHz":
        value, decimals, unit = value * 1000, decimals - 3, "Hz"
    return Figure(value, decimals, _SAME.get(unit, unit), text.strip(), start, start + len(text))


def _sources(analyses: Sequence[NamedAnalysis], locale: Locale) -> Iterator[Source]:
    yield from _settings(locale)
    tracks = [Track(named) for named in analyses]
    for track in tracks:
        yield from _measured(track)
    for metric, row in knowledge.metrics().items():
        unit = unit_of(metric)
        values = [v for track in tracks for v in _values(track, metric)]
        yield from (source for v in values for source in _ways_to_write(v, unit))
        yield from _differences(values, "dB" if unit in _SIGNED else unit, row.decimals)
    yield from _levelled(tracks)
    yield from _beside_platforms(tracks)


@cache
def _settings(locale: Locale) -> tuple[Source, ...]:
    """Every figure the tables write in this language, a span as a span; targets of platforms and usual limits too."""
    sources: list[Source] = []
    for text in knowledge.texts(locale):
        written = figures(plainly(text, ()), with_bare_numbers=True)
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
    first_clip = number(track.at("dynamics", "clipping", "firstS"))
    if first_clip is not None:
        yield from _ways_to_write(first_clip, "s")
    yield from _values_as(track.at("dynamics", "clipping", "runs"), "")
    for row in track.verdict.get("platforms") or ():
        yield from _values_as(row.get("gainDb"), "dB")
        yield from _values_as(row.get("playsAtLufs"), "LUFS")


def _ways_to_write(value: float, unit: str) -> Iterator[Source]:
    """A value as its own unit has it; a time in whole seconds as a player shows it, and in minutes; a count alone."""
    yield Source(value, value, unit)
    if unit == "s":
        yield Source(math.floor(value), math.floor(value), "s")
        yield Source(value / 60, value / 60, "min")
    elif unit == "samples":
        yield Source(value, value, "")


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
