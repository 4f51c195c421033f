"""What the replies share."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.facts import Reading, Track, number
from assistant.language import Locale
from assistant.opening import withheld
from assistant.sentences import seconds, state
from assistant.wording import listed, paragraphs, quoted, say


def labelled(reading: Reading, track: Track, locale: Locale, *, brief: bool = False) -> str:
    return f"{reading.metric.label[locale]} {state(reading, track, locale, brief=brief)}"


def labelled_list(readings: Sequence[Reading], track: Track, locale: Locale) -> str:
    return ", ".join(labelled(r, track, locale) for r in readings)


def first_finding(track: Track, locale: Locale) -> str:
    """The way back to the track: its first finding, or that nothing is off."""
    if track.findings:
        return say(locale, "talk.back", name=quoted(track.name), state=labelled(track.findings[0], track, locale))
    if track.comparisons:
        return say(locale, "talk.back.good", name=quoted(track.name))
    return ""


def first_clip(track: Track, locale: Locale) -> str:
    """Where clipping first occurs: the one place in time that an analysis holds."""
    first = number(track.at("dynamics", "clipping", "firstS"))
    return say(locale, "metric.clipping.first", seconds=seconds(first, locale)) if first is not None else ""


def kept_back(labels: Sequence[str], track: Track, locale: Locale) -> str:
    """A reduced analysis is asked for what it withholds."""
    known = [track.reading(m) for m in ("integratedLufs", "truePeakDbtp")]
    have = labelled_list([r for r in known if r.value is not None], track, locale)
    return paragraphs(
        say(locale, "reduced.metric", label=listed(labels, locale), name=quoted(track.name)),
        withheld(track, locale),
        say(locale, "reduced.have", states=have) if have else "",
    )
