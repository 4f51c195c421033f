"""What the product promises about tempo."""

import json
import pickle

import numpy as np
import pytest

from analysis.measures.rhythm import Rhythm
from tests.unit.loops import PATTERNS, Audio, drum_loop, fed


def tempo(samples: Audio, rate_hz: int = 44100, block: int = 60000) -> float:
    found = fed(Rhythm, samples, rate_hz, block).result()["tempoBpm"]
    assert isinstance(found, float)
    return found


def octaves_off(bpm: float, truth: float) -> tuple[int, float]:
    """The octaves between the two, and what part of the tempo is left as error."""
    octaves = round(np.log2(bpm / truth))
    return octaves, abs(bpm / truth / 2.0**octaves - 1)


@pytest.mark.parametrize("style", PATTERNS)
@pytest.mark.parametrize("bpm", [60, 73.4, 97.53, 128, 174, 200])
def test_every_style_is_right_within_0_2_percent_up_to_an_octave(style: str, bpm: float) -> None:
    octaves, error = octaves_off(tempo(drum_loop(style, bpm, seconds=12)), bpm)
    assert abs(octaves) <= 1
    assert error < 0.002


@pytest.mark.parametrize("style", ["click", "rock", "four-on-the-floor", "swing", "3/4"])
@pytest.mark.parametrize("bpm", [95.24, 123.45, 140])
def test_common_tempi_are_right_without_the_octave_too(style: str, bpm: float) -> None:
    assert tempo(drum_loop(style, bpm, seconds=12)) == pytest.approx(bpm, rel=0.002)


def test_a_decimal_tempo_is_found_to_a_hundredth() -> None:
    assert tempo(drum_loop("four-on-the-floor", 127.93, seconds=60)) == pytest.approx(127.93, abs=0.011)


def test_half_and_double_are_offered_as_alternatives() -> None:
    result = fed(Rhythm, drum_loop("rock", 110)).result()
    alternatives = result["alternativesBpm"]
    assert isinstance(alternatives, list)
    assert sorted(alternatives[:2]) == [pytest.approx(55, rel=0.002), pytest.approx(220, rel=0.002)]


def test_confidence_falls_when_the_octave_is_open() -> None:
    plain, open_octave = (fed(Rhythm, drum_loop(style, 160)).result()["confidence"] for style in ("rock", "half-time"))
    assert isinstance(plain, float)
    assert isinstance(open_octave, float)
    assert 0 <= open_octave < plain <= 1


def test_noise_under_a_beat_does_not_move_it() -> None:
    assert tempo(drum_loop("rock", 118.2, noise=0.02)) == pytest.approx(118.2, rel=0.002)


@pytest.mark.parametrize("rate_hz", [8000, 22050, 48000, 96000, 192000])
def test_the_sample_rate_does_not_matter(rate_hz: int) -> None:
    assert tempo(drum_loop("rock", 104.6, rate=rate_hz, seconds=10), rate_hz) == pytest.approx(104.6, rel=0.002)


def test_the_level_does_not_matter() -> None:
    loop = drum_loop("swing", 133.7, noise=0.003)
    assert (
        fed(Rhythm, loop).result()
        == fed(Rhythm, loop * np.float32(2)).result()
        == fed(Rhythm, loop / np.float32(64)).result()
    )


def test_two_equal_channels_are_as_one_and_their_order_and_sign_do_not_matter() -> None:
    loop = drum_loop("rock", 90.5, seconds=10)
    left, right = loop, drum_loop("click", 90.5, seconds=10)
    assert fed(Rhythm, np.column_stack((loop, loop))).result() == fed(Rhythm, loop).result()
    assert fed(Rhythm, np.column_stack((left, right))).result() == fed(Rhythm, np.column_stack((right, left))).result()
    assert (
        fed(Rhythm, np.column_stack((-left, -right))).result() == fed(Rhythm, np.column_stack((left, right))).result()
    )


@pytest.mark.parametrize("block", [441, 4099, 65536])
def test_where_the_blocks_are_cut_does_not_matter(block: int) -> None:
    loop = drum_loop("half-time", 84.21, seconds=10)
    assert fed(Rhythm, loop, block=block).result() == fed(Rhythm, loop).result()


def test_the_onsets_of_a_metronome_are_its_clicks() -> None:
    assert fed(Rhythm, drum_loop("click", 150, seconds=20)).result()["onsetsPerS"] == pytest.approx(2.5, abs=0.1)


NOISE = np.random.default_rng(0).standard_normal(44100 * 12).astype(np.float32) / 10
SINE = (0.3 * np.sin(2 * np.pi * 440 / 44100 * np.arange(44100 * 12))).astype(np.float32)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        pytest.param(np.zeros(44100 * 5, np.float32), "no onsets found", id="silence"),
        pytest.param(np.full(44100 * 5, 0.5, np.float32), "no onsets found", id="dc"),
        pytest.param(SINE, "no onsets found", id="steady tone"),
        pytest.param(NOISE, "no regular pulse found", id="noise"),
        pytest.param(np.eye(1, 44100 * 5, 70000, dtype=np.float32)[0], "no regular pulse found", id="one click"),
        pytest.param(NOISE[: 44100 * 2], "shorter than 3 s", id="short"),
        pytest.param(NOISE[:1], "shorter than 3 s", id="one sample"),
        pytest.param(NOISE[:0], "shorter than 3 s", id="nothing"),
    ],
)
def test_where_there_is_no_tempo_it_is_null_with_a_reason(samples: Audio, reason: str) -> None:
    rhythm = fed(Rhythm, samples)
    result = rhythm.result()
    assert (result["tempoBpm"], result["confidence"], result["alternativesBpm"]) == (None, None, [])
    assert rhythm.notes()["tempoBpm"] == rhythm.notes()["confidence"] == reason
    assert {key for key, value in result.items() if value is None} == set(rhythm.notes())
    json.dumps(result, allow_nan=False)


def test_memory_does_not_grow_with_the_track() -> None:
    minute = drum_loop("rock", 120, rate=8000, seconds=60)
    sizes = [len(pickle.dumps(fed(Rhythm, np.tile(minute, minutes), 8000))) for minutes in (2, 8)]
    assert sizes[1] < 1.1 * sizes[0]
