"""Onset strength in five bands, and its autocorrelation, gathered while the track streams by."""

import numpy as np
from numpy.typing import NDArray

from analysis.measures.base import Block, Stream
from analysis.measures.frames import Array, Decimator, Frames, hann

FRAME, HOP = 512, 128
SEGMENT_S, LONGEST_LAG_S = 30.0, 12.0
# Band edges, and the group each band's rises are summed in: drums live in the groups, the bands keep a loud partial
# from hiding a soft onset next to it.
EDGES_HZ = (30, 75, 110, 160, 230, 330, 450, 600, 800, 1050, 1350, 1750, 2250, 2900, 3700, 4600)
GROUP_EDGES_HZ = (30, 160, 450, 1750, 4600)
GROUPS = 5  # four of them below 4.6 kHz, and the air above
SILENCE = 1e-9  # mean square: -90 dBFS


class Onsets:
    """Accumulates, per group, the autocorrelation of the onset strength: memory does not grow with the track."""

    def __init__(self, stream: Stream) -> None:
        self._decimator = Decimator(stream)
        self._frames = Frames(FRAME, HOP)
        self._window = hann(FRAME)
        self._air_hop = HOP * self._decimator.factor
        self._air_rest = np.zeros(0, np.float32)
        self.frame_rate_hz = self._decimator.rate_hz / HOP
        self._bands = _band_matrix(self._decimator.rate_hz)
        self._grouping = _grouping()
        self._segment_frames = round(SEGMENT_S * self.frame_rate_hz)
        self.lags = round(LONGEST_LAG_S * self.frame_rate_hz)
        self._energies: list[Array] = []
        self._airs: list[Array] = []
        self._waiting = 0
        self.autocorrelation = np.zeros((GROUPS + 1, self.lags))
        self.products = np.zeros(self.lags)
        self.onsets = 0
        self.frames_heard = 0

    def feed(self, block: Block) -> None:
        frames = self._frames.feed(self._decimator.feed(block))
        spectrum = np.fft.rfft(frames * self._window)
        power = spectrum.real**2 + spectrum.imag**2
        self._energies.append(power @ self._bands)
        self._airs.append(self._air(block.mono))
        self._waiting += len(frames)
        while self._waiting >= self._segment_frames:
            self._finish_segment(self._segment_frames)

    def finish(self) -> None:
        if self._waiting:
            self._finish_segment(self._waiting)

    def _air(self, mono: Array) -> Array:
        """Energy of the twice differenced full-rate signal in each hop: what the hats have and the decimation loses."""
        held = np.concatenate((self._air_rest, mono))
        count = max(0, (held.size - 2) // self._air_hop)
        self._air_rest = held[count * self._air_hop :]
        high = held[2:] - held[:-2] if False else np.diff(held[: count * self._air_hop + 1])
        rows = high.reshape(count, self._air_hop)
        return np.einsum("ij,ij->i", rows, rows)

    def _finish_segment(self, size: int) -> None:
        energies = np.concatenate(self._energies)
        air = np.concatenate(self._airs)
        bands = np.column_stack((energies[:size], air[2 : size + 2] if len(air) >= size + 2 else air[-size:]))
        self._energies, self._airs = [energies[size:]], [air[size:]]
        self._waiting -= size
        strength = onset_strength(bands, self._grouping, self.frame_rate_hz)
        self.frames_heard += size
        self.onsets += count_onsets(strength.sum(axis=1), self.frame_rate_hz)
        both = np.column_stack((strength, strength.sum(axis=1)))
        length = 1 << int(2 * size - 1).bit_length()
        transform = np.fft.rfft(both, length, axis=0)
        auto = np.fft.irfft(transform.real**2 + transform.imag**2, axis=0)[: min(size, self.lags)]
        self.autocorrelation[:, : len(auto)] += auto.T
        self.products[: len(auto)] += size - np.arange(len(auto))


def onset_strength(energies: Array, grouping: Array, frame_rate_hz: float) -> Array:
    floor = 1e-3 * energies.mean(axis=0) + 1e-12
    level = np.log(energies + floor)
    rise = np.zeros_like(level)
    np.maximum(level[2:] - level[:-2], 0, out=rise[2:])
    groups = rise @ grouping
    span = round(0.5 * frame_rate_hz) * 2 + 1
    return groups - moving_mean(groups, span)


def moving_mean(values: Array, span: int) -> Array:
    total = np.cumsum(np.pad(values, ((span // 2 + 1, span // 2), (0, 0))), axis=0, dtype=np.float64)
    count = np.convolve(np.ones(len(values)), np.ones(span), "same")[: len(values)]
    return ((total[span:] - total[:-span]) / count[:, None]).astype(np.float32)


def count_onsets(strength: Array, frame_rate_hz: float) -> int:
    reach = max(1, round(0.03 * frame_rate_hz))
    padded = np.pad(strength, reach, constant_values=-np.inf)
    highest = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1)
    return int(np.count_nonzero((strength == highest) & (strength > 1.5 * strength.std())))


def _band_matrix(rate_hz: float) -> Array:
    frequency = np.fft.rfftfreq(FRAME, 1 / rate_hz)
    edges = np.asarray(EDGES_HZ)
    return ((frequency[:, None] >= edges[:-1]) & (frequency[:, None] < edges[1:])).astype(np.float32)


def _grouping() -> Array:
    low = np.asarray(EDGES_HZ[:-1])
    edges = np.asarray(GROUP_EDGES_HZ)
    inside = (low[:, None] >= edges[:-1]) & (low[:, None] < edges[1:])
    grouping = np.zeros((len(low) + 1, GROUPS), np.float32)
    grouping[:-1, :-1] = inside / inside.sum(axis=0)
    grouping[-1, -1] = 1
    return grouping
