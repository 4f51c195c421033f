"""What the product promises about key and tuning."""

import json
import pickle

import numpy as np
import pytest

from analysis.measures.tonality import Tonality
from analysis.measures.tonality_key import KEYS, Key, find_key
from tests.unit.loops import Audio, Harmony, chord_progression, drum_loop, fed

CADENCE = 1  # I-IV-V-I and i-iv-V-i: the same notes fit no other key


@pytest.mark.parametrize("tonic", range(12))
@pytest.mark.parametrize("mode", ["major", "minor"])
def test_a_cadence_is_heard_in_all_24_keys(tonic: int, mode: str) -> None:
    how = Harmony(cents=7.0 * (tonic - 5), inverted=tonic % 2 == 0, drums=tonic % 3 == 0, noise=0.01)
    result = fed(Tonality, chord_progression(tonic, mode, CADENCE, how, seconds=6)).result()
    assert (result["key"], result["mode"]) == (KEYS[tonic], mode)


@pytest.mark.parametrize("cents", [-48, -30, -12.5, 0, 4, 25, 43])
def test_tuning_is_found_within_two_cents(cents: float) -> None:
    result = fed(Tonality, chord_progression(4, "minor", CADENCE, Harmony(cents=cents), seconds=12)).result()
    assert result["tuningCents"] == pytest.approx(cents, abs=2)
    assert (result["key"], result["mode"]) == ("E", "minor")


@pytest.mark.parametrize(
    ("tonic", "mode", "camelot"),
    [
        ("C", 0, "8B"),
        ("A", 1, "8A"),
        ("G", 0, "9B"),
        ("F#", 1, "11A"),
        ("F", 0, "7B"),
        ("E", 0, "12B"),
        ("G#", 1, "1A"),
    ],
)
def test_camelot_codes_are_those_of_the_wheel(tonic: str, mode: int, camelot: str) -> None:
    assert Key(KEYS.index(tonic), mode, 1.0).camelot == camelot


def test_the_camelot_wheel_has_24_places_and_relatives_share_a_number() -> None:
    codes = {(tonic, mode): Key(tonic, mode, 1.0).camelot for tonic in range(12) for mode in range(2)}
    assert len(set(codes.values())) == 24
    assert all(codes[tonic, 0][:-1] == codes[(tonic + 9) % 12, 1][:-1] for tonic in range(12))


def test_transposed_notes_give_the_transposed_key() -> None:
    rng = np.random.default_rng(3)
    notes, opening = rng.dirichlet(np.ones(12), 2)
    first = find_key(notes, opening)
    for up in range(12):
        moved = find_key(np.roll(notes, up), np.roll(opening, up))
        assert (moved.tonic, moved.mode) == ((first.tonic + up) % 12, first.mode)
        assert moved.confidence == pytest.approx(first.confidence)


@pytest.mark.parametrize("rate_hz", [8000, 22050, 48000, 96000, 192000])
def test_the_sample_rate_does_not_matter(rate_hz: int) -> None:
    result = fed(Tonality, chord_progression(3, "major", CADENCE, rate=rate_hz, seconds=9), rate_hz).result()
    assert (result["key"], result["mode"], result["camelot"]) == ("D#", "major", "5B")
    assert result["tuningCents"] == pytest.approx(0, abs=2)


def test_the_level_does_not_matter() -> None:
    music = chord_progression(9, "minor", 3, Harmony(drums=True, noise=0.01), seconds=12)
    assert (
        fed(Tonality, music).result()
        == fed(Tonality, music * np.float32(2)).result()
        == fed(Tonality, music / np.float32(64)).result()
    )


@pytest.mark.parametrize("block", [441, 4099, 65536])
def test_where_the_blocks_are_cut_does_not_matter(block: int) -> None:
    music = chord_progression(6, "minor", CADENCE, seconds=9)
    assert fed(Tonality, music, block=block).result() == fed(Tonality, music).result()


def test_channels_may_change_places() -> None:
    left, right = chord_progression(0, "major", 0, seconds=9), chord_progression(0, "major", 3, seconds=9)
    assert (
        fed(Tonality, np.column_stack((left, right))).result() == fed(Tonality, np.column_stack((right, left))).result()
    )


def test_a_cadence_is_more_certain_than_chords_two_keys_share() -> None:
    certain, shared = (
        fed(Tonality, chord_progression(2, "minor", which, seconds=12)).result() for which in (CADENCE, 0)
    )
    assert isinstance(certain["confidence"], float)
    assert isinstance(shared["confidence"], float)
    assert 0 <= shared["confidence"] < certain["confidence"] <= 1


NOISE = np.random.default_rng(0).standard_normal(44100 * 12).astype(np.float32) / 10
ALL = {"key", "mode", "camelot", "confidence", "tuningCents"}


@pytest.mark.parametrize(
    ("samples", "missing", "reason"),
    [
        pytest.param(np.zeros(44100 * 3, np.float32), ALL, "no pitch found", id="silence"),
        pytest.param(np.full(44100 * 3, 0.5, np.float32), ALL, "no pitch found", id="dc"),
        pytest.param(NOISE, ALL, "no pitch found", id="noise"),
        pytest.param(NOISE[:100], ALL, "no pitch found", id="short"),
        pytest.param(NOISE[:0], ALL, "no pitch found", id="nothing"),
        pytest.param(drum_loop("rock", 100), ALL - {"tuningCents"}, "too few notes for a key", id="drums"),
    ],
)
def test_where_there_is_no_key_it_is_null_with_a_reason(samples: Audio, missing: set[str], reason: str) -> None:
    tonality = fed(Tonality, samples)
    result = tonality.result()
    assert set(result) == ALL
    assert {key for key, value in result.items() if value is None} == missing
    assert tonality.notes() == dict.fromkeys(missing, reason)
    json.dumps(result, allow_nan=False)


def test_a_single_tone_has_a_tuning_but_no_key() -> None:
    tone = np.sin(2 * np.pi * 445 / 44100 * np.arange(44100 * 4)).astype(np.float32)
    result = fed(Tonality, tone).result()
    assert result["key"] is None
    assert result["tuningCents"] == pytest.approx(1200 * np.log2(445 / 440), abs=0.5)


def test_memory_does_not_grow_with_the_track() -> None:
    music = chord_progression(0, "major", 0, rate=8000, seconds=30)
    sizes = [len(pickle.dumps(fed(Tonality, np.tile(music, times), 8000))) for times in (2, 8)]
    assert sizes[1] < 1.1 * sizes[0]
