"""Which pitches sound, gathered as a histogram over the octave in steps of 10 cents."""

import numpy as np
from numpy.typing import NDArray

from analysis.measures.base import Block, Stream
from analysis.measures.frames import Array, Decimator, Frames, hann, powers

Histogram = NDArray[np.float64]

FRAME, HOP = 4096, 2048  # 743 and 372 ms at 5.5 kHz: bins of 1.35 Hz part semitones down to 55 Hz
BATCH = 16 * HOP  # samples: numpy's overhead is shared by 16 frames
LOWEST_HZ, HIGHEST_HZ = 55.0, 2100.0
BASS_HZ, BASS_WEIGHT = 220.0, 0.25  # the bass has one note where the chord has three, and drums in it
STEPS = 120
C0_HZ = 440.0 * 2 ** (-57 / 12)
OPENING_FRAMES = 4
SILENT_FRAME = 1e-3  # power of its strongest bin; -90 dBFS for a sine

# A peak is a pitch if it stands 8 dB above the mean of its 54 Hz and is no more than 50 dB below the frame's strongest.
NEIGHBOURS, ABOVE_NEIGHBOURS, BELOW_STRONGEST = 20, 6.0, 1e-5
TONAL_FRAME = 0.05  # least part of the power that is in peaks: in white noise it is 0.02
COMPRESSION = 0.35  # power to the 0.35th: a soft third counts beside a loud bass


class Pitches:
    """`histogram` and `opening`, its part from the first 1.5 s that have pitch: shape (STEPS,).

    Complete after `flush`. Step 0 is C where A is 440 Hz. Every frame counts by its peaks relative to the strongest,
    so that the level does not matter. Peaks are placed by a parabola in the log spectrum (Smith and Serra 1987).
    """

    def __init__(self, stream: Stream) -> None:
        self._decimator = Decimator.of(stream)
        self._frames = Frames(FRAME, HOP)
        self._window = hann(FRAME)
        self._hz_per_bin = self._decimator.rate_hz / FRAME
        self._lowest, self._highest = round(LOWEST_HZ / self._hz_per_bin), round(HIGHEST_HZ / self._hz_per_bin)
        self._waiting: list[Array] = []
        self._opening_left = OPENING_FRAMES
        self.histogram = np.zeros(STEPS)
        self.opening = np.zeros(STEPS)

    def feed(self, block: Block) -> None:
        self._waiting.append(self._decimator.feed(block))
        if sum(map(len, self._waiting)) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Counts what is held back until a batch is full."""
        frames = self._frames.feed(np.concatenate([*self._waiting, np.zeros(0, np.float32)]))
        self._waiting.clear()
        if len(frames) == 0:
            return
        power = powers(frames, self._window)[:, self._lowest - 1 : self._highest + 2]
        while self._opening_left and len(power):
            first, power = self._gather(power[:1]), power[1:]
            self._opening_left -= bool(first.any())
            self.opening += first
            self.histogram += first
        self.histogram += self._gather(power)

    def _gather(self, power: Array) -> Histogram:
        inner = power[:, 1:-1]
        strongest = inner.max(axis=1, keepdims=True, initial=0)
        is_peak = (inner > power[:, :-2]) & (inner >= power[:, 2:]) & (strongest > SILENT_FRAME)
        is_peak &= (inner > ABOVE_NEIGHBOURS * _local_mean(inner)) & (inner > BELOW_STRONGEST * strongest)
        in_peaks = np.einsum("ij,ij->i", inner, is_peak.astype(np.float32))
        is_peak &= (in_peaks > TONAL_FRAME * inner.sum(axis=1))[:, None]
        frame, at = np.nonzero(is_peak)
        left, middle, right = (np.log(power[frame, at + i] + np.float32(1e-30)) for i in range(3))
        hz = (self._lowest + at + 0.5 * (left - right) / (left - 2 * middle + right)) * self._hz_per_bin
        weight = (inner[frame, at] / strongest[frame, 0]) ** COMPRESSION * np.where(hz < BASS_HZ, BASS_WEIGHT, 1.0)
        step = STEPS * np.log2(hz / C0_HZ)
        below = np.floor(step)
        part = step - below
        lower = below.astype(np.int64) % STEPS
        counted = np.bincount(lower, weight * (1 - part), STEPS)
        return np.asarray(counted + np.bincount((lower + 1) % STEPS, weight * part, STEPS), np.float64)


def tuning_cents(histogram: Histogram) -> tuple[float, float]:
    """How far the pitches lie from A = 440 Hz, -50 to 50 cents, and how well they agree in it, 0 to 1.

    The angle and the length of the mean pitch within the semitone, as a vector.
    """
    total = histogram.sum()
    if total == 0:
        return 0.0, 0.0
    mean = np.sum(histogram * np.exp(2j * np.pi * np.arange(STEPS) / (STEPS // 12))) / total
    return float(np.angle(mean) / (2 * np.pi) * 100), float(np.abs(mean))


def chroma(histogram: Histogram, cents: float) -> NDArray[np.float64]:
    """Twelve pitch classes, C first, summing to 1 (0 if empty): a raised cosine a semitone wide about each note."""
    distance = (np.arange(STEPS) / (STEPS // 12) - cents / 100 - np.arange(12)[:, None] + 6) % 12 - 6
    weight = np.where(np.abs(distance) < 0.5, 0.5 + 0.5 * np.cos(2 * np.pi * distance), 0.0)
    notes = weight @ histogram
    return np.asarray(notes / max(notes.sum(), 1e-30))


def _local_mean(power: Array) -> Array:
    """The mean over the `NEIGHBOURS` bins on either side, mirrored at the ends, along the last axis."""
    total = np.cumsum(np.pad(power, ((0, 0), (NEIGHBOURS + 1, NEIGHBOURS)), mode="reflect"), axis=1, dtype=np.float64)
    span = 2 * NEIGHBOURS + 1
    return ((total[:, span:] - total[:, :-span]) / span).astype(np.float32)
