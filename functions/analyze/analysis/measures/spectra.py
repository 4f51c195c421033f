"""The long-term spectrum of all channels, and how the first two relate, in two resolutions.

Below 500 Hz from the signal decimated to about 2.8 kHz (bins of 1.3 Hz), above from the full rate (21.5 Hz). Two channels
go through one complex transform, z = left + i right, from whose bins Z[k] and Z[-k] both powers and the cross
spectrum follow. Frames overlap by slopes whose squares add up to one, so every sample counts the same, and the energy of all
bins is that of the signal (Parseval). The slopes are Vorbis' (Vorbis I specification, section 4.3.1): what leaks 100 bins away
is 118 dB down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.measures.base import Block, Samples, Stream

CROSSOVER_HZ = 500.0
_LOW_RATE_HZ, _LOW_FRAME = 2756, 2048
_HIGH_BIN_HZ = 21.5
_STOPBAND_DB = 80.0
_OUTPUTS_PER_ROW = 16
_BATCH = 16  # frames transformed at a time, so that they stay in the cache

Lines = NDArray[np.float64]  # (4, bins)
Signals = NDArray[np.complex64]


@dataclass(frozen=True)
class Energies:
    """Energies of a band, as sums of squares over the track."""

    total: float
    """Of all channels."""
    left: float
    right: float
    cross: float
    """The sum of left times right."""


class Spectra:
    """Gathers both spectra. One a track: `Spectra.of(stream)`; each block counts once, whoever feeds it."""

    def __init__(self, stream: Stream) -> None:
        self.nyquist_hz = stream.sample_rate_hz / 2
        pairs = (stream.channels + 1) // 2
        factor = max(1, round(stream.sample_rate_hz / _LOW_RATE_HZ))
        frame = 1 << round(np.log2(stream.sample_rate_hz / _HIGH_BIN_HZ))
        self._decimator = _Decimator(stream, factor)
        self._low = _Welch(pairs, _LOW_FRAME, _LOW_FRAME // 2)
        self._high = _Welch(pairs, frame, frame // 4)
        self._factor = factor
        self._fed = 0
        self._below: tuple[_Below, _Below] | None = None
        self.low_bin_hz = stream.sample_rate_hz / factor / _LOW_FRAME
        self.high_bin_hz = stream.sample_rate_hz / frame

    @staticmethod
    def of(stream: Stream) -> Spectra:
        found = stream.shared.get("spectra")
        if found is None:
            found = stream.shared["spectra"] = Spectra(stream)
        assert isinstance(found, Spectra)
        return found

    def feed(self, block: Block) -> None:
        if block.start < self._fed:
            return
        self._fed = block.start + len(block.samples)
        self._high.feed(_pairs(block))
        self._low.feed(_paired(self._decimator.feed(block.planar)))

    def finish(self) -> None:
        """After the last block; again, it does nothing."""
        if self._below is None:
            self._low.feed(_paired(self._decimator.flush()))
            self.high_lines = self._high.finish()
            low_lines = self._low.finish() * self._factor
            self._below = _Below(low_lines, self.low_bin_hz), _Below(self.high_lines, self.high_bin_hz)

    def band(self, low_hz: float, high_hz: float) -> Energies:
        """What lies between two frequencies; to be asked after `finish`."""
        assert self._below is not None
        low, high = self._below
        lines = low(min(high_hz, CROSSOVER_HZ)) - low(min(low_hz, CROSSOVER_HZ))
        lines = lines + high(max(high_hz, CROSSOVER_HZ)) - high(max(low_hz, CROSSOVER_HZ))
        total, left, right, cross = (float(line) for line in lines)
        return Energies(max(0.0, total), max(0.0, left), max(0.0, right), cross)


class _Below:
    """The energy below a frequency; within a bin, which reaches half its width to both sides, it grows evenly."""

    def __init__(self, lines: Lines, bin_hz: float) -> None:
        self._edges_hz = (np.arange(lines.shape[1] + 1) - 0.5) * bin_hz
        self._sums = np.concatenate((np.zeros((len(lines), 1)), np.cumsum(lines, axis=1)), axis=1)

    def __call__(self, hz: float) -> NDArray[np.float64]:
        return np.array([np.interp(hz, self._edges_hz, sums) for sums in self._sums])


class _Welch:
    """Sums of the spectra of overlapping frames of complex signals, (pairs, frames) at a time."""

    def __init__(self, pairs: int, frame: int, overlap: int) -> None:
        self._frame, self._hop = frame, frame - overlap
        rise = np.sin(np.pi / 2 * np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / overlap) ** 2)
        self._window = np.concatenate((rise, np.ones(frame - 2 * overlap), rise[::-1]))
        self._rest = np.zeros((pairs, overlap), np.complex64)  # so that the first sample is at the end of a slope
        self._power = np.zeros((pairs, frame))
        self._product = np.zeros(frame // 2 + 1, np.complex128)

    def feed(self, signals: Signals) -> None:
        held = np.concatenate((self._rest, signals), axis=1)
        count = max(0, (held.shape[1] - self._frame) // self._hop + 1)
        self._rest = held[:, count * self._hop :]
        if count == 0:
            return
        for pair, signal in enumerate(held):
            frames = np.lib.stride_tricks.sliding_window_view(signal, self._frame)[:: self._hop][:count]
            for at in range(0, count, _BATCH):
                self._add(pair, frames[at : at + _BATCH])

    def finish(self) -> Lines:
        """Energy per bin: all channels, left, right, and the sum of left times right."""
        pairs, rest = self._rest.shape
        self.feed(np.zeros((pairs, -rest % self._hop + self._frame), np.complex64))
        half = self._frame // 2
        two_sided = self._power / self._frame
        power = two_sided[:, : half + 1].copy()
        power[:, 1:half] += two_sided[:, :half:-1]
        product = self._product / self._frame
        product[1:half] *= 2
        first = power[0]
        left, right = (first + product.real) / 2, (first - product.real) / 2
        return np.stack((power.sum(axis=0), left, right, product.imag / 2))

    def _add(self, pair: int, frames: Signals) -> None:
        """numpy transforms double precision in half the time of single."""
        bins = np.fft.fft(frames * self._window)
        parts = bins.view(np.float64)
        self._power[pair] += np.einsum("ij,ij->j", parts, parts).reshape(-1, 2).sum(axis=1)
        if pair == 0:
            half = self._frame // 2
            mirrored = bins[:, : half - 1 : -1]
            self._product[1:] += np.einsum("ij,ij->j", bins[:, 1 : half + 1], mirrored)
            self._product[0] += np.square(bins[:, 0]).sum()


class _Decimator:
    """Low-pass and every `factor`-th sample, as products of rows; flat to the crossover, aliases 80 dB down."""

    def __init__(self, stream: Stream, factor: int) -> None:
        h = _low_pass(stream.sample_rate_hz, factor)
        self._row = _OUTPUTS_PER_ROW * factor
        before = -(-(h.size - 1) // self._row) * self._row
        # Output i of a row that starts at sample r is the sum of h[j] x[r + i factor - j].
        lag = np.arange(_OUTPUTS_PER_ROW) * factor - np.arange(-before, self._row)[:, None]
        taps = np.where((lag >= 0) & (lag < h.size), h[np.clip(lag, 0, h.size - 1)], 0).astype(np.float32)
        self._taps = taps.reshape(-1, self._row, _OUTPUTS_PER_ROW)
        self._rest = np.zeros((stream.channels, before), np.float32)

    def feed(self, planar: Samples) -> Samples:
        """planar: (channels, frames). Returns the outputs that become complete."""
        held = np.concatenate((self._rest, planar), axis=1)
        channels, length = held.shape
        rows, history = length // self._row, len(self._taps) - 1
        by_row = held[:, : rows * self._row].reshape(channels, rows, self._row)
        count = rows - history
        out = by_row[:, history:] @ self._taps[-1]
        for back in range(history):
            out += by_row[:, back : back + count] @ self._taps[back]
        self._rest = held[:, count * self._row :]
        return out.reshape(channels, -1)

    def flush(self) -> Samples:
        return self.feed(np.zeros((len(self._rest), self._row * len(self._taps)), np.float32))


def _low_pass(sample_rate_hz: int, factor: int) -> NDArray[np.float64]:
    """A sinc under a Kaiser window (Kaiser 1974)."""
    stop_hz = sample_rate_hz / factor - CROSSOVER_HZ
    width = 2 * np.pi * (stop_hz - CROSSOVER_HZ) / sample_rate_hz
    taps = int(np.ceil((_STOPBAND_DB - 8) / (2.285 * width))) | 1
    n = np.arange(taps) - (taps - 1) / 2
    h = np.sinc((CROSSOVER_HZ + stop_hz) / sample_rate_hz * n) * np.kaiser(taps, 0.1102 * (_STOPBAND_DB - 8.7))
    return np.asarray(h / h.sum())


def _pairs(block: Block) -> Signals:
    """(pairs, frames): two channels each as one complex signal."""
    if block.samples.shape[1] == 2:
        return block.samples.view(np.complex64).T
    return _paired(block.planar)


def _paired(planar: Samples) -> Signals:
    odd = planar.shape[0] % 2
    if odd:
        planar = np.concatenate((planar, np.zeros_like(planar[:1])))
    return np.asarray(planar[0::2] + np.complex64(1j) * planar[1::2])
