"""Loudness and range are exact to EBU Tech 3341, Tech 3342 and ITU-R BS.1770-5."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyebur128
import pytest
from numpy.typing import NDArray

from analysis.measures.gating import SlidingMean, series_lufs
from analysis.measures.kweighting import KWeighting, biquads
from analysis.measures.loudness import Loudness
from tests.unit.signals import (
    WAVE_5_0,
    WAVE_5_1,
    Audio,
    amplitude,
    blocks_of,
    faded_sine,
    measured,
    noise,
    only,
    song,
    steps,
    stream_of,
    tone,
)

RATES = (44_100, 48_000, 96_000)
RATE = 8_000  # where the rate does not matter
SILENCE = -math.inf


def loudness(audio: Audio, rate: int = 48_000, weights: tuple[float, ...] | None = None) -> dict[str, Any]:
    return measured(Loudness, audio, rate, weights)


def in_phase(sections: list[tuple[float, float]], rate: int) -> tuple[Audio, int, tuple[float, ...]]:
    """The same in both channels: as one channel that counts twice, at half the work."""
    return steps(sections, rate, channels=1), rate, (2.0,)


def windows_lufs(audio: Audio, rate: int, weights: tuple[float, ...], hops: int) -> NDArray[np.float64]:
    """Every window of `hops` times 10 ms, one each 10 ms."""
    weighting, mean = KWeighting(stream_of(audio, rate, weights)), SlidingMean(hops)
    energies = [mean.feed(weighting.feed(block.planar)) for block in blocks_of(audio, rate)]
    return np.asarray(-0.691 + 10 * np.log10(np.concatenate(energies) + 1e-15))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("level", [-23.0, -33.0])
def test_tech_3341_cases_1_and_2_a_steady_tone_reads_its_level_on_all_three_meters(level: float, rate: int) -> None:
    found = loudness(tone(level, 20, rate), rate)
    for key in ("integratedLufs", "momentaryMaxLufs", "shortTermMaxLufs"):
        assert found[key] == pytest.approx(level, abs=0.1)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    "sections",
    [
        [(10, -36), (60, -23), (10, -36)],
        [(10, -72), (10, -36), (60, -23), (10, -36), (10, -72)],
        [(20, -26), (20.1, -20), (20, -26)],
    ],
    ids=["case 3", "case 4", "case 5"],
)
def test_tech_3341_cases_3_to_5_quiet_passages_are_gated(sections: list[tuple[float, float]], rate: int) -> None:
    assert loudness(*in_phase(sections, rate))["integratedLufs"] == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("weights", [WAVE_5_0, WAVE_5_1], ids=["5.0", "5.1 with a silent LFE"])
def test_tech_3341_case_6_surround_channels_are_weighted(weights: tuple[float, ...], rate: int) -> None:
    levels = {5: (-28, -28, -24, -30, -30), 6: (-28, -28, -24, SILENCE, -30, -30)}[len(weights)]
    gains = np.array([amplitude(level) for level in levels], np.float32)
    audio = tone(0, 20, rate, channels=len(weights)) * gains
    assert loudness(audio, rate, weights)["integratedLufs"] == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize("rate", RATES)
def test_tech_3341_case_9_short_term_is_constant_over_bursts_that_fill_3_s(rate: int) -> None:
    found = windows_lufs(*in_phase([(1.34, -20), (1.66, -30)] * 5, rate), 300)
    assert found == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize("rate", RATES)
def test_tech_3341_case_10_short_term_catches_3_s_wherever_they_begin(rate: int) -> None:
    for i in range(20):
        found = windows_lufs(*in_phase([(i * 0.15, SILENCE), (3, -23), (1, SILENCE)], rate), 300)
        assert found.max() == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize("rate", RATES)
def test_tech_3341_case_12_momentary_is_constant_over_bursts_that_fill_400_ms(rate: int) -> None:
    found = windows_lufs(*in_phase([(0.18, -20), (0.22, -30)] * 25, rate), 40)
    assert found[60:] == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize("rate", RATES)
def test_tech_3341_case_13_momentary_catches_400_ms_wherever_they_begin(rate: int) -> None:
    for i in range(20):
        found = windows_lufs(*in_phase([(i * 0.02, SILENCE), (0.4, -23), (1, SILENCE)], rate), 40)
        assert found.max() == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    ("levels", "range_lu"),
    [((-20, -30), 10), ((-20, -15), 5), ((-40, -20), 20), ((-50, -35, -20, -35, -50), 15)],
    ids=["case 1", "case 2", "case 3", "case 4"],
)
def test_tech_3342_the_range_of_steps_is_their_distance(levels: tuple[float, ...], range_lu: float, rate: int) -> None:
    found = loudness(*in_phase([(20, level) for level in levels], rate))
    assert found["rangeLu"] == pytest.approx(range_lu, abs=1.0)


@pytest.mark.parametrize(("rate", "tolerance"), [(44_100, 0.01), (48_000, 0.01), (96_000, 0.02)])
def test_a_full_scale_tone_of_997_hz_in_one_channel_reads_3_01_below(rate: int, tolerance: float) -> None:
    audio = only(0, 2, tone(0, 2, rate, hz=997.0))
    steady = windows_lufs(audio, rate, (1.0, 1.0), 40)[60:]  # as measured, before a result's two decimals
    assert steady == pytest.approx(-3.01, abs=tolerance)
    assert loudness(audio, rate)["integratedLufs"] == pytest.approx(steady.mean(), abs=0.006)


def test_the_filter_is_the_one_in_the_standards_tables_at_48_khz() -> None:
    shelf, high_pass = biquads(48_000)
    assert shelf == pytest.approx(
        (1.53512485958697, -2.69169618940638, 1.19839281085285, -1.69065929318241, 0.73248077421585)
    )
    assert high_pass == pytest.approx((1.0, -2.0, 1.0, -1.99004745483398, 0.99007225036621))


@pytest.mark.parametrize("rate", [8_000, 11_025, 12_345, 44_100, 192_000])
def test_the_block_filter_is_the_recursive_filter_at_any_rate(rate: int) -> None:
    audio = noise(2, rate) + np.float32(0.3)
    expected = audio[:, 0].astype(np.float64)
    for b0, b1, b2, a1, a2 in biquads(rate):
        expected = _recursive(expected, (b0, b1, b2), (a1, a2))
    weighting = KWeighting(stream_of(audio[:, :1], rate))
    found = np.concatenate([weighting.feed(block.planar) for block in blocks_of(audio[:, :1], rate)])
    hop = len(audio) // found.size if rate % 100 else rate // 100
    energies = np.square(expected[: hop * found.size]).reshape(-1, hop).mean(axis=1)
    assert found == pytest.approx(energies, rel=1e-5)


def _recursive(x: Any, b: tuple[float, ...], a: tuple[float, ...]) -> Any:
    y = np.zeros_like(x)
    first = second = 0.0
    for i, value in enumerate(x.tolist()):
        y[i] = b[0] * value + first
        first = b[1] * value - a[0] * y[i] + second
        second = b[2] * value - a[1] * y[i]
    return y


def test_the_relative_gate_is_10_lu_below_the_loudness_above_the_absolute_gate() -> None:
    passes = steps([(60, -20), (60, -31.73)], RATE)  # 9 LU below the mean of both: in
    assert loudness(passes, RATE)["integratedLufs"] == pytest.approx(-22.73, abs=0.1)
    fails = steps([(60, -20), (60, -33.31)], RATE)  # 10.5 LU below: out
    assert loudness(fails, RATE)["integratedLufs"] == pytest.approx(-20.0, abs=0.1)


def test_the_absolute_gate_is_at_minus_70_lufs() -> None:
    assert loudness(tone(-69.8, 10, RATE), RATE)["integratedLufs"] == pytest.approx(-69.8, abs=0.1)
    below = loudness(tone(-70.2, 10, RATE), RATE)
    assert below["integratedLufs"] is None
    assert below["rangeLu"] is None
    assert below["notes"]["integratedLufs"] == "below -70 LUFS throughout"


def test_the_range_goes_from_the_10th_to_the_95th_percentile() -> None:
    ramp = np.linspace(-40, -20, 60 * RATE) / 20  # level evenly spread: 57 s of windows over 19 LU
    audio = (tone(0, 60, RATE) * 10 ** ramp[:, None]).astype(np.float32)
    assert loudness(audio, RATE)["rangeLu"] == pytest.approx(0.85 * 19, abs=0.35)


def test_the_range_gate_is_20_lu_below_the_mean() -> None:
    assert loudness(steps([(60, -20), (60, -42)], RATE), RATE)["rangeLu"] == pytest.approx(
        22, abs=0.1
    )  # 19 below the mean: in
    assert loudness(steps([(60, -20), (60, -44)], RATE), RATE)["rangeLu"] < 1  # 21 below: out


def test_a_surround_channel_counts_1_5_db_more_and_the_lfe_not_at_all() -> None:
    mono = tone(-20, 5)
    front = loudness(only(0, 6, mono), weights=WAVE_5_1)["integratedLufs"]
    surround = loudness(only(4, 6, mono), weights=WAVE_5_1)["integratedLufs"]
    assert surround - front == pytest.approx(10 * math.log10(1.41), abs=0.01)
    assert loudness(only(3, 6, mono), weights=WAVE_5_1)["integratedLufs"] is None


@pytest.mark.parametrize(("rate", "channels"), [(44_100, 1), (44_100, 2), (48_000, 6), (96_000, 2)])
def test_music_reads_as_in_libebur128(rate: int, channels: int) -> None:
    audio = song(12, rate, channels, seed=rate + channels)
    found = loudness(audio, rate, WAVE_5_1 if channels == 6 else None)
    mode = pyebur128.MeasurementMode
    oracle = pyebur128.R128State(channels, rate, mode.MODE_I | mode.MODE_LRA | mode.MODE_TRUE_PEAK)
    oracle.add_frames(np.ascontiguousarray(audio.astype(np.float64)).reshape(-1), len(audio))
    peak = max(pyebur128.get_true_peak(oracle, channel) for channel in range(channels))
    assert found["integratedLufs"] == pytest.approx(pyebur128.get_loudness_global(oracle), abs=0.01)
    assert found["rangeLu"] == pytest.approx(pyebur128.get_loudness_range(oracle), abs=0.02)
    assert found["truePeakDbtp"] == pytest.approx(20 * math.log10(peak), abs=0.02)


def test_the_ratios_are_those_of_the_true_peak_to_integrated_and_to_the_loudest_3_s() -> None:
    found = loudness(song(20), 44_100)
    assert found["plrDb"] == pytest.approx(found["truePeakDbtp"] - found["integratedLufs"], abs=0.011)
    quiet, loud = song(20), song(4, seed=2)
    quiet *= 0.1
    quiet[44_100] = 0.999  # a click where it is quiet: the track's peak, but not that of the loudest 3 s
    loud *= 0.4
    found = loudness(np.concatenate((quiet, loud, quiet[::-1])), 44_100)
    alone = loudness(loud, 44_100)
    assert found["psrDb"] == pytest.approx(alone["psrDb"], abs=0.02)
    assert found["psrDb"] == pytest.approx(alone["truePeakDbtp"] - alone["shortTermMaxLufs"], abs=0.3)
    assert found["truePeakDbtp"] > alone["truePeakDbtp"] + 2


def test_the_series_has_at_most_1200_points_and_shows_when_it_was_loud() -> None:
    found = loudness(steps([(10, -30), (10, -20), (10, SILENCE)]))["shortTermSeries"]
    assert found["stepS"] == pytest.approx(0.1)
    assert found["lufs"][:29] == [None] * 29
    assert found["lufs"][90] == pytest.approx(-30, abs=0.1)
    assert found["lufs"][190] == pytest.approx(-20, abs=0.1)
    assert found["lufs"][290] is None
    step, values = series_lufs(np.ones(50_000), 29, 50_029, 1200)
    assert len(values) <= 1200
    assert step * len(values) >= 50_029


@pytest.mark.parametrize(("seconds", "missing"), [(0.2, "shorter than 0.4 s"), (2.0, None)])
def test_what_is_too_short_for_a_window_has_no_value_and_says_why(seconds: float, missing: str | None) -> None:
    found = loudness(tone(-20, seconds))
    assert found["notes"].get("integratedLufs") == missing
    assert (found["integratedLufs"] is None) == (missing is not None)
    assert found["shortTermMaxLufs"] is None
    assert found["notes"]["shortTermMaxLufs"] == "shorter than 3 s"


def test_silence_has_no_level_and_says_so() -> None:
    found = loudness(np.zeros((48_000 * 5, 2), np.float32))
    for key in ("integratedLufs", "rangeLu", "momentaryMaxLufs", "truePeakDbtp", "samplePeakDbfs", "plrDb"):
        assert found[key] is None
        assert found["notes"][key] == "the track is silent"


def test_a_true_peak_between_samples_is_part_of_the_loudness_section() -> None:
    found = loudness(faded_sine(48_000, 4, 45, 1.41))
    assert found["truePeakDbtp"] == pytest.approx(3.0, abs=0.2)
    assert found["samplePeakDbfs"] == pytest.approx(0.0, abs=0.1)
