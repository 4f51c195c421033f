"""Which pitches sound, gathered as a histogram over the octave in steps of 10 cents."""

import numpy as np
from numpy.typing import NDArray

from analysis.measures.base import Block, Stream
from analysis.measures.frames import Array, Decimator, Frames, hann

FRAME, HOP = 8192, 4096
LOWEST_HZ, HIGHEST_HZ = 55.0, 2100.0
BASS_HZ = 220.0
STEPS = 120
REFERENCE_HZ = 440.0 * 2 ** (-69 / 12)  # MIDI note 0, a C
SILENCE = 1e-9


class Pitches:
    """`histogram`: shape (2, STEPS), bass and the rest; step 0 is C at A = 440 Hz."""

    def __init__(self, stream: Stream) -> None:
        self._decimator = Decimator(stream)
        self._frames = Frames(FRAME, HOP)
        self._window = hann(FRAME)
        hz_per_bin = self._decimator.rate_hz / FRAME
        self._lowest = int(LOWEST_HZ / hz_per_bin)
        self._highest = int(HIGHEST_HZ / hz_per_bin)
        self._hz_per_bin = hz_per_bin
        self.histogram = np.zeros((2, STEPS))
        self.frames_heard = 0
        self.frames_tonal = 0

    def feed(self, block: Block) -> None:
        frames = self._frames.feed(self._decimator.feed(block))
        if len(frames) == 0:
            return
        self.frames_heard += len(frames)
        spectrum = np.fft.rfft(frames * self._window)[:, self._lowest - 1 : self._highest + 2]
        self._gather(spectrum.real**2 + spectrum.imag**2)

    def _gather(self, power: Array) -> None:
        floor = _local_mean(power)
        inner = power[:, 1:-1]
        loudest = inner.max(axis=1, keepdims=True)
        peak = (inner > power[:, :-2]) & (inner >= power[:, 2:]) & (inner > 4 * floor) & (inner > 1e-5 * loudest) & (loudest > 1e-3)
        frame, at = np.nonzero(peak)
        left, mid, right = np.log(power[frame, at] + 1e-30), np.log(power[frame, at + 1]), np.log(power[frame, at + 2] + 1e-30)
        shift = 0.5 * (left - right) / (left - 2 * mid + right)
        hz = (at + self._lowest + shift) * self._hz_per_bin
        step = STEPS * np.log2(hz / REFERENCE_HZ)
        weight = (power[frame, at + 1] / loudest[frame, 0]) ** 0.25
        low = np.floor(step).astype(int)
        part = step - low
        register = (hz > BASS_HZ).astype(int) * STEPS
        flat = self.histogram.reshape(-1)
        flat += np.bincount(register + low % STEPS, weight * (1 - part), 2 * STEPS)
        flat += np.bincount(register + (low + 1) % STEPS, weight * part, 2 * STEPS)


def _local_mean(power: Array, reach: int = 20) -> Array:
    total = np.cumsum(np.pad(power, ((0, 0), (reach, reach)), mode="reflect"), axis=1, dtype=np.float64)
    mean = (total[:, 2 * reach :] - total[:, : -2 * reach]) / (2 * reach)
    return mean[:, : power.shape[1] - 2].astype(np.float32)


def tuning_cents(histogram: NDArray[np.float64]) -> float:
    """The mean offset from A = 440 Hz, -50 to 50 cents: the angle of the histogram's first harmonic a semitone."""
    angle = np.angle(np.sum(histogram * np.exp(2j * np.pi * np.arange(STEPS) / 10)))
    return float(angle / (2 * np.pi) * 100)


def chroma(histogram: NDArray[np.float64], cents: float) -> NDArray[np.float64]:
    """Twelve pitch classes, C first, from steps weighted by a raised cosine a semitone wide around each note."""
    offset = (np.arange(STEPS)[None, :] / 10 - cents / 100 - np.arange(12)[:, None] + 6) % 12 - 6
    weight = np.where(np.abs(offset) < 0.5, 0.5 + 0.5 * np.cos(2 * np.pi * offset), 0)
    return np.asarray(weight @ histogram)
