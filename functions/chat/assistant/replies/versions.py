"""This version against the one before: what got better, what got worse, what is left."""

from __future__ import annotations

from assistant.context import Context
from assistant.facts import Track
from assistant.intents import Request
from assistant.knowledge import Metric
from assistant.language import Locale
from assistant.replies.common import labelled_list
from assistant.replies.pairs import COMPARED, FINDINGS_SHOWN, Pair, meanwhile, pairs_of, topic_text, topics
from assistant.wording import bulleted, capital, difference, figure, paragraphs, plain, quoted, say

CHANGES_SHOWN = 4


def with_previous(talk: Context, asked: Request) -> str:
    track, locale = talk.track, talk.locale
    if track is None:
        return say(locale, "talk.noanalysis")
    before = talk.other("previous")
    if before is None:
        return paragraphs(say(locale, "compare.noprevious", name=quoted(track.name)), meanwhile(track, locale))
    head = say(locale, "previous.line", name=quoted(track.name), other=quoted(before.name))
    score = ""
    if track.score is not None and before.score is not None:
        score = say(
            locale, "previous.score", score=plain(track.score, 0, locale), before=plain(before.score, 0, locale)
        )
    asked_for = topics(asked)
    if asked_for:
        return paragraphs(head, topic_text(asked_for, track, before, locale), score)
    better, worse, changed = _progress(track, before)
    blocks = [
        say(locale, f"previous.{name}")
        + "\n"
        + bulleted([_step(pair, track, before, locale) for pair in pairs[:CHANGES_SHOWN]])
        for name, pairs in (("better", better), ("worse", worse), ("changed", changed))
        if pairs
    ]
    left = (
        say(locale, "previous.left", states=labelled_list(track.findings[:FINDINGS_SHOWN], track, locale))
        if track.findings
        else ""
    )
    return paragraphs(head, score, *(blocks or [say(locale, "previous.same")]), left)


def _progress(track: Track, before: Track) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """(better, worse, merely changed): nearer to or further from the target by an audible amount."""
    better: list[Pair] = []
    worse: list[Pair] = []
    changed: list[Pair] = []
    for group in COMPARED:
        for pair in pairs_of(track, before, group):
            now, then = track.reading(pair.metric.id), before.reading(pair.metric.id)
            if now.target is None or then.target is None:
                if pair.weight >= 1 and pair.metric.id == group[0]:
                    changed.append(pair)
                continue
            was = (then.value or 0.0, then.target) if pair.levelled else (pair.other, now.target)
            gained = _distance(pair.metric, *was) - _distance(pair.metric, pair.value, now.target)
            if gained >= pair.metric.notable:
                better.append(pair)
            elif gained <= -pair.metric.notable:
                worse.append(pair)
    for pairs in (better, worse, changed):
        pairs.sort(key=lambda p: -p.weight)
    return better, worse, changed


def _distance(metric: Metric, value: float, target: float) -> float:
    """How far off a value is; a metric with one bad side is never off on the other."""
    off = value - target
    if metric.low is None:
        return max(0.0, off)
    if metric.high is None:
        return max(0.0, -off)
    return abs(off)


def _step(pair: Pair, track: Track, before: Track, locale: Locale) -> str:
    now, then = track.reading(pair.metric.id), before.reading(pair.metric.id)
    if pair.levelled and now.delta is not None and then.delta is not None:
        return say(
            locale,
            "previous.distance",
            label=capital(pair.metric.label[locale]),
            before=difference(then.delta, pair.metric, locale),
            value=difference(now.delta, pair.metric, locale),
        )
    target = now.target
    aim = say(locale, "previous.target", target=figure(target, pair.metric, locale)) if target is not None else ""
    return say(
        locale,
        "previous.item",
        label=capital(pair.metric.label[locale]),
        before=figure(pair.other, pair.metric, locale),
        value=figure(pair.value, pair.metric, locale),
        target=aim,
    )
