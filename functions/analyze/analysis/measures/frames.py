"""The front end that tempo and key share: the mono signal at about 5.5 kHz, and its frames.

Both look at what happens below 2.2 kHz, so an eighth of the samples is enough. The decimation is an exact FIR, done as
one matrix product on rows of samples (numpy has no polyphase filter).
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from analysis.measures.base import Block, Stream

Array = NDArray[np.float32]

TARGET_RATE_HZ = 5512.5
PASS_HZ = 2250.0
_OUTPUTS_PER_ROW = 32  # wide enough for BLAS, narrow enough for little waste
_STOPBAND_DB = 60.0


def decimation(sample_rate_hz: int) -> int:
    """The whole factor that brings a rate nearest to 5.5 kHz."""
    return max(1, round(sample_rate_hz / TARGET_RATE_HZ))


def low_pass(sample_rate_hz: int, factor: int) -> NDArray[np.float64]:
    """Kaiser-windowed sinc: flat to 2.2 kHz, and some 60 dB down from where aliases would fall below that."""
    if factor == 1:
        return np.ones(1)
    stop_hz = sample_rate_hz / factor - PASS_HZ
    width = 2 * np.pi * (stop_hz - PASS_HZ) / sample_rate_hz
    taps = int(np.ceil((_STOPBAND_DB - 8) / (2.285 * width))) | 1
    n = np.arange(taps) - (taps - 1) / 2
    cutoff = (PASS_HZ + stop_hz) / sample_rate_hz  # in units of Nyquist
    h = np.sinc(cutoff * n) * np.kaiser(taps, 0.1102 * (_STOPBAND_DB - 8.7))
    return np.asarray(h / h.sum())


class Decimator:
    """Feeds on blocks, gives the decimated mono signal. One a track: `Decimator.of(stream)`; each block counts once,
    whoever feeds it."""

    def __init__(self, stream: Stream) -> None:
        self.factor = decimation(stream.sample_rate_hz)
        self.rate_hz = stream.sample_rate_hz / self.factor
        h = low_pass(stream.sample_rate_hz, self.factor)
        self._row = _OUTPUTS_PER_ROW * self.factor
        self._history = h.size - 1
        # Output i of a row that starts at sample r is sum_j h[j] x[r + i factor - j].
        lag = np.arange(_OUTPUTS_PER_ROW) * self.factor - np.arange(-self._history, self._row)[:, None]
        taps = np.where((lag >= 0) & (lag < h.size), h[np.clip(lag, 0, h.size - 1)], 0).astype(np.float32)
        self._from_before, self._from_row = taps[: self._history], taps[self._history :]
        self._rest = np.zeros(self._history, np.float32)

    @staticmethod
    def of(stream: Stream) -> Decimator:
        if "decimator" not in stream.shared:
            stream.shared["decimator"] = Decimator(stream)
        return cast(Decimator, stream.shared["decimator"])

    def feed(self, block: Block) -> Array:
        """The decimated samples that `block` completes, shape (n,)."""
        if self.factor == 1:
            return block.mono
        if "decimated" not in block.cache:
            samples = np.concatenate((self._rest, block.mono))
            rows = (samples.size - self._history) // self._row
            self._rest = samples[rows * self._row :].copy()
            block.cache["decimated"] = self._filter(samples, rows)
        return cast(Array, block.cache["decimated"])

    def _filter(self, samples: Array, rows: int) -> Array:
        if rows == 0:
            return np.zeros(0, np.float32)
        new = samples[self._history : self._history + rows * self._row].reshape(rows, self._row)
        out = new @ self._from_row
        before = np.lib.stride_tricks.as_strided(
            samples, (rows, self._history), (self._row * samples.itemsize, samples.itemsize)
        )
        out += before @ self._from_before
        return out.reshape(-1)


class Frames:
    """Cuts a stream into overlapping frames whose positions count from the stream's first sample."""

    def __init__(self, size: int, hop: int) -> None:
        self.size, self.hop = size, hop
        self._rest = np.zeros(0, np.float32)

    def feed(self, samples: Array) -> Array:
        """The frames that `samples` complete, shape (n, size): a view, not to be written to."""
        held = np.concatenate((self._rest, samples))
        count = max(0, (held.size - self.size) // self.hop + 1)
        self._rest = held[count * self.hop :]
        if count == 0:
            return np.zeros((0, self.size), np.float32)
        return np.lib.stride_tricks.sliding_window_view(held, self.size)[:: self.hop][:count]


def hann(size: int) -> Array:
    """The periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)


def powers(frames: Array, window: Array) -> Array:
    """The power of each frame's bins, shape (frames, size / 2 + 1).

    Scaled "forward", numpy transforms single precision as such; by default it goes through double, at twice the time.
    """
    bins = np.fft.rfft(frames * (window * np.float32(window.size)), norm="forward")
    parts = np.square(bins.view(np.float32))
    return np.asarray(parts[:, 0::2] + parts[:, 1::2])
