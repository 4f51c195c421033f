"""What each platform will do to the track: the gain it applies and the loudness it plays at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.verdict.tables import PLATFORMS
from analysis.verdict.texts import both, number

_UNHEARD_DB = 0.05


def predictions(integrated_lufs: float | None, true_peak_dbtp: float | None) -> list[dict[str, Any]]:
    """A row per platform: gainDb and playsAtLufs are None where the loudness, or the headroom needed, is unknown."""
    return [_prediction(platform, integrated_lufs, true_peak_dbtp) for platform in PLATFORMS]


def gain_db(platform: Mapping[str, Any], integrated_lufs: float, true_peak_dbtp: float | None) -> float | None:
    """The platform's gain in dB.

    Spotify (rule `headroom`) raises a quiet track only as far as its true peak stays at -1 dBTP: -20 LUFS at -5 dBTP is
    raised by 4 and not 6 dB (support.spotify.com, "Loudness normalization").
    """
    wanted: float = platform["targetLufs"] - integrated_lufs
    rule = platform["rule"]
    if rule == "none":
        return 0.0
    if wanted <= 0 or rule == "limiter":
        return wanted
    if rule == "down":
        return 0.0
    if true_peak_dbtp is None:
        return None
    headroom: float = platform["truePeakMaxDbtp"] - true_peak_dbtp
    return min(wanted, max(0.0, headroom))


def _prediction(
    platform: Mapping[str, Any], integrated_lufs: float | None, true_peak_dbtp: float | None
) -> dict[str, Any]:
    gain = None if integrated_lufs is None else gain_db(platform, integrated_lufs, true_peak_dbtp)
    plays_at = None if gain is None or integrated_lufs is None else integrated_lufs + gain
    note = _note(platform, integrated_lufs, gain, true_peak_dbtp)
    return {
        "name": platform["name"],
        "gainDb": None if gain is None else round(gain, 2) + 0.0,
        "playsAtLufs": None if plays_at is None else round(plays_at, 2),
        "note": note["en"],
        "notePt": note["pt-BR"],
        "targetLufs": platform["targetLufs"],
        "truePeakMaxDbtp": platform["truePeakMaxDbtp"],
        "trust": platform["trust"],
    }


def _note(
    platform: Mapping[str, Any], integrated_lufs: float | None, gain: float | None, true_peak_dbtp: float | None
) -> dict[str, str]:
    notes = [_what_happens(platform, integrated_lufs, gain)]
    limit = platform["truePeakMaxDbtp"]
    if true_peak_dbtp is not None and true_peak_dbtp > limit:
        notes.append(both("platforms", "over", limit=number(limit, 0)))
    return {locale: "; ".join(note[locale] for note in notes) for locale in notes[0]}


def _what_happens(platform: Mapping[str, Any], integrated_lufs: float | None, gain: float | None) -> dict[str, str]:
    if integrated_lufs is None:
        return both("platforms", "unknown")
    if gain is None:
        return both("platforms", "noPeak")
    wanted = platform["targetLufs"] - integrated_lufs
    if platform["rule"] == "none":
        return _club(wanted, platform["fitsWithinLu"])
    if gain < -_UNHEARD_DB:
        return both("platforms", "down")
    if wanted <= _UNHEARD_DB:
        return both("platforms", "same")
    if platform["rule"] == "down":
        return both("platforms", "neverUp", missing=number(wanted))
    if platform["rule"] == "limiter":
        return both("platforms", "limited")
    if gain < wanted - _UNHEARD_DB:
        return both("platforms", "headroom", gain=number(gain), wanted=number(wanted))
    return both("platforms", "up")


def _club(wanted: float, within_lu: float) -> dict[str, str]:
    if abs(wanted) <= within_lu:
        return both("platforms", "clubFits")
    return both("platforms", "clubQuiet" if wanted > 0 else "clubLoud", missing=number(abs(wanted)))
