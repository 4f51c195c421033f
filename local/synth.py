"""A track for the demo: drums, bass and chords with a known tempo and key, made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 44_100
TEMPO_BPM = 124.0
KEY = "A minor"
CHORDS = ((57, 60, 64), (53, 57, 60), (48, 52, 55), (55, 59, 62))  # Am, F, C, G as MIDI notes
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
    drums, low, wide = np.zeros(length), np.zeros(length), np.zeros((length, 2))
    kick, hat, clap = _kick(), _burst(noise, 0.04, 0.10), _burst(noise, 0.16, 0.22)
    for step in range(BARS * 8):
        at = step * beat / 2
        if step % 2 == 0:
            _add(drums, kick, at)
        else:
            _add(drums, hat, at)
        if step % 4 == 2:
            _add(drums, clap, at)
        _add(low, _note(CHORDS[step // 8 % 4][0] - 24, beat / 2 * 0.9, 0.30, brightness=3), at)
    for bar in range(BARS):
        for position, midi in enumerate(CHORDS[bar % 4]):
            pan = 0.5 + 0.3 * (position - 1)
            voice = _note(midi, 4 * beat, 0.09, brightness=5)
            _add(wide[:, 0], voice * (1 - pan), bar * 4 * beat)
            _add(wide[:, 1], voice * pan, bar * 4 * beat)
    mix = (drums + low)[:, None] * np.ones(2) + wide * 2
    return np.asarray(np.tanh(mix * 1.1) * 0.94, dtype=np.float32)


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


def _note(midi: int, length_s: float, level: float, *, brightness: int) -> NDArray[np.float64]:
    t = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
    frequency = 440 * 2 ** ((midi - 69) / 12)
    tone = sum(np.sin(2 * np.pi * frequency * k * t) / k for k in range(1, brightness + 1))
    fade = np.minimum(1, np.minimum(t / 0.005, (length_s - t) / 0.02))
    return np.asarray(level * tone * np.clip(fade, 0, 1))
