"""DR, the dynamic range of the Pleasurize Music Foundation's offline meter, and the mean square of the track.

Blocks of 3 s (of 44,160 frames a second at 44.1 kHz, the meter's quirk), the rest being the last block. For each
channel the second highest block peak over the RMS (a full-scale sine being 0 dB) of the loudest 20 % of the blocks; DR
is the mean of the channels. The meter shows it rounded to a whole number; here it is not.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from analysis.measures.base import Block, Stream
from analysis.measures.cells import peak_between

_BLOCK_S = 3
_LOUDEST = 0.2
_FEWEST_BLOCKS = 3


class DynamicRange:
    """Kept for the end: one energy and one peak for each channel and 3 s."""

    def __init__(self, stream: Stream) -> None:
        rate = stream.sample_rate_hz
        self._size = _BLOCK_S * (rate + 60 if rate == 44_100 else rate)
        self._channels = stream.channels
        self._frames = 0
        self._energies: list[NDArray[np.float64]] = []
        self._peaks: list[NDArray[np.float64]] = []

    def feed(self, block: Block) -> None:
        frames = len(block.samples)
        at = 0
        while at < frames:
            filled = self._frames % self._size
            stop = min(frames, at + self._size - filled)
            if filled == 0:
                self._energies.append(np.zeros(self._channels))
                self._peaks.append(np.zeros(self._channels))
            part = block.planar[:, at:stop]
            self._energies[-1] += np.vecdot(part, part)
            np.maximum(self._peaks[-1], peak_between(block, at, stop), out=self._peaks[-1])
            self._frames += stop - at
            at = stop

    def mean_square(self) -> float:
        """Over all channels and frames."""
        return float(np.sum(self._energies)) / max(1, self._frames * self._channels)

    def dr_db(self) -> float | None:
        """None for silence, and for less than two whole blocks."""
        blocks = self._frames // self._size + 1
        if blocks < _FEWEST_BLOCKS:
            return None
        energies, peaks = np.zeros((blocks, self._channels)), np.zeros((blocks, self._channels))
        energies[: len(self._energies)], peaks[: len(self._peaks)] = self._energies, self._peaks
        frames = np.full((blocks, 1), self._size)
        frames[-1] = max(1, self._frames % self._size)
        mean_squares = np.sort(2 * energies / frames, axis=0)[-max(1, int(blocks * _LOUDEST)) :].mean(axis=0)
        second_peaks = np.sort(peaks, axis=0)[-2]
        if not np.any(mean_squares > 0):
            return None
        channels = zip(second_peaks, mean_squares, strict=True)
        return float(np.mean([_ratio_db(peak, square) for peak, square in channels]))


def _ratio_db(peak: float, mean_square: float) -> float:
    return 20 * math.log10(peak / math.sqrt(mean_square)) if mean_square > 0 and peak > 0 else 0.0
