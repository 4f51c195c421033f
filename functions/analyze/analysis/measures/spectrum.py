"""The tonal balance: levels of seven bands and of third octaves, and what describes their shape.

All come from the long-term average power spectrum of all channels (`spectra`). Levels are the energy of a band relative
to that of 20 Hz to 20 kHz (or to half the sample rate), in dB: the seven bands' powers add up to one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.measures.base import Block, Stream
from analysis.measures.spectra import Spectra
from analysis.measures.units import power_db, rounded

BANDS_HZ = {
    "sub": (20.0, 60.0),
    "bass": (60.0, 250.0),
    "lowMid": (250.0, 500.0),
    "mid": (500.0, 2000.0),
    "highMid": (2000.0, 4000.0),
    "presence": (4000.0, 8000.0),
    "air": (8000.0, 20000.0),
}
THIRD_OCTAVES_HZ = tuple(1000 * 10 ** (n / 10) for n in range(-17, 14))
"""The 31 exact centres from 20 Hz to 20 kHz, IEC 61260-1, base ten."""

LOWEST_HZ, HIGHEST_HZ = 20.0, 20_000.0
_TILT_HZ = (100.0, 10_000.0)
_FLOOR_DB = -120.0
_ROLLOFF = 0.85


Levels = dict[str, float | None]


class Spectrum:
    """`centroidHz` weighs the bins by amplitude, `rolloff85Hz` has 85 % of the energy below it, `flatness` is the
    geometric over the arithmetic mean of the bins' powers, `tiltDbPerOctave` the slope of the level per hertz (pink
    noise: -3) fitted to the third octaves of 100 Hz to 10 kHz."""

    def __init__(self, stream: Stream) -> None:
        self._spectra = Spectra.of(stream)
        self._notes: dict[str, str] = {}

    def feed(self, block: Block) -> None:
        self._spectra.feed(block)

    def result(self) -> dict[str, object]:
        highest = min(HIGHEST_HZ, self._spectra.nyquist_hz)
        total = self._spectra.band(LOWEST_HZ, highest).total
        levels = {name: self._level_db(low, high, total) for name, (low, high) in BANDS_HZ.items()}
        half = 10**0.05
        thirds = [self._level_db(centre / half, centre * half, total) for centre in THIRD_OCTAVES_HZ]
        shape: Levels = dict.fromkeys(("centroidHz", "rolloff85Hz", "flatness", "tiltDbPerOctave"))
        if total > 0:
            hz, power = self._bins(highest)
            shape["centroidHz"] = rounded(float(hz @ np.sqrt(power) / np.sqrt(power).sum()), 1)
            shape["rolloff85Hz"] = rounded(self._rolloff_hz(highest, total), 1)
            shape["flatness"] = rounded(float(np.exp(np.log(power + 1e-12 * power.max()).mean()) / power.mean()), 5)
            shape["tiltDbPerOctave"] = rounded(_tilt(thirds))
        self._note(levels, thirds, shape, silent=total <= 0)
        bands = {name: rounded(level) for name, level in levels.items()}
        return {"bands": bands, "thirdOctavesDb": [rounded(level) for level in thirds], **shape}

    def notes(self) -> dict[str, str]:
        return self._notes

    def _level_db(self, low_hz: float, high_hz: float, total: float) -> float | None:
        if low_hz >= self._spectra.nyquist_hz or total <= 0:
            return None
        level = power_db(self._spectra.band(low_hz, min(high_hz, self._spectra.nyquist_hz)).total / total)
        return _FLOOR_DB if level is None else max(_FLOOR_DB, level)

    def _bins(self, highest_hz: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        hz, power = self._spectra.bins()
        inside = (hz >= LOWEST_HZ) & (hz <= highest_hz)
        return hz[inside], power[inside]

    def _rolloff_hz(self, highest_hz: float, total: float) -> float:
        low, high = LOWEST_HZ, highest_hz
        while high - low > 0.1:
            middle = (low + high) / 2
            if self._spectra.band(LOWEST_HZ, middle).total < _ROLLOFF * total:
                low = middle
            else:
                high = middle
        return high

    def _note(self, levels: Levels, thirds: list[float | None], shape: Levels, *, silent: bool) -> None:
        missing = [f"bands.{name}" for name, level in levels.items() if level is None]
        missing += ["thirdOctavesDb"] if None in thirds else []
        reason = "the track is silent" if silent else "above half the sample rate"
        self._notes = dict.fromkeys(missing, reason)
        for key in (key for key, value in shape.items() if value is None):
            self._notes[key] = reason if silent else "the sample rate is too low"


def _tilt(thirds: list[float | None]) -> float | None:
    """A straight line through the levels per hertz; a third octave's width grows with its centre."""
    inside = [
        (np.log2(hz), level - 10 * np.log10(hz))
        for hz, level in zip(THIRD_OCTAVES_HZ, thirds, strict=True)
        if level is not None and _TILT_HZ[0] * 0.99 <= hz <= _TILT_HZ[1] * 1.01
    ]
    octaves, levels = np.array(inside).T
    return float(np.polyfit(octaves, levels, 1)[0]) if len(inside) > 1 else None
