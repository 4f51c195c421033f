"""The first message after an analysis: what to change, in which order, and what is good; 60 to 200 words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assistant import knowledge
from assistant.facts import BANDS, WEIGHT_ORDER, Reading, Track
from assistant.language import Locale
from assistant.sentences import state
from assistant.wording import bulleted, capital, listed, lufs, numbered, paragraphs, plain, quoted, say

SHOWN = 3  # findings with their remedy; the others are named
STRENGTHS = 3
GRADES = ((90, "excellent"), (75, "good"), (60, "acceptable"), (40, "deviations"), (0, "problems"))


def first_message(track: Track, locale: Locale) -> str:
    if track.reduced:
        return _reduced(track, locale)
    steps = grouped(track.findings)
    return paragraphs(
        headline(track, locale),
        _changes(steps, track, locale) if steps else _nothing_off(track, locale),
        _good(track, locale),
        say(locale, "opening.close"),
    )


def headline(track: Track, locale: Locale, phrase: str = "opening.score") -> str:
    basis = judged_by(track, locale)
    if track.score is None:
        return say(locale, "opening.noscore", name=quoted(track.name), genre=basis)
    score = plain(track.score, 0, locale)
    return say(locale, phrase, name=quoted(track.name), score=score, grade=grade(track, locale), genre=basis)


def judged_by(track: Track, locale: Locale) -> str:
    if track.verdict.get("mode") == "reference":
        return say(locale, "opening.reference")
    genre = genre_name(track, locale)
    return say(locale, "opening.genre", genre=genre) if genre and not track.reduced else ""


def genre_name(track: Track, locale: Locale) -> str:
    """The genre's name; one that the table does not know as the verdict has it; empty where there is none."""
    genre = str(track.verdict.get("genre") or "")
    names = knowledge.table("genres").get(genre)
    return str(names[locale]) if names else quoted(genre.replace("-", " "))[1:-1] if genre else ""


def grade(track: Track, locale: Locale) -> str:
    score = track.score or 0.0
    return say(locale, "grade." + next(name for least, name in GRADES if score >= least or least == 0))


def grouped(findings: Sequence[Reading]) -> list[tuple[str, list[Reading]]]:
    """Findings by the problem they point to, in order: three measures of one fault are one step."""
    steps: dict[str, list[Reading]] = {}
    for reading in findings:
        steps.setdefault(reading.problem or "", []).append(reading)
    return [(problem, readings) for problem, readings in steps.items() if problem]


def step(problem: str, readings: Sequence[Reading], track: Track, locale: Locale) -> str:
    """`**true peak** 0.3 dBTP (target -1.0 dBTP, 1.3 dB above): set the limiter …`"""
    first = readings[0]
    return f"**{capital(first.metric.label[locale])}**: {state(first, track, locale)}. {remedy(problem, track, locale)}"


def remedy(problem: str, track: Track, locale: Locale) -> str:
    """What to do in one sentence. A track that is quiet with its peaks far below the ceiling needs no limiter."""
    if problem == "too-quiet" and _room_db(track) > 0:
        problem = "peak-headroom"
    return knowledge.problems()[problem].short[locale]


def _room_db(track: Track) -> float:
    """How far below the ceiling the true peak stays once the loudness is on its target."""
    loudness, peak = track.reading("integratedLufs"), track.reading("truePeakDbtp")
    if loudness.delta is None or peak.value is None or peak.target is None:
        return 0.0
    return peak.target - (peak.value - loudness.delta)


def _changes(steps: Sequence[tuple[str, list[Reading]]], track: Track, locale: Locale) -> str:
    lines = numbered([step(problem, readings, track, locale) for problem, readings in steps[:SHOWN]])
    later = [readings[0].metric.label[locale] for _, readings in steps[SHOWN : SHOWN + 4]]
    rest = say(locale, "opening.later", labels=listed(later, locale)) if later else ""
    return paragraphs(say(locale, "opening.change") + "\n" + lines, rest)


def _nothing_off(track: Track, locale: Locale) -> str:
    return say(locale, "opening.nothing" if track.comparisons else "opening.bare")


def _good(track: Track, locale: Locale) -> str:
    bands = [r for r in track.strengths if r.metric.id in BANDS]
    picked = varied([r for r in track.strengths if r not in bands], STRENGTHS)
    if not picked:
        return described(track, locale)
    told = [f"{r.metric.label[locale]} {state(r, track, locale, brief=True)}" for r in picked]
    if len(bands) == len(BANDS):
        told.append(say(locale, "opening.balanced"))
    return paragraphs(say(locale, "opening.good", states=", ".join(told)), _unjudged(track, locale))


def _unjudged(track: Track, locale: Locale) -> str:
    """The parts of the score that had nothing to be judged by, such as the stereo image of a mono file."""
    parts = track.verdict.get("parts")
    rows = parts.items() if isinstance(parts, Mapping) else ()
    empty = [
        part for part, row in rows if part in WEIGHT_ORDER and isinstance(row, Mapping) and row.get("score") is None
    ]
    named = listed([say(locale, f"part.{part}") for part in empty], locale)
    return say(locale, "opening.unjudged", parts=named) if empty else ""


def varied(readings: Sequence[Reading], count: int) -> list[Reading]:
    """The first of each part of the score before a second of any."""
    seen: set[str] = set()
    firsts = [r for r in readings if not (r.metric.part in seen or seen.add(r.metric.part))]  # type: ignore[func-returns-value]
    return [*firsts, *(r for r in readings if r not in firsts)][:count]


def described(track: Track, locale: Locale) -> str:
    """The main values of a track that has nothing to be judged by."""
    shown = [track.reading(m) for m in ("integratedLufs", "truePeakDbtp", "drDb", "tempoBpm")]
    told = [f"{r.metric.label[locale]} {state(r, track, locale)}" for r in shown if r.value is not None]
    return say(locale, "reduced.have", states=", ".join(told)) if told else ""


def _reduced(track: Track, locale: Locale) -> str:
    peak = track.reading("truePeakDbtp")
    loudness = track.value("integratedLufs")
    lines = [
        f"{r.metric.label[locale]} {state(r, track, locale)}"
        for r in (track.reading("integratedLufs"), peak)
        if r.value is not None
    ]
    advice = knowledge.problems()[peak.problem].short[locale] if peak.off and peak.problem else ""
    spotify = knowledge.platforms()["spotify"]
    beside = ""
    if loudness is not None and spotify.target_lufs is not None:
        beside = (
            say(
                locale,
                "platform.loudness",
                value=lufs(loudness, locale),
                platform=spotify.label[locale],
                target=lufs(spotify.target_lufs, locale),
            )
            + "."
        )
    return paragraphs(
        headline(track, locale),
        bulleted([capital(line) for line in lines]),
        advice,
        beside,
        withheld(track, locale),
    )


def withheld(track: Track, locale: Locale) -> str:
    """What a reduced analysis does not hold and why: kindly, and with the way to it."""
    parts = [
        say(locale, f"part.{p}") for p in ("frequencies", "dynamics", "stereo", "technical", "music", "suggestions")
    ]
    return f"{say(locale, 'reduced.why')} {say(locale, 'reduced.withheld', parts=listed(parts, locale))}"
