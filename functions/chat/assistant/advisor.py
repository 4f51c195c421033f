"""The advisor: answers about a track from its own measurements and a table of practice, without a model.

Every figure with a unit in an answer is a measured value, a target, a difference of two of them, or a setting that the
knowledge table holds (`figures.NumberCheck` checks it). Names of files are data: quoted, shortened, never followed.
Pure functions; an answer takes about a millisecond.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from assistant.context import Context, context
from assistant.facts import NamedAnalysis, Track
from assistant.intents import Kind, Request, classify
from assistant.language import Locale, detect_locale
from assistant.opening import first_message
from assistant.replies import compare, metrics, music, platforms, problems, score, talk, versions

__all__ = ["NamedAnalysis", "answer", "detect_locale", "language_of", "opening"]

Reply = Callable[[Context, Request], str]

REPLIES: Mapping[Kind, Reply] = {
    "compare-reference": compare.with_reference,
    "compare-previous": versions.with_previous,
    "platform": platforms.one,
    "platforms": platforms.all_of_them,
    "score": score.why_score,
    "first": score.what_first,
    "good": score.what_is_good,
    "tempo": music.tempo,
    "key": music.key,
    "mix-in-key": music.mix_in_key,
    "basis": score.basis,
    "withheld": score.what_is_withheld,
    "fix": problems.fix,
    "metric": metrics.explain,
    "define": metrics.define,
    "unmeasured": talk.unmeasured,
    "summary": score.summary,
    "greeting": talk.greeting,
    "thanks": talk.thanks,
    "help": talk.help_,
    "off-topic": talk.off_topic,
    "unknown": talk.unknown,
}
NEED_A_TRACK: frozenset[Kind] = frozenset({"score", "first", "good", "summary", "basis", "withheld"})


def opening(analysis: Mapping[str, Any], *, filename: str, locale: str) -> str:
    """The first message after an analysis: findings in the order to mend them, and what is good (60 to 200 words)."""
    return first_message(Track(NamedAnalysis(filename, "track", analysis)), _locale(locale))


def answer(question: str, analyses: Sequence[NamedAnalysis], *, locale: str | None, history: Sequence[str] = ()) -> str:
    """The answer to `question` in Markdown.

    `analyses`: the conversation's tracks, the newest first. `locale`: "en" or "pt-BR"; None takes the language of the
    question. `history`: the user's earlier messages, oldest first; they lend a follow-up ("and how?") its subject.
    """
    language = language_of(question, locale=locale, history=history)
    about = context(analyses, question, language)
    request = classify(question, history)
    if request.about_reference:
        about = replace(about, subject="reference")
    if about.track is None and request.kind in NEED_A_TRACK:
        return talk.no_analysis(about, request)
    return REPLIES[request.kind](about, request)


def language_of(question: str, *, locale: str | None, history: Sequence[str] = ()) -> Locale:
    """The language that `answer` answers in."""
    return _locale(locale) if locale is not None else _spoken(question, history)


def _locale(locale: str) -> Locale:
    return "pt-BR" if locale.casefold().startswith("pt") else "en"


def _spoken(question: str, history: Sequence[str]) -> Locale:
    """The question's own language; one that could be either ("LUFS?") follows the conversation."""
    spoken = detect_locale(question)
    if spoken == "en" and len(question.split()) <= 3 and history:
        return detect_locale(" ".join([*history[-3:], question]))
    return spoken
