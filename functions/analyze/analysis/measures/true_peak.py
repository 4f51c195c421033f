"""True peak, ITU-R BS.1770-5 annex 2: the highest value of the signal between its samples.

Four times oversampled below 96 kHz, twice below 192 kHz, by a 49-tap sinc under a Hann window (12 taps for each point
between two samples below 96 kHz, 24 above), which is libebur128's interpolator.

Pruned, without losing anything: no interpolated value can exceed the largest |x| under the filter times the sum of the
filter's |h|, about 1.9. So a cell whose peak is too low for the maximum so far is never interpolated. Within a section
the hottest cells come first. Where that leaves many cells, as in a brickwalled master, a second bound looks at the
curvature: each filter is a straight line between two samples plus a filter upon second differences, so no value can
exceed max |x| + 0.3 max |x[n] - 2 x[n-1] + x[n-2]|, which is little above max |x| unless the treble is loud.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from analysis.measures.base import CELL, Block, Samples, Stream
from analysis.measures.cells import cell_peaks, peaks_of

_TAPS = 49
_HOTTEST = 24
_MANY = 0.35  # of the cells: from here on, the curvatures cost less than the interpolation that they save


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


@dataclass(frozen=True)
class Section:
    """Some cells of the signal, in order, and what their first points need of the ones before."""

    planar: Samples
    """(channels, cells x CELL)"""
    peaks: Samples
    """(channels, cells): max |x|"""
    before: Samples
    """(channels, taps - 1): the samples before."""
    peaks_before: Samples
    """(channels, 1): the peak of the cell before."""


class Interpolator:
    """Finds the highest point of sections."""

    def __init__(self, sample_rate_hz: int) -> None:
        filters = phases(oversampling(sample_rate_hz))
        self.history = filters.shape[1] - 1
        self.idle = len(filters) == 0
        self._matrix = _cell_matrix(filters)
        self._gain = float(np.abs(filters).sum(axis=1).max(initial=1.0))
        self._line, self._curve = _curvature_gains(filters)

    def highest(self, section: Section, floor: float, cells: slice = slice(None)) -> float:
        """The highest |value| whose newest sample is in the cells, or `floor` where that is higher."""
        peaks = np.concatenate((section.peaks_before, section.peaks), axis=1)
        peaks = np.maximum(peaks[:, 1:], peaks[:, :-1])[:, cells]
        highest = max(floor, float(section.peaks[:, cells].max(initial=0.0)))
        if self.idle:
            return highest
        bounds = peaks * self._gain
        first = cells.start or 0
        if (bounds > highest).sum() > _MANY * bounds.size:
            bounds = np.minimum(bounds, self._line * peaks + self._curve * _curvatures(section)[:, cells])
        candidates = np.flatnonzero(bounds > highest)
        if candidates.size > 4 * _HOTTEST:
            hot = np.argpartition(bounds.reshape(-1)[candidates], -_HOTTEST)[-_HOTTEST:]
            highest = max(highest, self._evaluated(section, candidates[hot], first, bounds.shape[1]))
            candidates = candidates[bounds.reshape(-1)[candidates] > highest]
        return max(highest, self._evaluated(section, candidates, first, bounds.shape[1]))

    def _evaluated(self, section: Section, found: NDArray[np.intp], first: int, width: int) -> float:
        """found: positions in (channels, width) cells, of which the first is number `first` of the section."""
        if found.size == 0:
            return 0.0
        channel, cell = np.divmod(found, width)
        between = _rows(section, channel, cell + first, self.history) @ self._matrix
        return max(float(between.max()), -float(between.min()))


class TruePeak:
    """Keeps the highest value so far in `peak`, as a linear value."""

    def __init__(self, stream: Stream) -> None:
        self._interpolator = Interpolator(stream.sample_rate_hz)
        self._before = np.zeros((stream.channels, self._interpolator.history), np.float32)
        self._peaks_before = np.zeros((stream.channels, 1), np.float32)
        self.peak = 0.0

    def feed(self, block: Block) -> Section:
        return self._feed(block.planar, cell_peaks(block))

    def finish(self) -> float:
        """The peak of the track: the interpolation ends in the silence after the last sample."""
        channels = len(self._before)
        self._feed(np.zeros((channels, CELL), np.float32), np.zeros((channels, 1), np.float32))
        return self.peak

    def _feed(self, planar: Samples, peaks: Samples) -> Section:
        missing = peaks.shape[1] * CELL - planar.shape[1]
        if missing:
            planar = np.pad(planar, ((0, 0), (0, missing)))
        section = Section(planar, peaks, self._before, self._peaks_before)
        self.peak = self._interpolator.highest(section, self.peak)
        self._before = planar[:, planar.shape[1] - self._interpolator.history :].copy()
        self._peaks_before = peaks[:, -1:].copy()
        return section


class RecentPeak:
    """The true peak of stretches that lie in the last `frames` before the newest section, or reach into it."""

    def __init__(self, stream: Stream, frames: int) -> None:
        self._interpolator = Interpolator(stream.sample_rate_hz)
        self._frames = frames
        self._sections: deque[_Known] = deque()

    def feed(self, start: int, section: Section) -> None:
        """start: the section's first frame."""
        if self._interpolator.idle:  # then nobody looks at the samples
            section = replace(section, planar=section.planar[:, :0].copy())
        self._sections.append(_Known(start, section))
        while self._sections[0].end <= start - self._frames:
            self._sections.popleft()

    def between(self, first: int, last: int) -> float:
        """As a linear value; first and last are frames, of which only whole cells count."""
        highest = 0.0
        inside = [known for known in self._sections if known.start < last and first < known.end]
        for known in sorted(inside, key=lambda known: known.peak, reverse=True):
            cells = slice(*(max(0, -(-(frame - known.start) // CELL)) for frame in (first, last)))
            whole = cells.start == 0 and cells.stop >= known.section.peaks.shape[1]
            if whole and known.ceiling <= highest:
                continue
            highest = self._interpolator.highest(known.section, highest, cells)
            if whole:
                known.ceiling = highest
        return highest


@dataclass
class _Known:
    """A section, and what is known of it: no point lies above `ceiling`."""

    start: int
    section: Section
    ceiling: float = inf

    @property
    def end(self) -> int:
        cells: int = self.section.peaks.shape[1]
        return self.start + cells * CELL

    @property
    def peak(self) -> float:
        return float(self.section.peaks.max())


def _rows(section: Section, channel: NDArray[np.intp], cell: NDArray[np.intp], history: int) -> Samples:
    """(cells, history + CELL): the samples that the points of these cells are made of."""
    planar = section.planar
    first = np.concatenate((section.before, planar[:, :CELL]), axis=1)
    if planar.shape[1] == CELL:
        return np.asarray(first[channel])
    shape = (len(planar), planar.shape[1] // CELL - 1, history + CELL)
    strides = (planar.strides[0], CELL * planar.itemsize, planar.itemsize)
    later = np.ndarray(shape, planar.dtype, planar, (CELL - history) * planar.itemsize, strides)
    rows = later[channel, np.maximum(cell, 1) - 1]
    rows[cell == 0] = first[channel[cell == 0]]
    return np.asarray(rows)


def _cell_matrix(filters: NDArray[np.float64]) -> Samples:
    """(taps - 1 + CELL, CELL x filters): from a cell and what precedes it to the points whose newest sample is in it"""
    taps = filters.shape[1]
    matrix = np.zeros((taps - 1 + CELL, len(filters), CELL))
    for at in range(CELL):
        matrix[at : at + taps, :, at] = filters[:, ::-1].T
    return matrix.reshape(taps - 1 + CELL, -1).astype(np.float32)


def _curvature_gains(filters: NDArray[np.float64]) -> tuple[float, float]:
    """a and b so that no point exceeds a max |x| + b max |second difference|, whichever the filter.

    A filter of sum a and centroid c, less a times the straight line between the two samples about c, has neither sum
    nor first moment, so that it is another filter upon second differences: its double sum.
    """
    line = curve = 0.0
    for h in filters:
        taps = np.arange(h.size)
        at = float(taps @ h / h.sum())
        straight = np.maximum(0.0, 1 - np.abs(taps - at))
        upon_differences = np.cumsum(np.cumsum(h - h.sum() * straight))
        line, curve = max(line, abs(h.sum())), max(curve, float(np.abs(upon_differences).sum()))
    return line, curve


def _curvatures(section: Section) -> Samples:
    """(channels, cells): the largest |x[n] - 2 x[n-1] + x[n-2]| that a point of the cell may depend on."""
    planar = section.planar
    slope = planar[:, 1:] - planar[:, :-1]
    bends = np.empty_like(planar)
    np.subtract(slope[:, 1:], slope[:, :-1], out=bends[:, 2:])
    bends[:, :2] = 4 * np.maximum(section.peaks[:, :1], section.peaks_before)  # no second difference is larger
    bends = peaks_of(bends)
    return np.maximum(bends, np.concatenate((bends[:, :1], bends[:, :-1]), axis=1))
