"""Loops and chord progressions with a known tempo and a known key, made from nothing but numpy.

The drums are the usual synthesis (a falling sine for the kick, noise and a tone for the snare, high-passed noise for
the hats); the patterns are the textbook ones of each style. Tempo and key are true by construction, which recorded
music never offers.
"""

from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from analysis.measures.base import Block, Measure, Stream

M = TypeVar("M", bound=Measure)
Audio = NDArray[np.float32]

# One bar each: beats in the bar, then hits as (beat, drum, gain).
Hit = tuple[float, str, float]
Pattern = tuple[int, list[Hit]]
PATTERNS: dict[str, Pattern] = {
    "click": (1, [(0, "click", 1.0)]),
    "rock": (
        4,
        [(0, "kick", 1.0), (2, "kick", 1.0), (1, "snare", 0.9), (3, "snare", 0.9)]
        + [(i / 2, "hat", 0.35 if i % 2 else 0.5) for i in range(8)],
    ),
    "four-on-the-floor": (
        4,
        [(i, "kick", 1.0) for i in range(4)]
        + [(i + 0.5, "hat", 0.5) for i in range(4)]
        + [(1, "snare", 0.5), (3, "snare", 0.5)],
    ),
    "swing": (
        4,
        [(i, "ride", 0.6) for i in range(4)]
        + [(1 + 2 / 3, "ride", 0.4), (3 + 2 / 3, "ride", 0.4)]
        + [(1, "hat", 0.5), (3, "hat", 0.5)]
        + [(i, "bass", 0.5) for i in range(4)]
        + [(0, "kick", 0.4)],
    ),
    "half-time": (
        4,
        [(0, "kick", 1.0), (1.5, "kick", 0.7), (2, "snare", 1.0)]
        + [(i / 2, "hat", 0.3 if i % 2 else 0.5) for i in range(8)],
    ),
    "3/4": (
        3,
        [(0, "kick", 1.0), (1, "snare", 0.5), (2, "snare", 0.5), (0, "bass", 0.5)]
        + [(i / 2, "hat", 0.2 if i % 2 else 0.4) for i in range(6)],
    ),
}

TEMPI = (
    60, 66.67, 72.5, 77.3, 84, 90.5, 95.24, 100, 104.6, 110, 115.3, 120,
    123.45, 128, 133.7, 140, 146.2, 150, 157.9, 165, 174, 187.5, 200,
)  # fmt: skip

# Chords as (semitones of the root above the tonic, intervals above the root).
MAJ, MIN, DIM, DOM7 = (0, 4, 7), (0, 3, 7), (0, 3, 6), (0, 4, 7, 10)
Chord = tuple[int, tuple[int, ...]]
PROGRESSIONS: dict[str, list[tuple[str, list[Chord]]]] = {
    "major": [
        ("I-V-vi-IV", [(0, MAJ), (7, MAJ), (9, MIN), (5, MAJ)]),
        ("I-IV-V-I", [(0, MAJ), (5, MAJ), (7, MAJ), (0, MAJ)]),
        ("ii-V7-I-I", [(2, MIN), (7, DOM7), (0, MAJ), (0, MAJ)]),
        ("I-vi-IV-V", [(0, MAJ), (9, MIN), (5, MAJ), (7, MAJ)]),
        ("I-iii-IV-V", [(0, MAJ), (4, MIN), (5, MAJ), (7, MAJ)]),
        ("I-bVII-IV-I", [(0, MAJ), (10, MAJ), (5, MAJ), (0, MAJ)]),
        ("IV-V-I-vi", [(5, MAJ), (7, MAJ), (0, MAJ), (9, MIN)]),
    ],
    "minor": [
        ("i-VI-III-VII", [(0, MIN), (8, MAJ), (3, MAJ), (10, MAJ)]),
        ("i-iv-V-i", [(0, MIN), (5, MIN), (7, MAJ), (0, MIN)]),
        ("i-VII-VI-V", [(0, MIN), (10, MAJ), (8, MAJ), (7, MAJ)]),
        ("i-iv-v-i", [(0, MIN), (5, MIN), (7, MIN), (0, MIN)]),
        ("i-VII-i-v", [(0, MIN), (10, MAJ), (0, MIN), (7, MIN)]),
        ("i-iv-VII-III", [(0, MIN), (5, MIN), (10, MAJ), (3, MAJ)]),
        ("VI-VII-i-i", [(8, MAJ), (10, MAJ), (0, MIN), (0, MIN)]),
    ],
}


def _decaying(seconds: float, rate: int, decay_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    t = np.arange(int(seconds * rate)) / rate
    return t, np.exp(-t / decay_s)


def _drum(name: str, rate: int, rng: np.random.Generator) -> NDArray[np.float64]:
    if name == "kick":
        t, envelope = _decaying(0.3, rate, 0.08)
        return np.sin(2 * np.pi * (50 * t + 4.0 * (1 - np.exp(-t / 0.03)))) * envelope
    if name == "snare":
        t, envelope = _decaying(0.25, rate, 0.06)
        return (0.6 * rng.standard_normal(t.size) * 0.5 + 0.5 * np.sin(2 * np.pi * 190 * t)) * envelope
    if name == "hat":
        t, envelope = _decaying(0.08, rate, 0.02)
        return np.diff(rng.standard_normal(t.size), n=2, prepend=[0, 0]) * envelope * 0.2
    if name == "ride":
        t, envelope = _decaying(0.4, rate, 0.12)
        return (np.diff(rng.standard_normal(t.size), prepend=0) * 0.3 + 0.2 * np.sin(2 * np.pi * 3100 * t)) * envelope
    if name == "bass":
        t, envelope = _decaying(0.35, rate, 0.2)
        return (np.sin(2 * np.pi * 82.4 * t) + 0.4 * np.sin(2 * np.pi * 164.8 * t)) * envelope
    t, envelope = _decaying(0.03, rate, 0.005)
    return np.sin(2 * np.pi * 1500 * t) * envelope


def drum_loop(
    style: str | Pattern, bpm: float, *, rate: int = 44100, seconds: float = 20.0, noise: float = 0.0, seed: int = 0
) -> Audio:
    """A mono loop at exactly `bpm`, each hit on its nearest sample, peak 0.5; `style` is a pattern or its name."""
    rng = np.random.default_rng(seed)
    beats_per_bar, hits = PATTERNS[style] if isinstance(style, str) else style
    out = np.zeros(int(seconds * rate) + rate)
    drums = {name: _drum(name, rate, rng) for name in sorted({name for _, name, _ in hits})}
    bar_s = beats_per_bar * 60 / bpm
    for bar in range(int(seconds / bar_s) + 1):
        for beat, name, gain in hits:
            start = round((bar * bar_s + beat * 60 / bpm) * rate)
            if start < seconds * rate:
                drum = drums[name]
                out[start : start + drum.size] += gain * drum
    out = out[: int(seconds * rate)]
    out *= 0.5 / np.max(np.abs(out))
    out += noise * rng.standard_normal(out.size)
    return out.astype(np.float32)


@dataclass(frozen=True)
class Harmony:
    """How a progression is played: detuning of everything in cents, inverted chords, drums, level of white noise."""

    cents: float = 0.0
    inverted: bool = False
    drums: bool = False
    noise: float = 0.0


def _tone(midi: float, seconds: float, rate: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Six partials, each 0.6 of the one below, of random phases; faded in, dying away, faded out."""
    turn = _turning(440 * 2 ** ((midi - 69) / 12) / rate, int(seconds * rate))
    weights = [0.6**k * np.exp(1j * rng.uniform(0, 2 * np.pi)) for k in range(6)]
    partials = np.zeros(turn.size, np.complex128)
    for weight in reversed(weights):
        partials += weight
        partials *= turn
    return partials.imag * _envelope(seconds, rate)


def _turning(per_sample: float, size: int) -> NDArray[np.complex128]:
    """exp(2 pi i n per_sample), from two short ones: the sines of a whole track are most of a test's time."""
    short = 256
    coarse, fine = (
        np.exp(2j * np.pi * per_sample * n) for n in (short * np.arange(size // short + 1), np.arange(short))
    )
    return np.outer(coarse, fine).reshape(-1)[:size]


@cache
def _envelope(seconds: float, rate: int) -> NDArray[np.float64]:
    t = np.arange(int(seconds * rate)) / rate
    return np.asarray(np.minimum(1, t / 0.02) * np.minimum(1, (seconds - t) / 0.05) * np.exp(-t / 1.5))


def chord_progression(
    tonic: int,
    mode: str,
    which: int = 0,
    how: Harmony | None = None,
    *,
    rate: int = 44100,
    seconds: float = 24.0,
    seed: int = 0,
) -> Audio:
    """A mono progression: a chord of 1.5 s each over a bass note, repeated; tonic is a pitch class (0 is C)."""
    how = how or Harmony()
    rng = np.random.default_rng(seed)
    _, chords = PROGRESSIONS[mode][which]
    out = np.zeros(int(seconds * rate))
    size = int(1.5 * rate)
    for i, start in enumerate(range(0, out.size - size + 1, size)):
        root, intervals = chords[i % len(chords)]
        notes = [48 + (tonic + root + interval) % 12 + 12 for interval in intervals]
        bass = 36 + (tonic + root + (intervals[1] if how.inverted and i % 2 else 0)) % 12
        for midi, gain in [(bass, 1.2), *((n + (12 if how.inverted and n % 3 == 0 else 0), 0.7) for n in notes)]:
            out[start : start + size] += gain * _tone(midi + how.cents / 100, 1.5, rate, rng)[:size]
    out *= 0.4 / np.max(np.abs(out))
    if how.drums:
        out += drum_loop("rock", 100.0, rate=rate, seconds=seconds, seed=seed)[: out.size]
    out += how.noise * rng.standard_normal(out.size)
    return out.astype(np.float32)


def fed(kind: type[M], samples: Audio, rate_hz: int = 44100, block: int = 60000) -> M:
    """The measure after the samples, (frames,) or (frames, channels), in blocks of `block` frames."""
    frames = np.ascontiguousarray(samples[:, None] if samples.ndim == 1 else samples)
    measure = kind(Stream(rate_hz, frames.shape[1], (1.0,) * frames.shape[1]))
    for start in range(0, len(frames), block):
        measure.feed(Block(frames[start : start + block], start))
    return measure
