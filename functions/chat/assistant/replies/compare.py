"""My track against the reference: what differs most, and why mine sounds small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from assistant import knowledge
from assistant.context import Context
from assistant.facts import NamedAnalysis, Track
from assistant.intents import Request
from assistant.language import Locale
from assistant.opening import withheld
from assistant.replies.pairs import COMPARED, Pair, item, meanwhile, name, pairs_of, topic_lines, topic_text, topics
from assistant.wording import bulleted, difference, figure, numbered, paragraphs, quoted, say

SMALLNESS = (
    ("integratedLufs", "low"),
    ("sub", "low"),
    ("bass", "low"),
    ("plrDb", "high"),
    ("plrDb", "low"),
    ("psrDb", "low"),
    ("sideMidDb", "low"),
    ("lowMid", "low"),
    ("highMid", "low"),
    ("presence", "low"),
    ("air", "low"),
)  # fmt: skip
DIFFERENCES_SHOWN = 5
REMEDIES_SHOWN = 3
ALIKE_SHOWN = 4
SMALL = ("small", "too-quiet", "weak-bass", "thin")


def with_reference(talk: Context, asked: Request) -> str:
    track, locale = talk.track, talk.locale
    if track is None:
        return say(locale, "talk.noanalysis")
    reference = talk.other("reference") or _targets_as_track(track, locale)
    if reference is None:
        return _without_reference(track, locale)
    if track.reduced or reference.reduced:
        return paragraphs(
            *topic_lines(("integratedLufs", "truePeakDbtp"), track, reference, locale),
            withheld(track if track.reduced else reference, locale),
        )
    if "small" in asked.problems or (asked.why and set(asked.problems) & set(SMALL)):
        return _smallness(track, reference, locale)
    asked_for = topics(asked)
    if asked_for:
        return _on_topics(asked_for, track, reference, locale)
    return _differences(track, reference, locale)


def _differences(track: Track, reference: Track, locale: Locale) -> str:
    chosen = [max(found, key=lambda p: p.weight) for group in COMPARED if (found := pairs_of(track, reference, group))]
    audible = sorted((p for p in chosen if p.weight >= 1), key=lambda p: -p.weight)
    names = {"name": quoted(track.name), "other": name(reference, locale)}
    if not audible:
        return say(locale, "compare.same", **names)
    shown = audible[:DIFFERENCES_SHOWN]
    alike = [p.metric.label[locale] for p in chosen if p.weight < 1][:ALIKE_SHOWN]
    return paragraphs(
        _head(track, reference, locale) + "\n" + bulleted([item(p, locale) for p in shown]),
        say(locale, "compare.alike", labels=", ".join(alike)) if alike else "",
        _level_match(track, reference, locale),
        _remedies(shown, track, locale),
        _fault(reference, locale),
    )


def _smallness(track: Track, reference: Track, locale: Locale) -> str:
    found: list[Pair] = []
    for metric, side in SMALLNESS:
        for pair in pairs_of(track, reference, (metric,)):
            told_already = pair.metric.id == "psrDb" and any(p.metric.id == "plrDb" for p in found)
            if pair.side == side and pair.weight >= 1 and not told_already:
                found.append(pair)
    names = {"name": quoted(track.name), "other": name(reference, locale)}
    if not found:
        return paragraphs(
            say(locale, "compare.small.none", **names),
            topic_text(("integratedLufs", "bass", "plrDb", "sideMidDb"), track, reference, locale),
        )
    shown = found[:DIFFERENCES_SHOWN]
    reasons = [f"{item(p, locale)}: {say(locale, f'reason.{p.metric.id}.{p.side}')}" for p in shown]
    return paragraphs(
        say(locale, "compare.small", **names) + "\n" + bulleted(reasons),
        _level_match(track, reference, locale),
        _remedies(shown, track, locale),
    )


def _on_topics(asked_for: Sequence[str], track: Track, reference: Track, locale: Locale) -> str:
    pairs = pairs_of(track, reference, asked_for)
    return paragraphs(
        topic_text(asked_for, track, reference, locale), _remedies([p for p in pairs if p.weight >= 1], track, locale)
    )


def _head(track: Track, reference: Track, locale: Locale) -> str:
    if reference.name:
        return say(locale, "compare.line", name=quoted(track.name), other=quoted(reference.name))
    return say(locale, "compare.line.targets", name=quoted(track.name))


def _level_match(track: Track, reference: Track, locale: Locale) -> str:
    for pair in pairs_of(track, reference, ("integratedLufs",)):
        if pair.weight >= 1:
            louder = quoted(track.name) if pair.delta > 0 else name(reference, locale)
            gap = difference(pair.delta, pair.metric, locale).replace(" LU", " dB")
            return say(locale, "compare.level", louder=louder, difference=gap)
    return ""


def _remedies(pairs: Sequence[Pair], track: Track, locale: Locale) -> str:
    """What to do about the differences; a reference's own fault (peaks over the ceiling) is not copied."""
    wanted = [
        p.problem
        for p in pairs
        if p.problem and not (p.metric.part in ("truePeak", "technical") and not track.reading(p.metric.id).off)
    ]
    shorts = [knowledge.problems()[p].short[locale] for p in dict.fromkeys(wanted) if p][:REMEDIES_SHOWN]
    return say(locale, "compare.do") + "\n" + numbered(shorts) if shorts else ""


def _fault(reference: Track, locale: Locale) -> str:
    """A reference may break the ceiling itself: that is nothing to copy."""
    metric, ceiling = knowledge.metrics()["truePeakDbtp"], knowledge.platforms()["spotify"].ceiling_dbtp or 0.0
    value = reference.value("truePeakDbtp")
    if value is None or value <= ceiling + metric.notable:
        return ""
    return say(locale, "compare.fault", value=figure(value, metric, locale), ceiling=figure(ceiling, metric, locale))


def _without_reference(track: Track, locale: Locale) -> str:
    return paragraphs(say(locale, "compare.noreference", name=quoted(track.name)), meanwhile(track, locale))


def _targets_as_track(track: Track, locale: Locale) -> Track | None:
    """In reference mode the verdict's targets are the reference's values, even where its analysis is not at hand."""
    if track.verdict.get("mode") != "reference" or not track.comparisons:
        return None
    sections: dict[str, Any] = {}
    for metric in track.comparisons:
        definition, reading = knowledge.metrics()[metric], track.reading(metric)
        node = sections
        for key in definition.path[:-1]:
            node = node.setdefault(key, {})
        node[definition.path[-1]] = reading.target
    return Track(NamedAnalysis("", "reference", sections))
