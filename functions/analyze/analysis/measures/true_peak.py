"""True peak, ITU-R BS.1770-5 annex 2: the highest value of the signal between its samples.

Four times oversampled below 96 kHz, twice below 192 kHz, by a 49-tap sinc under a Hann window (12 taps for each point
between two samples below 96 kHz, 24 above), which is libebur128's interpolator.

Pruned, without losing anything: no interpolated value can exceed the largest |x| under the filter times the sum of the
filter's |h|, about 1.9. So a cell whose peak is too low for the maximum so far is never interpolated. Within a block
the hottest cells come first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.measures.base import CELL, Block, Samples, Stream
from analysis.measures.cells import cell_peaks

_TAPS = 49
_HOTTEST = 24


def oversampling(sample_rate_hz: int) -> int:
    if sample_rate_hz < 96_000:
        return 4
    return 2 if sample_rate_hz < 192_000 else 1


def phases(factor: int) -> NDArray[np.float64]:
    """(factor - 1, taps): the filters for the points between two samples, newest sample first. The samples themselves
    are the remaining phase, as the sinc is zero at all of them but one."""
    n = np.arange(_TAPS) - (_TAPS - 1) / 2
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_TAPS) / (_TAPS - 1))
    prototype = np.sinc(n / factor) * window
    taps = (_TAPS - 1) // max(factor, 2)
    return np.array([prototype[phase::factor][:taps] for phase in range(1, factor)]).reshape(factor - 1, taps)


class TruePeak:
    def __init__(self, stream: Stream) -> None:
        factor = oversampling(stream.sample_rate_hz)
        filters = phases(factor)
        self._filter = _cell_matrix(filters)
        self._gain = float(np.abs(filters).sum(axis=1).max(initial=1.0))
        self._last = np.zeros((stream.channels, CELL), np.float32)
        self._last_peaks = np.zeros((stream.channels, 1), np.float32)
        self.peak = 0.0

    def feed(self, block: Block) -> None:
        self._feed(block.planar, cell_peaks(block))

    def finish(self) -> float:
        """The peak as a linear value. The interpolation ends in the silence after the last sample."""
        self._feed(np.zeros_like(self._last), np.zeros_like(self._last_peaks))
        return self.peak

    def _feed(self, planar: Samples, peaks: Samples) -> None:
        """planar: (channels, frames), peaks: (channels, cells). A cell's outputs need the cell before, too."""
        self.peak = max(self.peak, float(peaks.max()))
        missing = peaks.shape[1] * CELL - planar.shape[1]
        if missing:
            planar = np.pad(planar, ((0, 0), (0, missing)))
        bounds = np.maximum(peaks, np.concatenate((self._last_peaks, peaks[:, :-1]), axis=1)) * self._gain
        candidates = np.flatnonzero(bounds > self.peak)
        if candidates.size > _HOTTEST:
            hot = np.argpartition(bounds.reshape(-1)[candidates], -_HOTTEST)[-_HOTTEST:]
            self._evaluate(planar, candidates[hot])
            candidates = candidates[bounds.reshape(-1)[candidates] > self.peak]
        self._evaluate(planar, candidates)
        self._last, self._last_peaks = planar[:, -CELL:].copy(), peaks[:, -1:].copy()

    def _evaluate(self, planar: Samples, cells: NDArray[np.intp]) -> None:
        if cells.size == 0 or self._filter.shape[1] == 0:
            return
        channel, cell = np.divmod(cells, planar.shape[1] // CELL)
        by_cell = planar.reshape(planar.shape[0], -1, CELL)
        rows = np.empty((cells.size, 2, CELL), np.float32)
        rows[:, 1] = by_cell[channel, cell]
        rows[:, 0] = by_cell[channel, cell - 1]
        at_start = cell == 0
        rows[at_start, 0] = self._last[channel[at_start]]
        between = rows.reshape(-1, 2 * CELL) @ self._filter
        self.peak = max(self.peak, float(between.max()), -float(between.min()))


def _cell_matrix(filters: NDArray[np.float64]) -> Samples:
    """(2 CELL, CELL x filters): from a cell and the one before to all points whose newest sample lies in the cell."""
    matrix = np.zeros((2 * CELL, len(filters), CELL))
    for at in range(CELL):
        newest = CELL + at
        taps = filters.shape[1]
        matrix[newest - taps + 1 : newest + 1, :, at] = filters[:, ::-1].T
    return matrix.reshape(2 * CELL, -1).astype(np.float32)
