"""From window energies to integrated loudness and loudness range."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.measures.units import LUFS_OFFSET, lufs

Energies = NDArray[np.float64]

ABSOLUTE_GATE_LUFS = -70.0
_INTEGRATED_GATE_LU = -10.0
_RANGE_GATE_LU = -20.0
_RANGE_PERCENTILES = (10, 95)


class SlidingMean:
    """The means of all windows of `size` hops, hop by hop, each when its last hop has come."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._rest = np.zeros(0)
        self.first = 0
        """Index of the first hop of the window that comes next."""

    def feed(self, hops: Energies) -> Energies:
        held = np.concatenate((self._rest, hops))
        count = max(0, held.size - self.size + 1)
        self._rest = held[count:]
        self.first += count
        total = np.concatenate(([0.0], np.cumsum(held)))
        means = (total[self.size :] - total[: -self.size])[:count] / self.size
        return np.maximum(means, 0.0)  # a difference of sums may fall below zero by rounding


def every(values: Energies, first: int, step: int) -> Energies:
    """Of values at positions first, first + 1, …: those at multiples of step."""
    return values[-first % step :: step]


def integrated_energy(windows: Energies) -> float | None:
    """windows: the mean squares of 400 ms, overlapping by 75 %. BS.1770-5 annex 1, equations 3 to 7."""
    above = windows[windows >= _energy(ABSOLUTE_GATE_LUFS)]
    if above.size == 0:
        return None
    relative = above.mean() * 10 ** (_INTEGRATED_GATE_LU / 10)
    return float(above[above >= relative].mean())


def loudness_range_lu(windows: Energies) -> float | None:
    """windows: the mean squares of 3 s. EBU Tech 3342: nearest-rank percentiles of what passes both gates."""
    above = windows[windows >= _energy(ABSOLUTE_GATE_LUFS)]
    if above.size == 0:
        return None
    kept = np.sort(above[above >= above.mean() * 10 ** (_RANGE_GATE_LU / 10)])
    low, high = (kept[int((kept.size - 1) * percent / 100 + 0.5)] for percent in _RANGE_PERCENTILES)
    return 10 * float(np.log10(high / low))


def series_lufs(windows: Energies, first: int, length: int, points: int) -> tuple[int, list[float | None]]:
    """At most `points` values over `length` positions: the step in positions, and the loudest window of each step.

    The windows stand at the positions from `first` on; a step without a window, or with silence only, is None.
    """
    step = max(1, -(-length // points))
    padded = np.zeros(-(-length // step) * step)
    padded[first : first + windows.size] = windows
    loudest = padded.reshape(-1, step).max(axis=1)
    return step, [_audible(float(energy)) for energy in loudest]


def _audible(energy: float) -> float | None:
    value = lufs(energy)
    return None if value is None or value < _LOWEST_LUFS else round(value, 2)


_LOWEST_LUFS = -120.0


def _energy(level_lufs: float) -> float:
    return float(10 ** ((level_lufs - LUFS_OFFSET) / 10))
