"""Tempo, key and what mixes with them."""

from __future__ import annotations

import re

from assistant import knowledge
from assistant.context import Context
from assistant.facts import Track, number
from assistant.intents import Request
from assistant.language import Locale
from assistant.replies.common import kept_back
from assistant.wording import figure, listed, paragraphs, quoted, say

UNSURE = 0.5  # a confidence below this is said to be uncertain
ALTERNATIVES_SHOWN = 2
_CAMELOT = re.compile(r"(1[0-2]|[1-9])([AB])")
_PORTUGUESE_NOTES = {"C": "Dó", "D": "Ré", "E": "Mi", "F": "Fá", "G": "Sol", "A": "Lá", "B": "Si"}
_ACCIDENTALS = {"#": " sustenido", "♯": " sustenido", "b": " bemol", "♭": " bemol"}


def tempo(talk: Context, asked: Request) -> str:
    track, locale = talk.track, talk.locale
    if track is None:
        return paragraphs(say(locale, "talk.noanalysis"), knowledge.metrics()["tempoBpm"].what[locale])
    if track.reduced and track.value("tempoBpm") is None:
        return kept_back([knowledge.metrics()["tempoBpm"].label[locale]], track, locale)
    return paragraphs(_tempo(track, locale), knowledge.metrics()["tempoBpm"].what[locale] if asked.define else "")


def key(talk: Context, asked: Request) -> str:
    track, locale = talk.track, talk.locale
    if track is None:
        return say(locale, "talk.noanalysis")
    if track.reduced and track.at("tonality", "key") is None:
        return kept_back([say(locale, "part.tonality")], track, locale)
    told = [_key(track, locale)]
    cents = track.value("tuningCents")
    metric = knowledge.metrics()["tuningCents"]
    if cents is not None and track.reading("tuningCents").off:
        told.append(say(locale, "key.tuning", cents=figure(cents, metric, locale)))
    return paragraphs(
        " ".join(told), _fitting(track, locale), _tempo(track, locale) if "tempoBpm" in asked.metrics else ""
    )


def mix_in_key(talk: Context, asked: Request) -> str:
    track, locale = talk.track, talk.locale
    if track is None:
        return paragraphs(say(locale, "talk.noanalysis"), knowledge.terms()["camelot"].what[locale])
    if track.reduced and track.at("tonality", "key") is None:
        return kept_back([say(locale, "part.tonality")], track, locale)
    bpm = track.value("tempoBpm")
    near = (
        say(locale, "mixkey.tempo", tempo=figure(bpm, knowledge.metrics()["tempoBpm"], locale))
        if bpm is not None
        else ""
    )
    return paragraphs(_key(track, locale), _fitting(track, locale), near)


def neighbouring(camelot: str) -> list[str]:
    """The codes that mix with one: itself, the numbers beside it on the clock, and the other letter."""
    found = _CAMELOT.fullmatch(camelot)
    if found is None:
        return []
    hour, letter = int(found[1]), found[2]
    other = "B" if letter == "A" else "A"
    return [camelot, f"{(hour - 2) % 12 + 1}{letter}", f"{hour % 12 + 1}{letter}", f"{hour}{other}"]


def named_key(note: str, mode: str, locale: Locale) -> str:
    """`A minor`; in Portuguese both names, since DAWs show the English one: `Lá menor (A minor)`."""
    english = say("en", mode, note=note)
    if locale == "en" or note[:1] not in _PORTUGUESE_NOTES:
        return english
    portuguese = _PORTUGUESE_NOTES[note[0]] + _ACCIDENTALS.get(note[1:], "")
    return f"{say(locale, mode, note=portuguese)} ({english})"


def _fitting(track: Track, locale: Locale) -> str:
    neighbours = neighbouring(str(track.at("tonality", "camelot") or ""))
    return say(locale, "mixkey.line", keys=listed(neighbours, locale)) if neighbours else ""


def _tempo(track: Track, locale: Locale) -> str:
    name, metric = quoted(track.name), knowledge.metrics()["tempoBpm"]
    bpm = track.value("tempoBpm")
    if bpm is None:
        return say(locale, "tempo.none", name=name)
    confidence = number(track.at("rhythm", "confidence"))
    phrase = "tempo.unsure" if confidence is not None and confidence < UNSURE else "tempo.line"
    told = say(locale, phrase, name=name, tempo=figure(bpm, metric, locale))
    listing = track.at("rhythm", "alternativesBpm")
    others = [
        b for b in map(number, listing if isinstance(listing, list) else []) if b is not None and abs(b - bpm) > 1
    ]
    if others:
        shown = listed([figure(b, metric, locale) for b in others[:ALTERNATIVES_SHOWN]], locale)
        told += " " + say(locale, "tempo.alternatives", alternatives=shown)
    return told


def _key(track: Track, locale: Locale) -> str:
    name = quoted(track.name)
    note, mode = track.at("tonality", "key"), track.at("tonality", "mode")
    if not isinstance(note, str) or mode not in ("major", "minor"):
        return say(locale, "key.none", name=name)
    camelot = track.at("tonality", "camelot")
    phrase = "key.line" if isinstance(camelot, str) and _CAMELOT.fullmatch(camelot) else "key.plain"
    told = say(locale, phrase, name=name, key=named_key(note, mode, locale), camelot=camelot)
    confidence = number(track.at("tonality", "confidence"))
    return f"{told} {say(locale, 'key.unsure')}" if confidence is not None and confidence < UNSURE else told
