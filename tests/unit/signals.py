"""Test signals from their definitions, and what the engine's measures say of them without a file in between.

All are (frames, channels), single precision, full scale ±1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from analysis.measures.base import Block, Measure, Stream, block_frames

Audio = NDArray[np.float32]

WAVE_5_0 = (1.0, 1.0, 1.0, 1.41, 1.41)
WAVE_5_1 = (1.0, 1.0, 1.0, 0.0, 1.41, 1.41)


def amplitude(level_db: float) -> float:
    return float(10 ** (level_db / 20))


def steps(sections: Sequence[tuple[float, float]], rate: int = 48_000, hz: float = 1000.0, channels: int = 2) -> Audio:
    """A sine, continuous in phase, of (seconds, peak level in dBFS) each; -inf is silence. The same in all channels."""
    ends = [round(sum(seconds for seconds, _ in sections[: i + 1]) * rate) for i in range(len(sections))]
    second = np.sin(2 * np.pi * hz / rate * np.arange(rate)).astype(np.float32)  # a whole number of periods
    assert hz == int(hz)
    sine = np.resize(second, ends[-1])
    for start, end, (_, level) in zip([0, *ends], ends, sections, strict=False):
        sine[start:end] *= amplitude(level)
    return spread(sine, channels)


def tone(level_db: float, seconds: float, rate: int = 48_000, hz: float = 1000.0, channels: int = 2) -> Audio:
    return steps([(seconds, level_db)], rate, hz, channels)


def spread(mono: NDArray[Any], channels: int) -> Audio:
    audio = np.empty((mono.size, channels), np.float32)
    audio[:] = mono[:, None]
    return audio


def only(channel: int, channels: int, mono: NDArray[Any]) -> Audio:
    audio = np.zeros((mono.shape[0], channels), np.float32)
    audio[:, channel] = mono.reshape(mono.shape[0], -1)[:, 0]
    return audio


def faded_sine(rate: int, divisor: int, phase_deg: float, level: float, seconds: float = 1.0) -> Audio:
    """Tech 3341 cases 15 to 19: a sine of rate/divisor with linear fades of 0.1 s."""
    n = np.arange(round(seconds * rate))
    fade = np.minimum(1.0, np.minimum(n, n[::-1]) / (0.1 * rate))
    return spread(fade * level * np.sin(2 * np.pi * n / divisor + math.radians(phase_deg)), 2)


def burst_between_samples(rate: int, offset: int) -> Audio:
    """Tech 3341 cases 20 to 23: made at four times the rate, an fs/6 sine of 0.5 with one fs/4 period of 1.0 in its
    middle, low-passed, and every fourth sample taken from `offset` on."""
    n = np.arange(4 * 6 * (rate // 12))
    sine = 0.5 * np.sin(2 * np.pi * n / 24)
    middle = n.size // 2 // 24 * 24
    sine[middle : middle + 16] = np.sin(2 * np.pi * np.arange(16) / 16)
    fade = np.minimum(1.0, np.minimum(n, n[::-1]) / (0.4 * rate))
    taps = np.arange(-256, 257)
    low_pass = np.sinc(taps / 4) / 4 * np.kaiser(taps.size, 8.0)
    return spread(np.convolve(sine * fade, low_pass, "same")[offset::4], 2)


def noise(seconds: float, rate: int = 44_100, channels: int = 2, seed: int = 1) -> Audio:
    """Independent white noise, -20 dBFS RMS."""
    samples = np.random.default_rng(seed).standard_normal((round(seconds * rate), channels))
    return np.asarray(samples * 0.1, np.float32)


def pink(seconds: float, rate: int = 44_100, channels: int = 2, seed: int = 1) -> Audio:
    """Noise whose power falls by 3 dB per octave, -20 dBFS RMS."""
    frames = round(seconds * rate)
    bins = np.fft.rfft(np.random.default_rng(seed).standard_normal((frames, channels)), axis=0)
    shaped = np.fft.irfft(bins / np.sqrt(np.maximum(1, np.arange(len(bins))))[:, None], frames, axis=0)
    return np.asarray(shaped * 0.1 / shaped.std(), np.float32)


def song(seconds: float, rate: int = 44_100, channels: int = 2, seed: int = 1) -> Audio:
    """Something with the statistics of music: pink noise in sections of different levels, hits, a bass, a limiter."""
    return _song(seconds, rate, channels, seed).copy()


@lru_cache(16)
def _song(seconds: float, rate: int, channels: int, seed: int) -> Audio:
    rng = np.random.default_rng(seed)
    audio = pink(seconds, rate, channels, seed).astype(np.float64)
    time_s = np.arange(len(audio)) / rate
    audio *= 10 ** (rng.uniform(-25, 0, int(seconds) // 4 + 1)[(time_s // 4).astype(int)] / 20)[:, None]
    audio *= (0.3 + np.exp(-12 * (time_s % 0.5)))[:, None]
    audio += (0.2 * np.sin(2 * np.pi * 55 * time_s))[:, None]
    return np.asarray(np.tanh(2.5 * audio), np.float32)


def stream_of(audio: Audio, rate: int, weights: Sequence[float] | None = None) -> Stream:
    return Stream(rate, audio.shape[1], tuple(weights or (1.0,) * audio.shape[1]))


def blocks_of(audio: Audio, rate: int) -> Iterator[Block]:
    size = block_frames(rate, audio.shape[1])
    for start in range(0, len(audio), size):
        yield Block(np.ascontiguousarray(audio[start : start + size]), start)


def measured(
    kind: type[Measure], audio: Audio, rate: int = 48_000, weights: Sequence[float] | None = None
) -> dict[str, Any]:
    """The measure's result, with its notes under "notes"."""
    measure = kind(stream_of(audio, rate, weights))
    for block in blocks_of(audio, rate):
        measure.feed(block)
    result = measure.result()
    return {**result, "notes": getattr(measure, "notes", dict)()}


def written(path: Path, audio: Audio, rate: int = 44_100, *, subtype: str | None = None, **options: Any) -> Path:
    """The file, in the format of its name."""
    soundfile.write(path, audio, rate, subtype=subtype, **options)
    return path
