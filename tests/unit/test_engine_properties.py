"""What may be done to a track without changing what is said of it, and what changes by how much."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.engine import analyse
from analysis.measures.base import Measure
from analysis.measures.dynamics import Dynamics
from analysis.measures.loudness import Loudness
from analysis.measures.spectrum import Spectrum
from analysis.measures.stereo import Stereo
from analysis.measures.waveform import Waveform
from tests.unit.signals import Audio, measured, song, written

RATE = 44_100
LEVELS = {
    "loudness": ("integratedLufs", "momentaryMaxLufs", "shortTermMaxLufs", "truePeakDbtp", "samplePeakDbfs"),
    "dynamics": ("rmsDbfs",),
}
NOT_A_MEASURE = ("engineVersion", "contentSha256", "file", "notes")

songs = st.builds(song, seconds=st.floats(3.2, 7), seed=st.integers(0, 10_000))


def everything(audio: Audio) -> dict[str, dict[str, Any]]:
    kinds: dict[str, type[Measure]] = {
        "loudness": Loudness,
        "dynamics": Dynamics,
        "stereo": Stereo,
        "spectrum": Spectrum,
        "waveform": Waveform,
    }
    return {name: measured(kind, audio, RATE) for name, kind in kinds.items()}


@settings(deadline=None, max_examples=4)
@given(songs)
def test_twice_the_amplitude_is_6_02_db_more_level_and_nothing_else(audio: Audio) -> None:
    quiet, loud = everything(audio * np.float32(0.25)), everything(audio * np.float32(0.5))
    for section, keys in LEVELS.items():
        for key in keys:
            assert loud[section].pop(key) - quiet[section].pop(key) == pytest.approx(6.02, abs=0.011)
    assert loud.pop("waveform")["peaks"] == pytest.approx(2 * np.array(quiet.pop("waveform")["peaks"]), abs=2e-4)
    assert loud["dynamics"].pop("dcOffset") == pytest.approx(2 * quiet["dynamics"].pop("dcOffset"), abs=2e-6)
    for result in (quiet, loud):
        result["loudness"].pop("shortTermSeries")
        result["dynamics"].pop("silence")  # what is silent is said in dBFS
    assert _close(loud, quiet)


@settings(deadline=None, max_examples=4)
@given(songs)
def test_exchanging_left_and_right_changes_the_balances_sign_only(audio: Audio) -> None:
    one, other = everything(audio), everything(np.ascontiguousarray(audio[:, ::-1]))
    assert one["stereo"].pop("balanceDb") == pytest.approx(-other["stereo"].pop("balanceDb"), abs=0.011)
    assert _close(one, other)


@settings(deadline=None, max_examples=4)
@given(songs)
def test_turning_the_polarity_changes_the_sign_of_the_dc_only(audio: Audio) -> None:
    one, other = everything(audio), everything(-audio)
    assert one["dynamics"].pop("dcOffset") == -other["dynamics"].pop("dcOffset")
    assert _close(one, other)


def _close(one: object, other: object) -> bool:
    """Equal, but for the last digit that a value is rounded to."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_close(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_close, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= 0.0101 + 1e-4 * abs(other)
    return one == other


@pytest.fixture(scope="module")
def track(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("track") / "song.flac", song(4.5), subtype="PCM_16")


@pytest.fixture(scope="module")
def result(track: Path) -> dict[str, Any]:
    return analyse(track)


@pytest.mark.parametrize("read_frames", [1, 441, 997, 4096, 56_448, 65_536, 131_071])
def test_the_result_does_not_depend_on_how_the_file_is_read(
    track: Path, result: dict[str, Any], read_frames: int
) -> None:
    assert json.dumps(analyse(track, read_frames=read_frames)) == json.dumps(result)


@pytest.mark.parametrize("kind", ["flac", "ogg", "mp3"])
def test_nor_where_the_file_is_damaged(track: Path, tmp_path: Path, kind: str) -> None:
    whole = written(tmp_path / f"whole.{kind}", song(4.5)).read_bytes()
    damaged = tmp_path / f"damaged.{kind}"
    damaged.write_bytes(whole[: len(whole) // 2] + b"\x00\xff\x13" * 200 + whole[len(whole) // 2 + 600 :])
    measures = ("loudness", "dynamics")
    first = json.dumps(analyse(damaged, measures=measures))
    assert json.dumps(analyse(damaged, measures=measures, read_frames=997)) == first


def test_the_same_bytes_give_the_same_json_whatever_the_name(
    track: Path, result: dict[str, Any], tmp_path: Path
) -> None:
    renamed = tmp_path / "mix.mp3"
    renamed.write_bytes(track.read_bytes())
    assert json.dumps(analyse(renamed)) == json.dumps(result)


def test_a_measure_alone_says_what_it_says_among_the_others(track: Path, result: dict[str, Any]) -> None:
    for name in result.keys() - set(NOT_A_MEASURE):
        alone = analyse(track, measures=[name])
        assert alone.keys() == {*NOT_A_MEASURE, name}
        assert alone[name] == result[name]
