"""How to fix something: what the measurements say to the complaint (they may contradict it), then what to do."""

from __future__ import annotations

from assistant import knowledge
from assistant.context import Context
from assistant.facts import Reading, Track
from assistant.intents import Request
from assistant.knowledge import Problem
from assistant.language import Locale
from assistant.opening import withheld
from assistant.replies.common import first_clip, labelled_list
from assistant.wording import capital, numbered, paragraphs, quoted, say

EVIDENCE_SHOWN = 3


def fix(talk: Context, asked: Request) -> str:
    problem = knowledge.problems()[_wanted(talk.track, asked)]
    locale = talk.locale
    title = paragraphs(
        *(knowledge.unmeasured()[topic][locale] for topic in asked.unmeasured[:1]),
        f"**{capital(problem.title[locale])}**",
    )
    limits = problem.limits[locale] if problem.limits else ""
    steps = numbered(problem.steps[locale])
    if talk.track is None:
        return paragraphs(title, limits, say(locale, "problem.general") + "\n" + steps)
    finding, settled = findings(problem, asked, talk.track, locale)
    intro = "" if settled else say(locale, "problem.steps") + "\n"
    return paragraphs(title, finding, limits, intro + steps)


def _wanted(track: Track | None, asked: Request) -> str:
    """Of several problems in one question the one that the measurements confirm, else the first named."""
    if track is not None:
        for problem in asked.problems:
            if any(_supports(track.reading(m), side) for m, side in knowledge.problems()[problem].evidence[:1]):
                return problem
    return asked.problems[0]


def findings(problem: Problem, asked: Request, track: Track, locale: Locale) -> tuple[str, bool]:
    """What the measurements say, and whether that sentence already leads to the steps."""
    pairs = [(track.reading(metric), side) for metric, side in problem.evidence]
    pairs = [(r, side) for r, side in pairs if r.value is not None]
    name = quoted(track.name)
    if not pairs:
        note = withheld(track, locale) if track.reduced else say(locale, "problem.unknown", name=name)
        return note, False
    confirming = [r for r, side in pairs if _supports(r, side)]
    main, side = pairs[0]
    if side is not None and main.off and main.side != side:
        return say(locale, "problem.opposite", name=name, states=_told([main], track, locale)), False
    if confirming and side is not None and main.status == "green":
        own, others = _told([main], track, locale), _told(confirming, track, locale)
        return say(locale, "problem.partly", name=name, own=own, states=others), False
    if confirming:
        told = say(locale, "problem.confirmed", name=name, states=_told(confirming, track, locale))
        first = first_clip(track, locale) if any(r.metric.id == "clippingSamples" for r in confirming) else ""
        return f"{told} {first}".rstrip(), False
    judged = [r for r, wanted in pairs if wanted is not None and r.status == "green"]
    if judged:
        return say(locale, "problem.unconfirmed", name=name, states=_told(judged, track, locale)), True
    return say(locale, "problem.context", name=name, states=_told([r for r, _ in pairs], track, locale)), False


def _supports(reading: Reading, side: str | None) -> bool:
    return side is not None and reading.side == side


def _told(readings: list[Reading], track: Track, locale: Locale) -> str:
    return labelled_list(readings[:EVIDENCE_SHOWN], track, locale)
