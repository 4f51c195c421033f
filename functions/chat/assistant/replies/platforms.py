"""Ready for a platform? What it does to the level, and whether the peaks survive its encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assistant import knowledge
from assistant.context import Context
from assistant.facts import Track, number
from assistant.intents import Request
from assistant.knowledge import Platform
from assistant.language import Locale
from assistant.wording import bulleted, capital, decibels, difference, figure, lufs, paragraphs, plain, quoted, say

LEVEL_LU = 0.5  # closer than this two loudnesses pass for equal
CLUB_LU = 1.0  # "about -9 ± 1" in the product's plan
PEAK_DB = 0.2  # how far a true-peak meter may read too high (EBU Tech 3341)
STREAMING = ("spotify", "youtube", "apple", "tidal", "amazon", "deezer")


def one(talk: Context, asked: Request) -> str:
    wanted = [knowledge.platforms()[p] for p in asked.platforms[:2]]
    return paragraphs(*(_platform(talk, platform) for platform in wanted))


def all_of_them(talk: Context, asked: Request) -> str:
    track, locale = talk.track, talk.locale
    if track is None:
        return bulleted([_general(knowledge.platforms()[p], locale) for p in STREAMING])
    loudness = track.value("integratedLufs")
    name = quoted(track.name)
    if loudness is None:
        return say(locale, "platform.unmeasured", name=name, platform="streaming")
    ready = _peak_over(track, -1.0) <= 0 and _clipped(track) == 0
    rows = [_row(knowledge.platforms()[p], track, loudness, locale) for p in STREAMING]
    club = knowledge.platforms()["club"]
    return paragraphs(
        say(locale, "platforms.ready" if ready else "platforms.notready", name=name),
        _peak(track, knowledge.platforms()["spotify"], locale),
        _clipping(track, locale),
        say(locale, "platforms.list") + "\n" + bulleted(rows),
        say(locale, "platforms.club", target=lufs(club.target_lufs or 0, locale), value=lufs(loudness, locale)),
    )


def plays(platform: Platform, track: Track, loudness: float) -> tuple[float, float]:
    """(gain in dB, the loudness it plays at in LUFS): from the verdict, else by the platform's rule."""
    row = _verdict_row(platform, track)
    gain, level = number(row.get("gainDb")), number(row.get("playsAtLufs"))
    if gain is not None and level is not None:
        return gain, level
    wanted = (platform.target_lufs or 0) - loudness
    if platform.turns == "none":
        return 0.0, loudness
    if wanted > 0:
        peak = track.value("truePeakDbtp")
        room = (platform.ceiling_dbtp or 0) - peak if peak is not None else 0.0
        wanted = max(0.0, min(wanted, room)) if platform.turns == "both" else 0.0
    return wanted, loudness + wanted


def _platform(talk: Context, platform: Platform) -> str:
    track, locale = talk.track, talk.locale
    label = platform.label[locale]
    if track is None:
        return _general(platform, locale)
    loudness = track.value("integratedLufs")
    if loudness is None:
        return say(locale, "platform.unmeasured", name=quoted(track.name), platform=label)
    if platform.target_lufs is None:
        spotify = knowledge.platforms()["spotify"]
        beside = paragraphs(
            _loudness(spotify, track, loudness, locale), _peak(track, spotify, locale), _clipping(track, locale)
        )
        return paragraphs(say(locale, "platform.unknown", platform=capital(label), note=platform.note[locale]), beside)
    return paragraphs(
        _judgement(platform, track, loudness, locale),
        _clipping(track, locale),
        _loudness(platform, track, loudness, locale),
        platform.note[locale] if platform.turns == "none" else "",
        _peak(track, platform, locale),
    )


def _judgement(platform: Platform, track: Track, loudness: float, locale: Locale) -> str:
    clean = _peak_over(track, platform.ceiling_dbtp or 0) <= 0 and _clipped(track) == 0
    quiet = platform.turns == "none" and loudness < (platform.target_lufs or 0) - CLUB_LU
    phrase = "platform.notready" if not clean else "platform.quietclub" if quiet else "platform.ready"
    return say(locale, phrase, name=quoted(track.name), platform=platform.label[locale])


def _loudness(platform: Platform, track: Track, loudness: float, locale: Locale) -> str:
    target = platform.target_lufs or 0
    metric = knowledge.metrics()["integratedLufs"]
    gain, level = plays(platform, track, loudness)
    gap = difference(round(target, 1) - round(level, 1), metric, locale)
    line = say(
        locale,
        "platform.loudness",
        value=lufs(loudness, locale),
        platform=platform.label[locale],
        target=lufs(target, locale),
    )
    told = {"gain": decibels(abs(gain), locale), "plays": lufs(level, locale), "gap": gap}
    if platform.turns == "none":
        off = round(level, 1) - target
        phrase = "platform.level" if abs(off) <= CLUB_LU else "platform.louder" if off > 0 else "platform.quieter"
    elif gain <= -LEVEL_LU:
        phrase = "platform.turneddown"
    elif gain >= LEVEL_LU and level >= target - LEVEL_LU:
        phrase = "platform.raised"
    elif level < target - LEVEL_LU:
        phrase = "platform.peakbound" if platform.turns == "both" else "platform.notraised"
    else:
        phrase = "platform.level"
    return line + say(locale, phrase, **told)


def _peak(track: Track, platform: Platform, locale: Locale) -> str:
    metric = knowledge.metrics()["truePeakDbtp"]
    ceiling = platform.ceiling_dbtp or 0
    shown = figure(ceiling, metric, locale)
    value = track.value("truePeakDbtp")
    if value is None:
        return say(locale, "platform.peak.none", ceiling=shown)
    over = _peak_over(track, ceiling)
    near = "platform.peak.near" if value > ceiling else "platform.peak.ok"
    phrase = "platform.peak.over" if over > 0 else near
    return say(locale, phrase, value=figure(value, metric, locale), gap=difference(over, metric, locale), ceiling=shown)


def _peak_over(track: Track, ceiling: float) -> float:
    """How far the true peak passes the ceiling, in dB as printed; 0 where it does not or is not known."""
    value = track.value("truePeakDbtp")
    if value is None or value <= ceiling + PEAK_DB:
        return 0.0
    return round(value, 1) - ceiling


def _clipped(track: Track) -> float:
    reading = track.reading("clippingSamples")
    return reading.value if reading.off and reading.value is not None else 0.0


def _clipping(track: Track, locale: Locale) -> str:
    count = _clipped(track)
    return say(locale, "platform.clipping", count=plain(count, 0, locale)) if count else ""


def _row(platform: Platform, track: Track, loudness: float, locale: Locale) -> str:
    gain, level = plays(platform, track, loudness)
    return say(
        locale,
        "platforms.item",
        platform=platform.name,
        plays=lufs(level, locale),
        gain=decibels(gain, locale, signed=True),
    )


def _general(platform: Platform, locale: Locale) -> str:
    label = capital(platform.label[locale])
    if platform.target_lufs is None or platform.ceiling_dbtp is None:
        return f"{label}: {platform.note[locale]}"
    ceiling = figure(platform.ceiling_dbtp, knowledge.metrics()["truePeakDbtp"], locale)
    return say(
        locale,
        "platform.general",
        platform=label,
        target=lufs(platform.target_lufs, locale),
        ceiling=ceiling,
        note=platform.note[locale],
    )


def _verdict_row(platform: Platform, track: Track) -> Mapping[str, Any]:
    for row in track.verdict.get("platforms") or ():
        if isinstance(row, Mapping) and row.get("name") == platform.name:
            return row
    return {}
