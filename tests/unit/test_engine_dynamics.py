"""RMS, crest, DR, DC, clipping, silence at the ends, and the waveform say what they are documented to say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.measures.clipping import Clipping
from analysis.measures.dynamics import Dynamics
from analysis.measures.waveform import Waveform
from tests.unit.signals import Audio, blocks_of, measured, noise, only, song, steps, stream_of, tone

RATE = 44_100


def dynamics(audio: Audio, rate: int = RATE) -> dict[str, Any]:
    return measured(Dynamics, audio, rate)


def test_a_full_scale_sine_has_an_rms_of_3_01_below_and_a_crest_of_3_01() -> None:
    found = dynamics(tone(0, 2, RATE))
    assert found["rmsDbfs"] == pytest.approx(-3.01, abs=0.01)
    assert found["crestDb"] == pytest.approx(3.01, abs=0.01)


def test_one_silent_channel_halves_the_mean_square() -> None:
    assert dynamics(only(0, 2, tone(0, 2, RATE)))["rmsDbfs"] == pytest.approx(-6.02, abs=0.01)


@pytest.mark.parametrize("rate", [44_100, 48_000, 88_200])
def test_dr_is_the_offline_meters(rate: int) -> None:
    audio = song(20.5, rate)
    assert dynamics(audio, rate)["drDb"] == pytest.approx(reference_dr(audio, rate), abs=0.006)


def reference_dr(audio: Audio, rate: int) -> float:
    """Straight from the definition, on the whole track."""
    size = 3 * (rate + 60 * (rate == 44_100))
    count = len(audio) // size + 1
    parts = [audio[i * size : (i + 1) * size].astype(np.float64) for i in range(count)]
    rms = np.sort([np.sqrt(2 * np.mean(part**2, axis=0)) for part in parts], axis=0)[-max(1, int(0.2 * count)) :]
    peaks = np.sort([np.abs(part).max(axis=0) for part in parts], axis=0)[-2]
    return float(np.mean(20 * np.log10(peaks / np.sqrt(np.mean(rms**2, axis=0)))))


def test_dr_needs_two_blocks_of_3_s() -> None:
    found = dynamics(tone(-10, 5, RATE))
    assert found["drDb"] is None
    assert found["notes"]["drDb"] == "shorter than two blocks of 3 s"


def test_the_dc_offset_is_that_of_the_channel_with_the_largest() -> None:
    audio = noise(5) + np.array([0.01, -0.02], np.float32)
    assert dynamics(audio)["dcOffset"] == pytest.approx(-0.02, abs=0.001)
    assert dynamics(tone(-1, 5, RATE))["dcOffset"] == pytest.approx(0, abs=1e-5)


def test_silence_at_the_ends_is_found_to_the_sample() -> None:
    audio = steps([(1.2345, -math.inf), (2, -20), (0.5, -math.inf)], RATE, hz=11_025)
    silence = dynamics(audio)["silence"]
    assert silence["leadingS"] == pytest.approx(1.2345, abs=0.001)
    assert silence["trailingS"] == pytest.approx(0.5, abs=0.001)


def test_what_is_below_60_dbfs_throughout_is_silent_at_both_ends() -> None:
    assert dynamics(tone(-61, 2, RATE))["silence"] == {"leadingS": 2.0, "trailingS": 2.0}


def test_three_samples_at_full_scale_are_clipping_and_two_are_not() -> None:
    audio = tone(-20, 3, RATE)
    audio[1000:1002] = 1.0
    assert dynamics(audio)["clipping"] == {"samples": 0, "runs": 0, "firstS": None, "positionsS": []}
    audio[44_100:44_103, 0] = 1.0
    audio[88_200:88_210, 1] = -1.0
    found = dynamics(audio)["clipping"]
    assert found == {"samples": 13, "runs": 2, "firstS": 1.0, "positionsS": [1.0, 2.0]}


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 130_000), st.integers(1, 70_000), st.integers(0, 1)), max_size=6))
def test_runs_are_counted_over_the_edges_of_blocks(runs: list[tuple[int, int, int]]) -> None:
    audio = np.zeros((130_000, 2), np.float32)
    for start, length, channel in runs:
        audio[start : start + length, channel] = 1.0
    clipping = Clipping(stream_of(audio, RATE))
    for block in blocks_of(audio, RATE):
        clipping.feed(block)
    starts, lengths = _runs(audio)
    assert clipping.result() == {
        "samples": sum(lengths),
        "runs": len(lengths),
        "firstS": round(starts[0] / RATE, 3) if starts else None,
        "positionsS": [round(start / RATE, 3) for start in starts],
    }


def _runs(audio: Audio) -> tuple[list[int], list[int]]:
    found = []
    for channel in audio.T:
        edges = np.flatnonzero(np.diff(np.concatenate(([0], channel >= 1.0, [0]))))
        found += [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= 3]
    return [start for start, _ in sorted(found)], [length for _, length in found]


@pytest.mark.parametrize("seconds", [0.01, 1, 3, 90])
def test_the_waveform_shows_the_peaks_where_they_are(seconds: float) -> None:
    audio = noise(seconds, channels=1) * np.float32(0.1)
    for part in (0.25, 0.5, 0.9):
        audio[int(part * len(audio))] = -part
    peaks = np.array(measured(Waveform, audio, RATE)["peaks"])
    assert peaks.size == min(2000, len(audio))
    for part in (0.25, 0.5, 0.9):
        at = int(part * peaks.size)
        assert peaks[at - 1 : at + 2].max() == pytest.approx(part, abs=1e-4)
    assert np.count_nonzero(peaks > 0.2) <= 6


def test_the_waveform_of_a_long_track_takes_no_more_memory_than_that_of_a_short_one() -> None:
    measure = Waveform(stream_of(noise(0.1), RATE))
    blocks = [*blocks_of(noise(6), RATE)][:4]
    for i in range(700):
        block = blocks[i % 4]
        block.start = i * len(block.samples)
        measure.feed(block)
    assert measure._kept.nbytes <= 4 * 2**16
    assert len(measure.result()["peaks"]) == 2000  # type: ignore[arg-type]
