"""Explaining a metric: the value, how it stands to its target, what it means, and what to do where it is off."""

from __future__ import annotations

from assistant import knowledge
from assistant.context import Context
from assistant.facts import Reading, Track
from assistant.intents import Request
from assistant.language import Locale
from assistant.opening import remedy
from assistant.replies.common import first_clip, kept_back, labelled, labelled_list
from assistant.sentences import state, verdict
from assistant.wording import bulleted, capital, numbered, paragraphs, quoted, say

SHOWN = 4


def explain(talk: Context, asked: Request) -> str:
    track = talk.track
    ids = _with_companion(asked.metrics)[:SHOWN]
    if track is None:
        return definitions(ids, talk.locale)
    readings = [track.reading(metric) for metric in ids]
    if track.reduced and all(r.value is None for r in readings):
        labels = [r.metric.label[talk.locale] for r in readings]
        return paragraphs(kept_back(labels, track, talk.locale), definitions(ids[:1], talk.locale))
    lines = "\n".join(line(r, track, talk.locale) for r in readings)
    meaning = _meaning(asked, talk.locale) if not asked.how or asked.define else ""
    return paragraphs(lines, meaning, _remedy(readings, asked, track, talk.locale))


def define(talk: Context, asked: Request) -> str:
    """What a term means, and the track's own values of what it is about."""
    locale = talk.locale
    terms = [knowledge.terms()[t] for t in asked.terms[:2]]
    meaning = paragraphs(*(t.what[locale] for t in terms))
    track = talk.track
    see = list(dict.fromkeys(m for t in terms for m in t.see))
    if track is None or not see:
        return meaning
    readings = [r for r in (track.reading(m) for m in see) if r.value is not None]
    labels = [t.label[locale] for t in terms]
    if not readings and track.reduced:
        return paragraphs(meaning, kept_back(labels, track, locale))
    if not readings:
        return paragraphs(say(locale, "metric.none", label=capital(labels[0]), name=quoted(track.name)), meaning)
    if len(readings) > 2:
        rows = bulleted([labelled(r, track, locale) for r in readings])
        return paragraphs(
            meaning,
            say(locale, "term.list", name=quoted(track.name)) + "\n" + rows,
            _remedy(readings, asked, track, locale),
        )
    return paragraphs(
        meaning, say(locale, "term.yours", name=quoted(track.name), states=labelled_list(readings, track, locale))
    )


def _with_companion(ids: tuple[str, ...]) -> tuple[str, ...]:
    companion = knowledge.metrics()[ids[0]].beside if len(ids) == 1 else None
    return (*ids, companion) if companion else ids


def _meaning(asked: Request, locale: Locale) -> str:
    """What is asked about in general: a term named beside the metric ("headroom") says it better than the metric."""
    if asked.terms:
        return knowledge.terms()[asked.terms[0]].what[locale]
    return definitions(asked.metrics[:2], locale)


def definitions(ids: tuple[str, ...], locale: Locale) -> str:
    return paragraphs(*(knowledge.metrics()[metric].what[locale] for metric in ids))


def line(reading: Reading, track: Track, locale: Locale) -> str:
    label, name = capital(reading.metric.label[locale]), quoted(track.name)
    if reading.value is None:
        return say(locale, "metric.none", label=label, name=name)
    told = say(
        locale,
        "metric.line",
        label=label,
        name=name,
        state=state(reading, track, locale),
        status=verdict(reading, locale),
    )
    if reading.metric.id == "clippingSamples" and reading.value > 0:
        told = f"{told} {first_clip(track, locale)}".rstrip()
    return told


def _remedy(readings: list[Reading], asked: Request, track: Track, locale: Locale) -> str:
    off = next((r for r in readings if r.problem), None)
    if off is None or off.problem is None:
        judged = [r for r in readings if r.status == "green"]
        return say(locale, "metric.leave") if judged and asked.how else ""
    problem = knowledge.problems()[off.problem]
    if asked.how:
        return say(locale, "metric.steps") + "\n" + numbered(problem.steps[locale])
    return say(locale, "metric.do", short=remedy(off.problem, track, locale))
