"""Loudness, its range and the true peak: ITU-R BS.1770-5, EBU R 128, Tech 3341 and 3342."""

from __future__ import annotations

from array import array

import numpy as np

from analysis.measures.base import Block, Stream, hop_and_row
from analysis.measures.cells import cell_peaks
from analysis.measures.gating import Energies, SlidingMean, every, integrated_energy, loudness_range_lu, series_lufs
from analysis.measures.kweighting import KWeighting
from analysis.measures.true_peak import RecentPeak, TruePeak
from analysis.measures.units import amplitude_db, difference, lufs, rounded

_MOMENTARY_HOPS, _SHORT_TERM_HOPS = 40, 300  # 0.4 s and 3 s
_GATING_STEP_HOPS = 10  # 100 ms
_RANGE_STEP = 10  # in steps of 100 ms
_SERIES_POINTS = 1200
_SILENT = "the track is silent"


class Loudness:
    """The maxima step by 10 ms, the integrated loudness by 100 ms, the range by 1 s; only whole windows count.

    Tech 3342 leaves the range's step open; 1 s is libebur128's. (ffmpeg steps by 100 ms, and its percentiles lie one
    rank beside those of Tech 3342's reference code, which shows on short tracks.)

    `plrDb` is the true peak of the track over its integrated loudness. `psrDb` is the true peak within the loudest 3 s
    over their short-term loudness: the peak to short-term loudness ratio of a meter's window (Grimm et al., Measuring
    Micro-Dynamics - A First Step: Standardizing PSR, AES 143, 2017) where the track is loudest.

    `shortTermSeries` has at most 1,200 values, each the loudest window that ends within its step of `stepS`.
    Kept for the end are the 400 ms and 3 s energies at 100 ms: 160 bytes a second.
    """

    def __init__(self, stream: Stream) -> None:
        self._hop = hop_and_row(stream.sample_rate_hz)[0]
        self._hop_s = self._hop / stream.sample_rate_hz
        self._weighting = KWeighting(stream)
        self._true_peak = TruePeak(stream)
        self._recent_peak = RecentPeak(stream, _SHORT_TERM_HOPS * self._hop)
        self._loudest_peak = 0.0
        self._momentary, self._short_term = SlidingMean(_MOMENTARY_HOPS), SlidingMean(_SHORT_TERM_HOPS)
        self._momentary_max = self._short_term_max = 0.0
        self._momentary_steps, self._short_term_steps = array("d"), array("d")
        self._hops = 0
        self._sample_peak = 0.0
        self._notes: dict[str, str] = {}

    def feed(self, block: Block) -> None:
        hops = self._weighting.feed(block.planar)
        self._hops += hops.size
        self._momentary_max = max(self._momentary_max, _slide(self._momentary, hops, self._momentary_steps)[0])
        self._sample_peak = max(self._sample_peak, float(cell_peaks(block).max()))
        self._recent_peak.feed(block.start, self._true_peak.feed(block))
        loudest, hop = _slide(self._short_term, hops, self._short_term_steps)
        if loudest > self._short_term_max:
            self._short_term_max = loudest
            self._loudest_peak = self._recent_peak.between(hop * self._hop, (hop + _SHORT_TERM_HOPS) * self._hop)

    def result(self) -> dict[str, object]:
        energy = integrated_energy(np.asarray(self._momentary_steps))
        integrated = None if energy is None else lufs(energy)
        short_term = np.asarray(self._short_term_steps)
        short_term_max = lufs(self._short_term_max)
        peak = amplitude_db(self._true_peak.finish())
        values = {
            "integratedLufs": integrated,
            "rangeLu": loudness_range_lu(short_term[::_RANGE_STEP]),
            "momentaryMaxLufs": lufs(self._momentary_max),
            "shortTermMaxLufs": short_term_max,
            "truePeakDbtp": peak,
            "samplePeakDbfs": amplitude_db(self._sample_peak),
            "plrDb": difference(peak, integrated),
            "psrDb": difference(amplitude_db(self._loudest_peak), short_term_max),
        }
        self._note({key for key, value in values.items() if value is None}, integrated)
        step, series = series_lufs(
            short_term, _SHORT_TERM_HOPS // _GATING_STEP_HOPS - 1, self._hops // _GATING_STEP_HOPS, _SERIES_POINTS
        )
        step_s = round(step * _GATING_STEP_HOPS * self._hop_s, 4)
        return {key: rounded(value) for key, value in values.items()} | {
            "shortTermSeries": {"stepS": step_s, "lufs": series}
        }

    def notes(self) -> dict[str, str]:
        return self._notes

    def _note(self, missing: set[str], integrated: float | None) -> None:
        if self._sample_peak == 0:
            self._notes = dict.fromkeys(sorted(missing), _SILENT)
            return
        for key in sorted(missing & {"rangeLu", "shortTermMaxLufs", "psrDb"}):
            self._notes[key] = "shorter than 3 s" if self._hops < _SHORT_TERM_HOPS else "below -70 LUFS throughout"
        for key in sorted(missing - self._notes.keys()):
            self._notes[key] = "shorter than 0.4 s" if self._hops < _MOMENTARY_HOPS else "below -70 LUFS throughout"


def _slide(mean: SlidingMean, hops: Energies, steps: array[float]) -> tuple[float, int]:
    """Keeps the windows at 100 ms; returns the loudest of all that the hops complete, and the hop it begins with."""
    first = mean.first
    windows = mean.feed(hops)
    steps.frombytes(every(windows, first, _GATING_STEP_HOPS).tobytes())
    if windows.size == 0:
        return 0.0, first
    loudest = int(np.argmax(windows))
    return float(windows[loudest]), first + loudest
