"""What the platforms do to a track: Spotify's headroom rule above all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.verdict.platforms import predictions


def row(name: str, lufs: float | None, dbtp: float | None) -> dict[str, Any]:
    return next(p for p in predictions(lufs, dbtp) if p["name"] == name)


def test_spotify_raises_only_as_far_as_a_true_peak_of_minus_1() -> None:
    spotify = row("Spotify", -20.0, -5.0)
    assert (spotify["gainDb"], spotify["playsAtLufs"]) == (4.0, -16.0)
    assert spotify["note"] == "turned up by 4.0 of 6.0 dB: the true peak leaves no more room"
    assert spotify["notePt"] == "aumentado em 4,0 de 6,0 dB: o true peak não deixa mais espaço"


@pytest.mark.parametrize(
    ("name", "lufs", "dbtp", "gain_db", "plays_at_lufs"),
    [
        ("Spotify", -8.0, 0.5, -6.0, -14.0),
        ("Spotify", -20.0, -9.0, 6.0, -14.0),
        ("Spotify", -20.0, 0.0, 0.0, -20.0),
        ("Spotify (loud)", -20.0, -1.0, 9.0, -11.0),
        ("Spotify (quiet)", -14.0, -1.0, -5.0, -19.0),
        ("YouTube", -20.0, -9.0, 0.0, -20.0),
        ("YouTube", -9.0, -1.0, -5.0, -14.0),
        ("Tidal", -20.0, -9.0, 0.0, -20.0),
        ("Apple Music", -20.0, -9.0, 4.0, -16.0),
        ("Amazon Music", -10.0, -1.0, -4.0, -14.0),
        ("Deezer", -10.0, -1.0, -5.0, -15.0),
        ("Club, Beatport", -6.0, -1.0, 0.0, -6.0),
        ("AES TD1008", -10.0, -1.0, -6.0, -16.0),
        ("Broadcast (EBU R 128)", -10.0, -1.0, -13.0, -23.0),
    ],
)
def test_each_platform_follows_its_rule(
    name: str, lufs: float, dbtp: float, gain_db: float, plays_at_lufs: float
) -> None:
    found = row(name, lufs, dbtp)
    assert (found["gainDb"], found["playsAtLufs"]) == (gain_db, plays_at_lufs)


@pytest.mark.parametrize(
    ("lufs", "note"),
    [
        (-9.0, "fits the set"),
        (-10.0, "fits the set"),
        (-8.0, "fits the set"),
        (-10.1, "1.1 dB below the set"),
        (-7.9, "1.1 dB above the set"),
    ],
)
def test_a_club_takes_what_is_within_1_lu_of_its_level(lufs: float, note: str) -> None:
    assert row("Club, Beatport", lufs, -1.5)["note"] == f"not normalised: {note}"


def test_without_loudness_nothing_is_predicted() -> None:
    for p in predictions(None, -3):
        assert (p["gainDb"], p["playsAtLufs"], p["note"]) == (None, None, "loudness not known")


def test_without_a_true_peak_only_turning_down_is_predicted() -> None:
    assert row("Spotify", -20.0, None)["gainDb"] is None
    assert row("Spotify", -8.0, None)["gainDb"] == -6.0


def test_a_true_peak_over_the_platforms_limit_is_said() -> None:
    assert row("Amazon Music", -10.0, -1.5)["note"].endswith("; peak over -2 dBTP")
    assert "over" not in row("Spotify", -10.0, -1.5)["note"]


@given(st.floats(-60, 0), st.floats(-40, 6))
def test_only_spotifys_limiter_may_push_a_peak_beyond_the_ceiling(lufs: float, dbtp: float) -> None:
    for p in predictions(lufs, dbtp):
        assert p["playsAtLufs"] == pytest.approx(lufs + p["gainDb"], abs=0.011)
        if p["gainDb"] > 0 and p["name"] != "Spotify (loud)":
            assert dbtp + p["gainDb"] <= p["truePeakMaxDbtp"] + 0.011
