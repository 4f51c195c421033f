"""Clipping: runs of samples at full scale."""

from __future__ import annotations

import numpy as np

from analysis.measures.base import Block, Samples, Stream
from analysis.measures.cells import cell_peaks
from analysis.measures.units import rounded

FULL_SCALE = 32767 / 32768
"""The largest positive value of 16 bits: what a limiter's or converter's ceiling looks like in every format."""

SHORTEST_RUN = 3
_POSITIONS = 100


class Clipping:
    """Counts runs of three samples or more in a channel, over the edges of blocks, too.

    `positionsS` has where the first 100 runs start.
    """

    def __init__(self, stream: Stream) -> None:
        self._rate_hz = stream.sample_rate_hz
        self._open = [0] * stream.channels  # length of the run that the last sample ended in
        self._frames = 0
        self._samples = 0
        self._runs = 0
        self._positions: list[int] = []

    def feed(self, block: Block) -> None:
        hot = cell_peaks(block).max(axis=1) >= FULL_SCALE
        found: list[int] = []
        for channel, samples in enumerate(block.planar):
            if hot[channel]:
                found += self._runs_of(channel, samples, block.start)
            elif self._open[channel]:
                found += self._close(channel, block.start)
        self._keep(found)
        self._frames = block.start + len(block.samples)

    def result(self) -> dict[str, object]:
        self._keep([start for channel in range(len(self._open)) for start in self._close(channel, self._frames)])
        positions = [rounded(frame / self._rate_hz, 3) for frame in self._positions]
        return {
            "samples": self._samples,
            "runs": self._runs,
            "firstS": positions[0] if positions else None,
            "positionsS": positions,
        }

    def _runs_of(self, channel: int, samples: Samples, offset: int) -> list[int]:
        clipped = np.zeros(samples.size + 2, np.int8)
        clipped[1:-1] = np.abs(samples) >= FULL_SCALE
        change = np.diff(clipped)
        starts, ends = np.flatnonzero(change > 0), np.flatnonzero(change < 0)
        found = []
        if self._open[channel]:
            if clipped[1]:
                starts[0] = -self._open[channel]
            else:
                found += self._close(channel, offset)
        self._open[channel] = 0
        if clipped[-2]:
            self._open[channel] = int(ends[-1] - starts[-1])
            starts, ends = starts[:-1], ends[:-1]
        long = ends - starts >= SHORTEST_RUN
        self._runs += int(long.sum())
        self._samples += int((ends - starts)[long].sum())
        return found + [offset + int(start) for start in starts[long][:_POSITIONS]]

    def _close(self, channel: int, end: int) -> list[int]:
        """Counts the open run, which ended with the frame before `end`."""
        length, self._open[channel] = self._open[channel], 0
        if length < SHORTEST_RUN:
            return []
        self._runs += 1
        self._samples += length
        return [end - length]

    def _keep(self, found: list[int]) -> None:
        if found and len(self._positions) < 2 * _POSITIONS:
            self._positions = sorted(self._positions + found)[:_POSITIONS]
