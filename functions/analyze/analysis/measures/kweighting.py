"""K-weighting, ITU-R BS.1770-5 annex 1, as an exact block filter made of matrix products.

A recursive filter is slow sample by sample in numpy. But within a row of L samples its output is linear in the samples
and in the four state variables at the row's start:

    y = x T + s O,    s' = s A^L + x B

T holds the impulse response (Toeplitz), O the response to each state variable. A small product gives x B for all rows
of a block. The states at all rows' starts follow from a scan that is again two small products, first over groups of
rows, then within them. Then rows and states side by side, [x | s], take one product to y. The result is the recursive
filter's own, up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isqrt, pi, tan

import numpy as np
from numpy.typing import NDArray

from analysis.measures.base import Samples, Stream, block_frames, hop_and_row

Matrix = NDArray[np.float64]
Biquad = tuple[float, float, float, float, float]

STATES = 4
_TOGETHER = 512  # rows
_EXTINCT = 1e-20  # a state that has decayed to -400 dB: in silence it would go on into denormal numbers, which are slow


def biquads(sample_rate_hz: float) -> tuple[Biquad, Biquad]:
    """The shelf and the high-pass as (b0, b1, b2, a1, a2), a0 being 1.

    The standard gives coefficients for 48 kHz only; these are the analogue prototypes that give exactly those, under
    the bilinear transform (B. De Man, Evaluation of implementations of the EBU R128 loudness measurement, AES 145,
    2018).
    """
    k = tan(pi * 1681.974450955533 / sample_rate_hz)
    q, high = 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    a0 = 1 + k / q + k * k
    shelf = (
        (high + band * k / q + k * k) / a0,
        2 * (k * k - high) / a0,
        (high - band * k / q + k * k) / a0,
        2 * (k * k - 1) / a0,
        (1 - k / q + k * k) / a0,
    )
    k = tan(pi * 38.13547087602444 / sample_rate_hz)
    q = 0.5003270373238773
    a0 = 1 + k / q + k * k
    return shelf, (1.0, -2.0, 1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0)


@dataclass(frozen=True)
class _StateSpace:
    """s' = a s + b x, y = c s + d x."""

    a: Matrix
    b: Matrix
    c: Matrix
    d: float


def _cascade(sample_rate_hz: float) -> _StateSpace:
    """Both biquads in transposed direct form II, one after the other."""
    (p0, p1, p2, pa1, pa2), (r0, r1, r2, ra1, ra2) = biquads(sample_rate_hz)
    first_a, first_b = np.array([[-pa1, 1], [-pa2, 0]]), np.array([p1 - pa1 * p0, p2 - pa2 * p0])
    second_a, second_b = np.array([[-ra1, 1], [-ra2, 0]]), np.array([r1 - ra1 * r0, r2 - ra2 * r0])
    a = np.zeros((STATES, STATES))
    a[:2, :2], a[2:, 2:], a[2:, 0] = first_a, second_a, second_b
    return _StateSpace(a, np.concatenate((first_b, second_b * p0)), np.array([r0, 0, 1, 0]), r0 * p0)


class KWeighting:
    """Gives the energy of the weighted signal in every hop of 10 ms."""

    def __init__(self, stream: Stream) -> None:
        self._hop, self._row = hop_and_row(stream.sample_rate_hz)
        self._rows = block_frames(stream.sample_rate_hz, stream.channels) // self._row
        self._weights = np.array(stream.channel_weights)
        self._heard = np.flatnonzero(self._weights)
        into_output, into_state, step = _row_matrices(_cascade(stream.sample_rate_hz), self._row)
        self._into_output, self._into_state = into_output.astype(np.float32), into_state.astype(np.float32)
        self._scan = _Scan(step, self._rows)
        self._state = np.zeros((self._heard.size, STATES))
        self._held = np.empty((_TOGETHER, self._row + STATES), np.float32)
        self._filtered = np.empty((_TOGETHER, self._row), np.float32)

    def feed(self, planar: Samples) -> NDArray[np.float64]:
        """planar: (channels, frames), a full block or the last one. Returns (hops,): the channels' weighted sum of mean
        squares in each complete hop."""
        heard = planar if self._heard.size == planar.shape[0] else planar[self._heard]
        hops = planar.shape[1] // self._hop
        rows = self._rows_of(heard)
        inputs = (rows @ self._into_state).reshape(self._heard.size, self._rows, STATES)
        states, after = self._scan.states(self._state, inputs)
        self._state = np.where(np.abs(after) < _EXTINCT, 0.0, after)
        energies = self._energies(rows, states.reshape(-1, STATES)).reshape(self._heard.size, -1)
        rows_per_hop = self._hop // self._row
        energies = energies[:, : hops * rows_per_hop].astype(np.float64)
        weighted = self._weights[self._heard] @ energies
        return np.asarray(weighted.reshape(hops, rows_per_hop).sum(axis=1) / self._hop)

    def _energies(self, rows: Samples, states: NDArray[np.float32]) -> NDArray[np.float32]:
        """The sum of squares of each filtered row, some rows at a time so that they stay in the cache."""
        energies = np.empty(len(rows), np.float32)
        for at in range(0, len(rows), _TOGETHER):
            held = self._held[: len(rows) - at]
            held[:, : self._row], held[:, self._row :] = rows[at : at + _TOGETHER], states[at : at + _TOGETHER]
            filtered = np.matmul(held, self._into_output, out=self._filtered[: len(held)])
            np.einsum("ij,ij->i", filtered, filtered, out=energies[at : at + _TOGETHER])
        return energies

    def _rows_of(self, planar: Samples) -> Samples:
        missing = self._rows * self._row - planar.shape[1]
        if missing:
            planar = np.pad(planar, ((0, 0), (0, missing)))
        return planar.reshape(-1, self._row)


def _row_matrices(system: _StateSpace, row: int) -> tuple[Matrix, Matrix, Matrix]:
    """[T over O], shape (row + STATES, row), B (row, STATES), and the step A^row (STATES, STATES).

    The states are turned so that the rows of O are orthonormal: then single precision loses nothing in s O.
    """
    powers = _powers(system.a, row + 1)
    observed = system.c @ powers[:row]  # (row, STATES)
    impulse = np.concatenate(([system.d], observed[:-1] @ system.b))
    lag = np.arange(row)[None, :] - np.arange(row)[:, None]
    toeplitz = np.where(lag >= 0, impulse[np.clip(lag, 0, None)], 0.0)
    into_state = powers[row - 1 :: -1] @ system.b  # (row, STATES)
    q, r = np.linalg.qr(observed)
    step = r @ powers[row] @ np.linalg.inv(r)
    return np.vstack((toeplitz, q.T)), into_state @ r.T, step.T


class _Scan:
    """s[0] given, s[r + 1] = s[r] M + u[r], for all rows of a block at once.

    The states at the starts of groups are carried in double precision; within a group single precision is enough, for
    nothing goes on from there.
    """

    def __init__(self, step: Matrix, rows: int) -> None:
        self._group = isqrt(rows // 2) + 1
        self._groups = ceil(rows / self._group)
        self._rows = rows
        powers = _powers(step, self._group + 1)
        within, from_start = _scan_matrices(step, self._group)
        self._within = np.vstack((from_start, within)).astype(np.float32)
        self._over, self._from_first = _scan_matrices(powers[-1], self._groups)
        self._group_end = powers[-2::-1].reshape(-1, STATES)
        last = rows - (self._groups - 1) * self._group  # rows of the last group
        self._last_end, self._last_step = self._group_end[-last * STATES :], powers[last]

    def states(self, first: Matrix, inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], Matrix]:
        """first: (channels, STATES); inputs: (channels, rows, STATES).

        Returns the states before each row, of the inputs' shape, and the one after the last row.
        """
        channels = len(inputs)
        padded = np.zeros((channels, self._groups * self._group, STATES), np.float32)
        padded[:, : self._rows] = inputs
        grouped = padded.reshape(channels, self._groups, -1)
        ends = (grouped.astype(np.float64) @ self._group_end).reshape(channels, -1)
        starts = (ends @ self._over + first @ self._from_first).reshape(channels, self._groups, STATES)
        states = np.concatenate((starts.astype(np.float32), grouped), axis=2) @ self._within
        last = grouped[:, -1, : len(self._last_end)].astype(np.float64)
        after = last @ self._last_end + starts[:, -1] @ self._last_step
        return states.reshape(channels, -1, STATES)[:, : self._rows], after


def _scan_matrices(step: Matrix, count: int) -> tuple[Matrix, Matrix]:
    """From `count` inputs, flattened, to the states before each (zero at first); and from the first state to those."""
    powers = _powers(step, count)
    ahead = np.arange(count)[None, :] - 1 - np.arange(count)[:, None]
    inputs = np.where((ahead >= 0)[:, :, None, None], powers[np.maximum(ahead, 0)], 0.0)  # (count, count, S, S)
    return inputs.transpose(0, 2, 1, 3).reshape(count * STATES, -1), np.hstack(list(powers))


def _powers(step: Matrix, count: int) -> Matrix:
    """(count, STATES, STATES): the powers from 0 on."""
    powers = [np.eye(STATES)]
    for _ in range(count - 1):
        powers.append(powers[-1] @ step)
    return np.stack(powers)
