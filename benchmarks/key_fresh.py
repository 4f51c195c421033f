"""How often the key is right on music that nobody has tuned for: pieces composed by chance, anew for each seed.

`python -m benchmarks.key_fresh SEED [--pieces N]`. Where essentia is installed, its profiles are judged, too.

The composer shares nothing with the progressions that the constants were chosen on (tests/unit/loops.py) but the drums.
Chords follow one another as functional harmony has it (the commonest moves of each degree, for major and minor), with
sevenths, suspensions and borrowed chords now and then; a melody walks the scale with passing notes outside it; bass,
arpeggio or block chords, timbre, tuning, drums and noise are drawn for every piece. The truth is the key it is in.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.tempo_key import RATE_HZ, Key, key_peers, mirex
from tests.unit.loops import PATTERNS, Audio, drum_loop

Signal = NDArray[np.float64]

SECONDS = 24.0
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
# The degrees that may follow each degree, 0 being the tonic; repeated where likelier.
MOVES: dict[str, tuple[tuple[int, ...], ...]] = {
    "major": ((3, 3, 4, 4, 5, 1, 2), (4, 4, 4, 6, 3), (5, 3), (4, 4, 0, 1), (0, 0, 0, 5, 3), (1, 3, 3, 4), (0, 0, 2)),
    "minor": ((3, 3, 4, 5, 5, 6), (4, 4, 6), (5, 6, 3), (4, 4, 0, 6), (0, 0, 0, 5), (2, 3, 6, 6, 4), (0, 0, 2, 5)),
}
RAISED_LEADING_NOTE, SEVENTH, SUSPENDED, BORROWED, OUTSIDE = 0.6, 0.25, 0.1, 0.06, 0.06
BEGINS_ON_TONIC = 0.75


@dataclass(frozen=True)
class Timbre:
    """`falloff`: each partial's amplitude over the one before."""

    falloff: float
    odd_only: bool
    attack_s: float
    decay_s: float


def compose(seed: int, piece: int) -> tuple[Key, Audio]:
    rng = np.random.default_rng((seed, piece))
    tonic, mode = int(rng.integers(12)), str(rng.choice(("major", "minor")))
    bpm, beats = float(rng.uniform(70, 160)), int(rng.choice((2, 4, 4)))
    cents = float(rng.uniform(-45, 45))
    out = np.zeros(int(SECONDS * RATE_HZ))
    chord_s = beats * 60 / bpm
    chords = _chords(mode, int(rng.choice((4, 4, 8))), rng)
    lead, pad, bass = (_timbre(rng) for _ in range(3))
    arpeggiated, melodic = bool(rng.integers(2)), rng.random() < 0.7
    step = int(rng.integers(7))
    for i in range(int(SECONDS / chord_s) + 1):
        chord = [tonic + note for note in chords[i % len(chords)]]
        _add(out, 36 + (chord[0] % 12), i * chord_s, chord_s, 0.9, bass, cents)
        for j, note in enumerate(chord):
            late_s = j * chord_s / len(chord) if arpeggiated else 0.0
            _add(out, 55 + (note - 55) % 12, i * chord_s + late_s, chord_s - late_s, 0.5, pad, cents)
        for beat in range(beats if melodic else 0):
            step += int(rng.integers(-2, 3))
            octave, degree = divmod(step % 14, 7)
            note = 67 + (tonic - 67) % 12 + 12 * octave + SCALES[mode][degree] + int(rng.random() < OUTSIDE)
            _add(out, note, i * chord_s + beat * 60 / bpm, 60 / bpm, 0.5, lead, cents)
    out *= 0.4 / np.abs(out).max()
    if rng.random() < 0.6:
        style = str(rng.choice([name for name in PATTERNS if name not in {"click", "3/4"}]))
        out += rng.uniform(0.3, 1.2) * drum_loop(style, bpm, seconds=SECONDS, seed=piece)[: out.size]
    out += float(rng.choice((0, 0.003, 0.03))) * rng.standard_normal(out.size)
    return (tonic, mode), (out / np.abs(out).max()).astype(np.float32)


def _chords(mode: str, count: int, rng: np.random.Generator) -> list[list[int]]:
    """Each chord's semitones above the tonic, its root first."""
    scale = SCALES[mode]
    degree = 0 if rng.random() < BEGINS_ON_TONIC else int(rng.choice((3, 5)))
    found = []
    for _ in range(count):
        steps = [degree, degree + (3 if rng.random() < SUSPENDED else 2), degree + 4]
        steps += [degree + 6] if rng.random() < SEVENTH else []
        chord = [scale[step % 7] + 12 * (step // 7) for step in steps]
        if mode == "minor" and degree == 4 and rng.random() < RAISED_LEADING_NOTE:
            chord[1] = 11
        if rng.random() < BORROWED:
            chord[1] += 1 if mode == "minor" else -1
        found.append(chord)
        degree = int(rng.choice(MOVES[mode][degree]))
    return found


def _timbre(rng: np.random.Generator) -> Timbre:
    falloff, attack_s, decay_s = rng.uniform(0.35, 0.8), rng.uniform(0.003, 0.08), rng.uniform(0.3, 3.0)
    return Timbre(float(falloff), bool(rng.random() < 0.25), float(attack_s), float(decay_s))


def _add(out: Signal, midi: int, start_s: float, seconds: float, gain: float, timbre: Timbre, cents: float) -> None:
    start = round(start_s * RATE_HZ)
    t = np.arange(min(round(seconds * RATE_HZ), out.size - start)) / RATE_HZ
    if t.size == 0:
        return
    hz = 440 * 2 ** ((midi - 69 + cents / 100) / 12)
    partials = [k for k in range(1, 9) if not (timbre.odd_only and k % 2 == 0) and k * hz < RATE_HZ / 2.2]
    tone = sum(timbre.falloff ** (k - 1) * np.sin(2 * np.pi * k * hz * t) for k in partials)
    envelope = np.minimum(1, t / timbre.attack_s) * np.exp(-t / timbre.decay_s) * np.minimum(1, (t[-1] - t) / 0.01)
    out[start : start + t.size] += gain * tone * envelope


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--pieces", type=int, default=240)
    options = parser.parse_args()
    peers = key_peers()
    scores: dict[str, list[float]] = {name: [] for name in peers}
    for piece in range(options.pieces):
        truth, samples = compose(options.seed, piece)
        for name, peer in peers.items():
            scores[name].append(mirex(truth, peer(samples)))
    print(f"\nKey, {options.pieces} pieces of seed {options.seed}\n{'':24} {'MIREX':>7} {'exact':>7}")
    for name, found in sorted(scores.items(), key=lambda one: -float(np.mean(one[1]))):
        print(f"{name:24} {np.mean(found):7.3f} {np.mean(np.array(found) == 1):7.3f}")


if __name__ == "__main__":
    main()
