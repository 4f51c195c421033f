"""The long-term spectrum of all channels, and how the first two relate, in two resolutions.

Below 500 Hz from the signal decimated to about 2.8 kHz (bins of 1.3 Hz), above from the full rate (10.8 Hz). Two
channels go through one complex transform, z = left + i right, from whose bins Z[k] and Z[-k] both powers and the cross
spectrum follow. Frames overlap by slopes whose squares add up to one, so every sample counts the same, and the energy
of all bins is that of the signal (Parseval). The slopes are Vorbis' (Vorbis I specification, section 4.3.1): what leaks
2 kHz away is 125 dB down.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from analysis.measures.base import Block, Samples, Stream

CROSSOVER_HZ = 500.0
_LOW_RATE_HZ, _LOW_FRAME = 2756, 2048
_HIGH_BIN_HZ = 10.8
_STOPBAND_DB = 80.0
_OUTPUTS_PER_ROW = 16
_BATCH_BINS = 1 << 16  # transformed at a time: many share the overhead of a call, few stay in the cache
_SIDE_BY_SIDE = 4  # transforms that numpy does at once in single precision; a rest of fewer takes as long

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
        self._high = _Welch(pairs, frame, frame // 8)
        self._factor = factor
        self._fed = 0
        self._low_bin_hz = stream.sample_rate_hz / factor / _LOW_FRAME
        self._high_bin_hz = stream.sample_rate_hz / frame

    @staticmethod
    def of(stream: Stream) -> Spectra:
        if "spectra" not in stream.shared:
            stream.shared["spectra"] = Spectra(stream)
        return cast(Spectra, stream.shared["spectra"])

    def feed(self, block: Block) -> None:
        if block.start < self._fed:
            return
        self._fed = block.start + len(block.samples)
        self._high.feed(_pairs(block))
        self._low.feed(_paired(self._decimator.feed(block.planar)))

    def band(self, low_hz: float, high_hz: float) -> Energies:
        """What lies between two frequencies; to be asked after the last block."""
        low, high = self._finished
        lines = low.below(min(high_hz, CROSSOVER_HZ)) - low.below(min(low_hz, CROSSOVER_HZ))
        lines += high.below(max(high_hz, CROSSOVER_HZ)) - high.below(max(low_hz, CROSSOVER_HZ))
        total, left, right, cross = (float(line) for line in lines)
        return Energies(max(0.0, total), max(0.0, left), max(0.0, right), cross)

    def bins(self) -> tuple[Lines, Lines]:
        """Frequencies in Hz and energies, all channels, at the full rate; to be asked after the last block."""
        high = self._finished[1]
        return high.hz, np.asarray(high.lines[0])

    @cached_property
    def _finished(self) -> tuple[_Line, _Line]:
        self._low.feed(_paired(self._decimator.flush()))
        low = _Line(self._low.finish() * self._factor, self._low_bin_hz)
        return low, _Line(self._high.finish(), self._high_bin_hz)


class _Line:
    """A spectrum. Below a frequency: within a bin, which reaches half its width to both sides, energy grows evenly."""

    def __init__(self, lines: Lines, bin_hz: float) -> None:
        self.lines = lines
        self.hz = np.arange(lines.shape[1], dtype=np.float64) * np.float64(bin_hz)
        self._edges_hz = (np.arange(lines.shape[1] + 1) - 0.5) * bin_hz
        self._sums = np.concatenate((np.zeros((len(lines), 1)), np.cumsum(lines, axis=1)), axis=1)

    def below(self, hz: float) -> NDArray[np.float64]:
        return np.array([np.interp(hz, self._edges_hz, sums) for sums in self._sums])


class _Welch:
    """Sums of the spectra of overlapping frames of complex signals, (pairs, frames) at a time."""

    def __init__(self, pairs: int, frame: int, overlap: int) -> None:
        self._frame, self._hop = frame, frame - overlap
        rise = np.sin(np.pi / 2 * np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / overlap) ** 2)
        window = np.concatenate((rise, np.ones(frame - 2 * overlap), rise[::-1]))
        self._window = np.repeat(window, 2).astype(np.float32)  # for real and imaginary parts side by side
        self._batch = max(_SIDE_BY_SIDE, _BATCH_BINS // frame)
        self._frames, self._bins = np.empty((2, self._batch, frame), np.complex64)
        self._held = [np.zeros((pairs, overlap), np.complex64)]  # so that the first sample is at the end of a slope
        self._squares = np.zeros((pairs, 2 * frame))  # real and imaginary parts side by side
        self._product = np.zeros(frame // 2 + 1, np.complex128)

    def feed(self, signals: Signals) -> None:
        self._held.append(signals)
        whole = self._whole_frames()
        if whole >= self._batch:
            self._transform(whole - whole % _SIDE_BY_SIDE)

    def finish(self) -> Lines:
        """Energy per bin: all channels, left, right, and the sum of left times right."""
        length = sum(held.shape[1] for held in self._held)
        self._held.append(np.zeros((len(self._squares), -length % self._hop + self._frame), np.complex64))
        self._transform(max(0, self._whole_frames()))
        half = self._frame // 2
        two_sided = self._squares.reshape(len(self._squares), -1, 2).sum(axis=2) * self._frame
        power = two_sided[:, : half + 1].copy()
        power[:, 1:half] += two_sided[:, :half:-1]
        product = self._product * self._frame
        product[1:half] *= 2
        first = power[0]
        left, right = (first + product.real) / 2, (first - product.real) / 2
        return np.stack((power.sum(axis=0), left, right, product.imag / 2))

    def _whole_frames(self) -> int:
        return (sum(held.shape[1] for held in self._held) - self._frame) // self._hop + 1

    def _transform(self, count: int) -> None:
        held = np.concatenate(self._held, axis=1)
        self._held = [held[:, count * self._hop :].copy()]
        for pair, signal in enumerate(held):
            parts = np.lib.stride_tricks.sliding_window_view(signal.view(np.float32), 2 * self._frame)
            frames = parts[:: 2 * self._hop][:count]
            for at in range(0, count, self._batch):
                self._add(pair, frames[at : at + self._batch])

    def _add(self, pair: int, frames: Samples) -> None:
        """frames: (at most a batch, 2 x frame).

        Scaled "forward", numpy transforms single precision as such; by default it goes through double, at twice the
        time.
        """
        filled = self._frames[: len(frames)]
        bins: Any = self._bins[: len(frames)]  # numpy's types do not know that `fft` may give single precision
        np.multiply(frames, self._window, out=filled.view(np.float32))
        np.fft.fft(filled, norm="forward", out=bins)
        parts = bins.view(np.float32)
        self._squares[pair] += np.einsum("ij,ij->j", parts, parts)
        if pair == 0:
            half = self._frame // 2
            product = np.multiply(bins[:, 1 : half + 1], bins[:, : half - 1 : -1], out=filled[:, :half])
            self._product[1:] += product.sum(axis=0)
            self._product[0] += np.square(bins[:, 0]).sum()


class _Decimator:
    """Low-pass and every `factor`-th sample, as products of rows; flat to the crossover, aliases 80 dB down."""

    def __init__(self, stream: Stream, factor: int) -> None:
        h = _low_pass(stream.sample_rate_hz, factor)
        self._row, self._history = _OUTPUTS_PER_ROW * factor, h.size - 1
        # Output i of a row that starts at sample r is the sum of h[j] x[r + i factor - j].
        lag = np.arange(_OUTPUTS_PER_ROW) * factor - np.arange(-self._history, self._row)[:, None]
        taps = np.where((lag >= 0) & (lag < h.size), h[np.clip(lag, 0, h.size - 1)], 0).astype(np.float32)
        self._from_before, self._from_row = taps[: self._history], taps[self._history :]
        self._rest = np.zeros((stream.channels, self._row), np.float32)

    def feed(self, planar: Samples) -> Samples:
        """planar: (channels, frames). Returns the outputs that become complete."""
        held = np.concatenate((self._rest, planar), axis=1)
        channels, length = held.shape
        rows = length // self._row
        by_row = held[:, : rows * self._row].reshape(channels, rows, self._row)
        self._rest = held[:, (rows - 1) * self._row :].copy()
        out = by_row[:, 1:] @ self._from_row
        out += by_row[:, :-1, self._row - self._history :] @ self._from_before
        return out.reshape(channels, -1)

    def flush(self) -> Samples:
        return self.feed(np.zeros((len(self._rest), 2 * self._row), np.float32))


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
