"""Onset strength, and its autocorrelation, gathered while the track streams by."""

import numpy as np
from numpy.typing import NDArray

from analysis.measures.base import Block, Stream
from analysis.measures.frames import Array, Decimator, Frames, hann, powers

FRAME, HOP = 256, 64  # 46 and 12 ms at 5.5 kHz
SEGMENT_S, LONGEST_LAG_S = 30.0, 12.0
MEAN_S = 1.0

# Bands of a third of an octave and more. Rises are averaged within a group, then summed over groups, so that a kick
# of three bands counts as much as a snare of five. The last group is the air, all that the decimation loses, and
# counts for more: the hats have nothing else.
EDGES_HZ = (30, 75, 110, 160, 230, 330, 450, 600, 800, 1050, 1350, 1750, 2250)
GROUP_EDGES_HZ = (30, 160, 450, 1050, 2250)
AIR_WEIGHT = 1.5

# Energy is compressed as log(energy + floor). A floor near the band's own mean keeps loud hits louder than soft ones,
# which is what tells a bar from a beat; relative to the mean, it also makes the strength independent of the gain.
# Bands 60 dB below all of them together hold leakage and rounding, and stay silent.
FLOOR, WHOLE_FLOOR = 0.3, 1e-6
RISE_FRAMES = 2  # over 23 ms, half the window: one frame shows only part of an attack
ONSET_REACH_S = 0.035
WEAKEST_ONSET = 1.2  # in nepers summed over the five groups: three standard deviations of white noise


class Onsets:
    """Accumulates the autocorrelation of the onset strength: memory does not grow with the track.

    After `finish`: `autocorrelation` (lags,) is the sum of products of frames `lag` apart, `pairs` (lags,) their
    number, `onsets` the number of onsets and `frames_heard` the number of frames, `frame_rate_hz` apart.
    """

    def __init__(self, stream: Stream) -> None:
        self._decimator = Decimator.of(stream)
        self._frames = Frames(FRAME, HOP)
        self._window = hann(FRAME)
        self._bands = _band_matrix(self._decimator.rate_hz)
        self._air_hop = HOP * self._decimator.factor
        self._air_lag = max(1, round(stream.sample_rate_hz / 44100))
        self._air_rest = np.zeros(0, np.float32)
        self.frame_rate_hz = self._decimator.rate_hz / HOP
        self._segment_frames = round(SEGMENT_S * self.frame_rate_hz)
        self._energies: list[Array] = []
        self._airs: list[Array] = []
        self._waiting = 0
        lags = round(LONGEST_LAG_S * self.frame_rate_hz)
        self.autocorrelation = np.zeros(lags)
        self.pairs = np.zeros(lags)
        self.onsets = 0
        self.frames_heard = 0

    def feed(self, block: Block) -> None:
        frames = self._frames.feed(self._decimator.feed(block))
        self._energies.append(powers(frames, self._window) @ self._bands)
        self._airs.append(self._air(block.mono))
        self._waiting += len(frames)
        while self._waiting >= self._segment_frames:
            self._close_segment(self._segment_frames)

    def finish(self) -> None:
        if self._waiting:
            self._close_segment(self._waiting)

    def _air(self, mono: Array) -> Array:
        """The energy of the differenced full-rate signal in each hop."""
        held = np.concatenate((self._air_rest, mono))
        hops = max(0, (held.size - self._air_lag) // self._air_hop)
        size = hops * self._air_hop
        self._air_rest = held[size:]
        high = (held[self._air_lag : self._air_lag + size] - held[:size]).reshape(hops, self._air_hop)
        return np.asarray(np.einsum("ij,ij->i", high, high))

    def _close_segment(self, size: int) -> None:
        energies, air = np.concatenate(self._energies), np.concatenate(self._airs)
        # A frame is centred on the border before its third hop.
        strength = onset_strength(np.column_stack((energies[:size], air[2 : size + 2])), self.frame_rate_hz)
        self._energies, self._airs = [energies[size:]], [air[size:]]
        self._waiting -= size
        self.frames_heard += size
        self.onsets += count_onsets(strength, self.frame_rate_hz)
        lags = min(size, self.pairs.size)
        self.autocorrelation[:lags] += _autocorrelation(strength)[:lags]
        self.pairs[:lags] += size - np.arange(lags)


def onset_strength(energies: Array, frame_rate_hz: float) -> NDArray[np.float64]:
    """How much louder each frame is than the one before last, less the mean around it.

    energies: shape (frames, bands), the air last. Returns shape (frames,), in nepers summed over the groups. Spectral
    flux in compressed bands, after Ellis 2007, Beat Tracking by Dynamic Programming.
    """
    mean = energies.mean(axis=0)
    level = np.log(energies + (FLOOR * mean + np.float32(WHOLE_FLOOR) * mean.sum() + np.float32(1e-12)))
    rise = np.zeros(len(level))
    rise[RISE_FRAMES:] = np.maximum(level[RISE_FRAMES:] - level[:-RISE_FRAMES], 0) @ _BAND_WEIGHTS
    return rise - moving_mean(rise, round(MEAN_S / 2 * frame_rate_hz))


def moving_mean(values: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """The mean of the values at most `reach` away, of those there are."""
    total = np.concatenate(([0.0], np.cumsum(values)))
    at = np.arange(values.size)
    first, last = np.maximum(at - reach, 0), np.minimum(at + reach + 1, values.size)
    return np.asarray((total[last] - total[first]) / (last - first))


def count_onsets(strength: NDArray[np.float64], frame_rate_hz: float) -> int:
    """How many frames stand above the threshold and above all frames within 35 ms."""
    reach = max(1, round(ONSET_REACH_S * frame_rate_hz))
    around = np.lib.stride_tricks.sliding_window_view(np.pad(strength, reach), 2 * reach + 1)
    return int(np.count_nonzero((strength >= around.max(axis=1)) & (strength > WEAKEST_ONSET)))


def _autocorrelation(values: NDArray[np.float64]) -> NDArray[np.float64]:
    length = 1 << (2 * values.size - 1).bit_length()
    transform = np.fft.rfft(values, length)
    return np.asarray(np.fft.irfft(transform.real**2 + transform.imag**2)[: values.size])


def _band_matrix(rate_hz: float) -> Array:
    """Sums the power of a frame's bins into bands: shape (bins, bands)."""
    hz = np.fft.rfftfreq(FRAME, 1 / rate_hz)[:, None]
    edges = np.asarray(EDGES_HZ)
    return ((hz >= edges[:-1]) & (hz < edges[1:])).astype(np.float32)


def _band_weights() -> Array:
    low, edges = np.asarray(EDGES_HZ[:-1])[:, None], np.asarray(GROUP_EDGES_HZ)
    member = (low >= edges[:-1]) & (low < edges[1:])
    return np.append((member / member.sum(axis=0)).sum(axis=1), AIR_WEIGHT).astype(np.float32)


_BAND_WEIGHTS = _band_weights()
