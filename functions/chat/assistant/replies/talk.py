"""Greetings, what cannot be answered, and the way back to the track."""

from __future__ import annotations

from assistant import knowledge
from assistant.context import Context
from assistant.intents import Request
from assistant.replies.common import first_finding, labelled_list
from assistant.replies.metrics import line
from assistant.wording import paragraphs, quoted, say

FINDINGS_SHOWN = 3


def greeting(talk: Context, asked: Request) -> str:
    if talk.track is None:
        return paragraphs(say(talk.locale, "talk.greeting.none"), say(talk.locale, "talk.help"))
    hello = say(talk.locale, "talk.greeting", name=quoted(talk.track.name))
    return paragraphs(hello, first_finding(talk.track, talk.locale), say(talk.locale, "talk.offer"))


def thanks(talk: Context, asked: Request) -> str:
    return say(talk.locale, "talk.thanks")


def help_(talk: Context, asked: Request) -> str:
    return paragraphs(say(talk.locale, "talk.help"), _back(talk))


def off_topic(talk: Context, asked: Request) -> str:
    return paragraphs(say(talk.locale, "talk.offtopic"), _back(talk), say(talk.locale, "talk.offer"))


def unknown(talk: Context, asked: Request) -> str:
    """Says that it does not know, and what it does know of the track."""
    locale, track = talk.locale, talk.track
    if track is None:
        return paragraphs(say(locale, "talk.unknown"), say(locale, "talk.help"))
    stands = _back(talk)
    if len(track.findings) > 1:
        states = labelled_list(track.findings[:FINDINGS_SHOWN], track, locale)
        stands = say(locale, "talk.stands", name=quoted(track.name), states=states)
    return paragraphs(say(locale, "talk.unknown"), stands, say(locale, "talk.offer"))


def no_analysis(talk: Context, asked: Request) -> str:
    return paragraphs(say(talk.locale, "talk.noanalysis"), say(talk.locale, "talk.help"))


def unmeasured(talk: Context, asked: Request) -> str:
    """Asked for something that no measurement holds: say so, give what is nearest, and the way back."""
    locale, track = talk.locale, talk.track
    reply = knowledge.unmeasured()[asked.unmeasured[0]][locale]
    nearest = ""
    if track is not None and asked.metrics:
        nearest = "\n".join(
            line(track.reading(m), track, locale) for m in asked.metrics[:2] if track.value(m) is not None
        )
    return paragraphs(reply, nearest or _back(talk), say(locale, "talk.offer"))


def _back(talk: Context) -> str:
    return first_finding(talk.track, talk.locale) if talk.track is not None else ""
