"""A track for the demo: drums, bass and chords with a known tempo and key, made on the spot."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 44_100
TEMPO_BPM = 124.0
KEY = "A minor"
CHORDS = ((57, 60, 64), (53, 57, 60), (50, 53, 57), (52, 56, 59))  # Am, F, Dm, E as MIDI notes
BARS = 32

Signal = NDArray[np.float32]


def make(path: Path) -> None:
    """Writes the track as a 16-bit stereo WAV of about a minute."""
    import soundfile

    soundfile.write(path, _mix(), RATE_HZ, subtype="PCM_16")


def _mix() -> Signal:
    beat = 60 / TEMPO_BPM
    length = round(BARS * 4 * beat * RATE_HZ)
    noise = np.random.default_rng(7)
    centre, left, right = np.zeros(length), np.zeros(length), np.zeros(length)
    kick, clap = _kick(), _burst(noise, 0.18, 0.30)
    for step in range(BARS * 16):
        at, bar = step * beat / 4, step // 16
        if step % 4 == 0:
            _add(centre, kick, at)
        if step % 8 == 4:
            _add(centre, clap, at)
        if step % 4 == 2:
            _add(centre, _note(CHORDS[bar % 4][0] - 24, beat / 2, 0.42, brightness=6), at)
        hat = _burst(noise, 0.05, 0.12 if step % 4 == 2 else 0.06)
        _add(left if step % 2 else right, hat, at)
        _add(right if step % 2 else left, hat * 0.6, at)
        if bar % 8 >= 2:  # the melody rests for two bars of eight
            pluck = _note(CHORDS[bar % 4][step % 3] + 12, beat / 4, 0.17, brightness=24)
            _add(left if step % 3 else right, pluck, at)
            _add(right if step % 3 else left, pluck * 0.4, at)
    for bar in range(BARS):
        for position, midi in enumerate(CHORDS[bar % 4]):
            voice = _note(midi, 4 * beat, 0.07, brightness=16)
            _add(left, voice * (1.3 - 0.3 * position), bar * 4 * beat)
            _add(right, voice * (0.7 + 0.3 * position), bar * 4 * beat)
    mix = np.stack([centre + left, centre + right], axis=1)
    mix -= mix.mean(axis=0)
    return np.asarray(np.tanh(mix * 1.25) * 0.74, dtype=np.float32)


def _add(track: NDArray[np.float64], sound: NDArray[np.float64], at_s: float) -> None:
    start = round(at_s * RATE_HZ)
    end = min(start + len(sound), len(track))
    track[start:end] += sound[: end - start]


def _kick() -> NDArray[np.float64]:
    t = np.arange(round(0.28 * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * (50 * t + 90 * 0.035 * (1 - np.exp(-t / 0.035)))
    return np.asarray(0.85 * np.sin(phase) * np.exp(-t / 0.09))


def _burst(noise: np.random.Generator, length_s: float, level: float) -> NDArray[np.float64]:
    t = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
    bright = np.diff(noise.standard_normal(len(t) + 1))
    return np.asarray(level * bright * np.exp(-t / (length_s / 4)))


@cache
def _note(midi: int, length_s: float, level: float, *, brightness: int) -> NDArray[np.float64]:
    t = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
    frequency = 440 * 2 ** ((midi - 69) / 12)
    tone = sum(np.sin(2 * np.pi * frequency * k * t) / k for k in range(1, brightness + 1))
    fade = np.minimum(1, np.minimum(t / 0.005, (length_s - t) / 0.02))
    return np.asarray(level * tone * np.clip(fade, 0, 1))
