"""The overview that a waveform is drawn from."""

from __future__ import annotations

import numpy as np

from analysis.measures.base import Block, Samples, Stream
from analysis.measures.cells import cell_peaks

POINTS = 2000
_MOST = 1 << 16  # values kept: at least 16 a point


class Waveform:
    """`peaks`: 2,000 values of max |x| over all channels, each of one 2,000th of the track (fewer for fewer frames).

    The length is not known in advance, so peaks are kept in steps that double whenever there are too many. A point's
    edges are exact to a sixteenth of its width.
    """

    def __init__(self, stream: Stream) -> None:
        self._first: Samples | None = None  # every frame of the first block, while it is the only one
        self._step = 1  # in cells
        self._kept = np.zeros(0, np.float32)
        self._rest = np.zeros(0, np.float32)  # cells that do not fill a step yet

    def feed(self, block: Block) -> None:
        self._first = np.abs(block.samples).max(axis=1) if block.start == 0 else None
        cells = np.concatenate((self._rest, cell_peaks(block).max(axis=0)))
        whole = cells.size // self._step
        self._kept = np.concatenate((self._kept, _merged(cells[: whole * self._step], self._step)))
        self._rest = cells[whole * self._step :]
        while self._kept.size >= _MOST:
            odd = self._kept.size % 2
            if odd:  # it waits for its other half
                self._rest = np.concatenate((np.repeat(self._kept[-1:], self._step), self._rest))
            self._kept = _merged(self._kept[: self._kept.size - odd], 2)
            self._step *= 2

    def result(self) -> dict[str, object]:
        peaks = self._kept if self._first is None else self._first
        if self._first is None and self._rest.size:
            peaks = np.append(peaks, self._rest.max())
        count = min(POINTS, peaks.size)
        if count == 0:
            return {"peaks": []}
        edges = np.arange(count) * peaks.size // count
        return {"peaks": [round(float(peak), 4) for peak in np.maximum.reduceat(peaks, edges)]}


def _merged(values: Samples, count: int) -> Samples:
    """The maximum of each `count` values, a power of two; their number is a multiple of it."""
    while count > 1:
        values, count = np.maximum(values[0::2], values[1::2]), count // 2
    return values
