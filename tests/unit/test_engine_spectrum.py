"""Tonal balance and stereo say what they are documented to say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from analysis.measures.spectra import Spectra
from analysis.measures.spectrum import BANDS_HZ, THIRD_OCTAVES_HZ, Spectrum
from analysis.measures.stereo import Stereo
from tests.unit.signals import Audio, blocks_of, measured, noise, only, pink, song, spread, stream_of, tone

RATES = (8_000, 44_100, 48_000, 96_000, 192_000)


def spectrum(audio: Audio, rate: int = 44_100) -> dict[str, Any]:
    return measured(Spectrum, audio, rate)


def stereo(audio: Audio, rate: int = 44_100) -> dict[str, Any]:
    return measured(Stereo, audio, rate)


def centre_hz(band: str) -> int:
    return round(math.sqrt(BANDS_HZ[band][0] * BANDS_HZ[band][1]))


@pytest.mark.parametrize(
    ("band", "rate"), [(band, rate) for band in BANDS_HZ for rate in RATES if centre_hz(band) < 0.48 * rate]
)
def test_a_tone_in_the_middle_of_a_band_is_in_that_band_alone(band: str, rate: int) -> None:
    hz = centre_hz(band)
    levels = spectrum(tone(-6, 6, rate, hz), rate)["bands"]
    assert levels.pop(band) == pytest.approx(0, abs=0.01)
    assert all(level < -30 for level in levels.values() if level is not None)


@pytest.mark.parametrize("rate", [44_100, 96_000])
def test_tones_an_octave_apart_weigh_what_their_power_is(rate: int) -> None:
    frequencies = (40, 80, 160, 330, 630, 1250, 2500, 5000, 10_000)
    audio = np.sum([tone(-30 + i, 8, rate, hz) for i, hz in enumerate(frequencies)], axis=0)
    thirds = np.array(spectrum(audio, rate)["thirdOctavesDb"])
    nearest = [int(np.argmin(np.abs(np.log(np.array(THIRD_OCTAVES_HZ) / hz)))) for hz in frequencies]
    assert np.diff(thirds[nearest]) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("rate", [44_100, 48_000, 96_000])
def test_white_noise_has_as_much_as_a_band_is_wide(rate: int) -> None:
    found = spectrum(noise(20, rate), rate)
    for band, (low, high) in BANDS_HZ.items():
        assert found["bands"][band] == pytest.approx(10 * math.log10((high - low) / 19_980), abs=0.35)
    assert found["tiltDbPerOctave"] == pytest.approx(0, abs=0.1)
    assert found["centroidHz"] == pytest.approx(10_010, rel=0.01)
    assert found["rolloff85Hz"] == pytest.approx(20 + 0.85 * 19_980, rel=0.01)
    assert found["flatness"] > 0.98


def test_pink_noise_falls_by_3_db_an_octave_and_fills_third_octaves_evenly() -> None:
    found = spectrum(pink(30))
    assert found["tiltDbPerOctave"] == pytest.approx(-3.01, abs=0.1)
    assert np.ptp(found["thirdOctavesDb"][5:]) < 2
    assert found["flatness"] < 0.4


def test_the_bands_powers_add_up_to_one() -> None:
    for audio in (song(5), noise(3), pink(4)):
        levels = spectrum(audio)["bands"].values()
        assert sum(10 ** (level / 10) for level in levels) == pytest.approx(1, abs=0.005)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_the_spectrums_energy_is_the_signals(rate: int, channels: int) -> None:
    audio = noise(3, rate, channels)
    spectra = Spectra(stream_of(audio, rate))
    for block in blocks_of(audio, rate):
        spectra.feed(block)
        spectra.feed(block)  # a second measure; it counts once
    found = spectra.band(0, rate)
    assert found.total == pytest.approx(float(np.square(audio, dtype=np.float64).sum()), rel=0.01)
    if channels == 2:
        assert found.left == pytest.approx(float(np.square(audio[:, 0], dtype=np.float64).sum()), rel=0.01)
        assert found.cross == pytest.approx(float((audio[:, 0] * audio[:, 1]).sum()), abs=0.01 * found.left)


def test_bands_above_half_the_sample_rate_have_no_value() -> None:
    found = spectrum(noise(3, 8_000), 8_000)
    assert found["bands"]["presence"] is None
    assert found["bands"]["air"] is None
    assert found["notes"]["bands.air"] == "above half the sample rate"
    assert found["bands"]["highMid"] is not None


def test_mono_on_two_channels_is_correlated_and_loses_nothing() -> None:
    found = stereo(spread(pink(4)[:, 0], 2))
    assert (found["correlation"], found["correlationLow"]) == (1.0, 1.0)
    assert (found["widthPercent"], found["balanceDb"], found["monoLossDb"], found["sideMidDb"]) == (0, 0, 0, -60)
    assert all(loss == pytest.approx(0, abs=0.01) for loss in found["monoLossBandsDb"].values())


def test_opposite_polarity_is_lost_in_mono() -> None:
    found = stereo(pink(4)[:, :1] * np.array([1, -1], np.float32))
    assert (found["correlation"], found["correlationLow"]) == (-1.0, -1.0)
    assert (found["widthPercent"], found["monoLossDb"], found["sideMidDb"]) == (100, 60, 60)
    assert min(found["monoLossBandsDb"].values()) > 40


def test_unrelated_channels_lose_3_db_in_mono() -> None:
    found = stereo(noise(10))
    assert found["correlation"] == pytest.approx(0, abs=0.01)
    assert found["widthPercent"] == pytest.approx(50, abs=1)
    assert found["monoLossDb"] == pytest.approx(3.01, abs=0.05)
    assert all(loss == pytest.approx(3.01, abs=0.6) for loss in found["monoLossBandsDb"].values())


def test_the_balance_is_positive_where_left_is_louder() -> None:
    audio = noise(5) * np.array([1, 0.5], np.float32)
    assert stereo(audio)["balanceDb"] == pytest.approx(6.02, abs=0.1)


def test_the_lows_are_judged_by_themselves() -> None:
    lows, highs = tone(-10, 6, 44_100, hz=60), tone(-10, 6, 44_100, hz=3000)
    found = stereo(lows * np.array([1, -1], np.float32) + highs)
    assert found["correlationLow"] == pytest.approx(-1, abs=0.01)
    assert found["correlation"] == pytest.approx(0, abs=0.01)
    assert found["monoLossBandsDb"]["highMid"] == pytest.approx(0, abs=0.1)
    assert found["monoLossBandsDb"]["bass"] > 20


def test_a_dead_channel_is_named() -> None:
    found = stereo(only(0, 2, noise(3)))
    assert found["deadChannels"] == ["right"]
    assert found["balanceDb"] == 60
    assert found["correlation"] is None
    assert found["notes"]["correlation"] == "one of the channels is silent"
    assert stereo(noise(3))["deadChannels"] == []


def test_a_mono_file_has_no_stereo() -> None:
    found = stereo(noise(3, channels=1))
    assert found["correlation"] is None
    assert found["notes"]["correlation"] == "the track is mono"
