"""Why this score, what first, what is good, and the track as a whole."""

from __future__ import annotations

from collections.abc import Mapping

from assistant.context import Context
from assistant.facts import BANDS, WEIGHT_ORDER, Reading, Track, number
from assistant.intents import Request
from assistant.language import Locale
from assistant.opening import first_message, genre_name, grouped, headline, remedy, step, varied, withheld
from assistant.replies.common import first_finding, labelled, labelled_list
from assistant.wording import bulleted, capital, figure, listed, numbered, paragraphs, plain, quoted, say

COSTS_SHOWN = 5
STEPS_SHOWN = 4
GOOD_SHOWN = 6
MAIN_TARGETS = ("truePeakDbtp", "integratedLufs", "drDb", "rangeLu", "sideMidDb", "correlationLow")


def why_score(talk: Context, asked: Request) -> str:
    track, locale = _known(talk), talk.locale
    if track.score is None:
        return say(locale, "score.none", name=quoted(track.name))
    if track.reduced:
        peak = track.reading("truePeakDbtp")
        shown = [r for r in (track.reading("integratedLufs"), peak) if r.value is not None]
        return paragraphs(
            headline(track, locale, "score.line"),
            say(locale, "reduced.have", states=labelled_list(shown, track, locale)),
            withheld(track, locale),
        )
    off = track.findings[:COSTS_SHOWN]
    costs = say(locale, "score.clean")
    if off:
        costs = say(locale, "score.costs") + "\n" + bulleted([capital(labelled(r, track, locale)) for r in off])
    quickest = say(locale, "score.first", short=remedy(off[0].problem, track, locale)) if off and off[0].problem else ""
    return paragraphs(
        headline(track, locale, "score.line"), costs, _parts(track, locale), say(locale, "score.weights"), quickest
    )


def _parts(track: Track, locale: Locale) -> str:
    """The score of each part, the poorest first, where the verdict tells them."""
    parts = track.verdict.get("parts")
    rows = parts.items() if isinstance(parts, Mapping) else ()
    scored = [(number(row.get("score")), part) for part, row in rows if isinstance(row, Mapping)]
    told = [
        f"{say(locale, f'part.{part}')} {plain(mark, 0, locale)}"
        for mark, part in sorted((s, p) for s, p in scored if s is not None)
        if part in WEIGHT_ORDER
    ]
    return say(locale, "score.parts", parts=listed(told, locale)) if told else ""


def what_first(talk: Context, asked: Request) -> str:
    track, locale = _known(talk), talk.locale
    steps = grouped(track.findings)
    if track.reduced:
        return first_message(track, locale)
    if not steps:
        return say(locale, "first.none" if track.comparisons else "opening.bare", name=quoted(track.name))
    lines = numbered([step(problem, readings, track, locale) for problem, readings in steps[:STEPS_SHOWN]])
    return paragraphs(say(locale, "first.line", name=quoted(track.name)) + "\n" + lines, say(locale, "first.why"))


def what_is_good(talk: Context, asked: Request) -> str:
    track, locale = _known(talk), talk.locale
    name = quoted(track.name)
    if track.reduced:
        return first_message(track, locale)
    if track.strengths:
        others = varied([r for r in track.strengths if r.metric.id not in BANDS], GOOD_SHOWN)
        rows = [capital(labelled(r, track, locale, brief=True)) for r in others]
        bands = [r.metric.label[locale] for r in track.strengths if r.metric.id in BANDS]
        if bands:
            rows.append(say(locale, "good.bands", labels=listed(bands, locale)))
        return paragraphs(say(locale, "good.line", name=name) + "\n" + bulleted(rows), say(locale, "good.keep"))
    if track.findings:
        nearest = min(track.findings, key=lambda r: abs(r.delta or 0.0) / (r.tolerance or 1.0))
        return say(locale, "good.none", name=name, nearest=labelled(nearest, track, locale))
    return say(locale, "good.nothing", name=name)


def basis(talk: Context, asked: Request) -> str:
    """What the track is compared with, and the main targets."""
    track, locale = _known(talk), talk.locale
    name = quoted(track.name)
    genre = genre_name(track, locale)
    if track.verdict.get("mode") == "reference":
        head = say(locale, "basis.reference", name=name)
    else:
        head = say(locale, "basis.line", name=name, genre=genre) if genre else say(locale, "basis.none", name=name)
    if track.reduced:
        return paragraphs(head, withheld(track, locale))
    told = [_target(track.reading(m), locale) for m in MAIN_TARGETS if track.reading(m).target is not None]
    return paragraphs(head, bulleted(told))


def _target(reading: Reading, locale: Locale) -> str:
    metric = reading.metric
    target, value = figure(reading.target or 0.0, metric, locale), figure(reading.value or 0.0, metric, locale)
    return say(locale, "basis.item", label=capital(metric.label[locale]), target=target, value=value)


def what_is_withheld(talk: Context, asked: Request) -> str:
    track, locale = _known(talk), talk.locale
    if track.reduced:
        return first_message(track, locale)
    return paragraphs(say(locale, "complete", name=quoted(track.name)), first_finding(track, locale))


def summary(talk: Context, asked: Request) -> str:
    return first_message(_known(talk), talk.locale)


def _known(talk: Context) -> Track:
    if talk.track is None:
        raise LookupError("the advisor answers questions about a track only when there is one")
    return talk.track
