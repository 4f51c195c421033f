"""What every measure is fed, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, cached_property
from math import lcm
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

CELL = 32
"""Frames of the smallest unit that peaks are kept of; a full block has a whole number of them."""

_BLOCK_TARGET = 120_000  # samples: a block and what is made of it stay in the second-level cache
_ROWS = range(40, 101)
_ROW_TARGET = 48


@cache
def hop_and_row(sample_rate_hz: int) -> tuple[int, int]:
    """The frames of 10 ms, and a row length near 48 that divides them (for filters done as matrix products).

    Rates that are no multiple of 100 Hz, and the few whose hundredth has no such divisor, get the nearest hop that
    does.
    """
    near = round(sample_rate_hz / 100)
    for hop in sorted(range(max(1, near - 40), near + 41), key=lambda hop: abs(hop - near)):
        rows = [row for row in _ROWS if hop % row == 0]
        if rows:
            return hop, min(rows, key=lambda row: abs(row - _ROW_TARGET))
    raise ValueError(f"no hop for {sample_rate_hz} Hz")


def block_frames(sample_rate_hz: int, channels: int) -> int:
    """A whole number of hops and of cells: about 60,000 frames, and fewer where there are more than two channels."""
    unit = lcm(hop_and_row(sample_rate_hz)[0], CELL)
    return unit * max(1, round(_BLOCK_TARGET / max(2, channels) / unit))


@dataclass(frozen=True)
class Stream:
    """What is known of a track before its first sample."""

    sample_rate_hz: int
    channels: int
    channel_weights: tuple[float, ...]
    """One weight a channel, ITU-R BS.1770-5 table 4: 1.0, surrounds 1.41, LFE 0."""
    shared: dict[str, object] = field(default_factory=dict, compare=False, repr=False)
    """What several measures of this track have in common, by a name of their choice."""


@dataclass(eq=False)
class Block:
    """A slice of the decoded track. All blocks have the same length but the last, whatever the decoder delivered."""

    samples: Samples
    """(frames, channels), C-contiguous, full scale ±1.0, always finite. Not to be written to."""
    start: int
    """Index of the first frame in the track."""
    cache: dict[str, object] = field(default_factory=dict, repr=False)
    """What measures share with each other, by a name of their choice."""

    @cached_property
    def planar(self) -> Samples:
        """(channels, frames), C-contiguous."""
        return np.ascontiguousarray(self.samples.T)

    @cached_property
    def mono(self) -> Samples:
        """(frames,): the mean of all channels."""
        if len(self.planar) == 1:
            return np.asarray(self.planar[0])
        if len(self.planar) > 2:
            return np.asarray(self.planar.mean(axis=0, dtype=np.float32))
        total = self.planar[0] + self.planar[1]
        total *= np.float32(0.5)
        return np.asarray(total)


class Measure(Protocol):
    """One section of the result. It may also have `notes() -> dict[str, str]`: the reason for each null, by key."""

    def __init__(self, stream: Stream) -> None: ...

    def feed(self, block: Block) -> None: ...

    def result(self) -> dict[str, object]:
        """The section's values, JSON-ready; what cannot be had is None. Called once, after the last block."""
        ...
