"""Fits the weights of rhythm_tempo.py: which multiples of a beat tell it from other periods of the same music.

A log-linear model over all tempi from 40 to 240 BPM, by maximum likelihood with a ridge, on 22 styles that
tempo_key.py does not test, each at 23 tempi, bare and under chords. Prints the weights; the product holds them
rounded. Two to four minutes: `python -m benchmarks.tempo_fit`.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from analysis.measures import rhythm_onsets, rhythm_tempo
from analysis.measures.base import Block, Stream
from tests.unit.loops import TEMPI, Audio, Hit, chord_progression, drum_loop

RATE_HZ = 44100
SECONDS = 20.0
GRID_BPM = np.geomspace(rhythm_tempo.SLOWEST_BPM, rhythm_tempo.FASTEST_BPM, 260)
RIDGE, STEPS = 0.003, 300


def every(step: float, drum: str, loud: float, soft: float, beats: int = 4) -> list[Hit]:
    """A hit each `step` of a beat, loud and soft by turns."""
    return [(i * step, drum, soft if i % 2 else loud) for i in range(round(beats / step))]


def on(drum: str, gain: float, *beats: float) -> list[Hit]:
    return [(beat, drum, gain) for beat in beats]


BACKBEAT = on("kick", 1.0, 0, 2) + on("snare", 1.0, 1, 3)
FOUR = on("kick", 1.0, 0, 1, 2, 3)
STYLES: dict[str, tuple[int, list[Hit]]] = {
    "trap": (4, on("kick", 1.0, 0, 2.75) + on("snare", 1.0, 2) + every(0.25, "hat", 0.5, 0.3)),
    "drum and bass": (4, on("kick", 1.0, 0, 2.5) + on("snare", 1.0, 1, 3) + every(0.5, "hat", 0.5, 0.35)),
    "dembow": (4, FOUR + on("snare", 0.7, 0.75, 1.5, 2.75, 3.5) + every(0.5, "hat", 0.2, 0.2)),
    "bossa": (4, on("kick", 0.7, 0, 1.5, 2, 3.5) + on("click", 0.6, 0, 1.5, 3) + every(0.5, "hat", 0.4, 0.4)),
    "house with sixteenths": (4, FOUR + on("snare", 0.7, 1, 3) + every(0.25, "hat", 0.4, 0.2)),
    "rock with sixteenths": (4, BACKBEAT + on("kick", 0.8, 2.5) + every(0.25, "hat", 0.5, 0.3)),
    "rock with quarters": (4, BACKBEAT + every(1, "hat", 0.5, 0.5)),
    "kick and snare": (4, BACKBEAT),
    "kick alone": (4, FOUR),
    "techno": (4, FOUR + on("hat", 0.5, 0.5, 1.5, 2.5, 3.5) + on("bass", 0.5, 0.5, 1.5, 2.5, 3.5)),
    "metronome": (4, on("click", 1.0, 0) + on("click", 0.6, 1, 2, 3)),
    "waltz": (3, on("bass", 1.0, 0) + on("hat", 0.6, 1, 2)),
    "jazz waltz": (3, on("kick", 0.6, 0) + on("ride", 0.6, 0, 1, 2) + on("ride", 0.4, 5 / 3) + on("hat", 0.3, 1)),
    "shuffle": (4, BACKBEAT + every(1, "hat", 0.5, 0.5) + on("hat", 0.35, 2 / 3, 5 / 3, 8 / 3, 11 / 3)),
    "ride alone": (4, on("ride", 0.6, 0, 1, 2, 3) + on("ride", 0.4, 5 / 3, 11 / 3)),
    "walking bass": (
        4,
        on("bass", 0.8, 0, 1, 2, 3)
        + on("ride", 0.5, 0, 1, 2, 3)
        + on("ride", 0.3, 2 / 3, 5 / 3, 8 / 3, 11 / 3)
        + on("hat", 0.4, 1, 3),
    ),
    "half-time, plain": (4, on("kick", 1.0, 0) + on("snare", 1.0, 2) + every(0.5, "hat", 0.5, 0.3)),
    "half-time, quarters": (4, on("kick", 0.9, 0, 2.5) + on("snare", 1.0, 2) + every(1, "hat", 0.5, 0.5)),
    "rock in three": (3, on("kick", 1.0, 0) + on("snare", 0.8, 1, 2) + every(0.5, "hat", 0.4, 0.4, 3)),
    "hats in three": (3, on("kick", 1.0, 0) + on("hat", 0.6, 1, 2)),
    "metronome in three": (3, on("click", 1.0, 0) + on("click", 0.5, 1, 2)),
    "funk": (
        4,
        on("kick", 0.9, 0, 0.5, 2.75)
        + on("snare", 1.0, 1, 3)
        + on("snare", 0.3, 1.75, 2.25)
        + every(0.25, "hat", 0.4, 0.25),
    ),
}


def examples() -> Iterator[tuple[float, Audio]]:
    rng = np.random.default_rng(5)
    for pattern in STYLES.values():
        for i, bpm in enumerate(TEMPI):
            level = {drum: np.exp(rng.normal(0, 0.3)) for drum in ("kick", "snare", "hat", "ride", "bass", "click")}
            played = (pattern[0], [(beat, drum, gain * level[drum]) for beat, drum, gain in pattern[1]])
            loop = drum_loop(played, bpm, seconds=SECONDS, noise=(0.0, 0.003, 0.01)[i % 3], seed=i)
            chords = chord_progression(i % 12, ("major", "minor")[i % 2], i % 4, seconds=SECONDS, seed=i)
            yield bpm, loop
            yield bpm, loop + np.float32(rng.uniform(0.1, 0.75)) * chords


def features(loop: Audio) -> NDArray[np.float64]:
    """What the model weighs, for each tempo of the grid: shape (tempi, multiples + 2)."""
    onsets = rhythm_onsets.Onsets(Stream(RATE_HZ, 1, (1.0,)))
    onsets.feed(Block(loop[:, None], 0))
    onsets.finish()
    curve = rhythm_tempo.normalised(onsets.autocorrelation, onsets.pairs)
    return rhythm_tempo.evidence(curve, GRID_BPM, onsets.frame_rate_hz)


def fit(evidence: NDArray[np.float64], is_right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Adam on the mean log-likelihood of the right tempi. evidence: (examples, tempi, features)."""
    spread = evidence.std(axis=(0, 1))
    x = ((evidence - evidence.mean(axis=(0, 1))) / spread).astype(np.float32)
    flat = x.reshape(-1, x.shape[-1])
    weights = first = second = np.zeros(x.shape[-1])
    for step in range(1, STEPS + 1):
        score = (flat @ weights.astype(np.float32)).reshape(x.shape[:2])
        chance = np.exp(score - score.max(axis=1, keepdims=True))
        chance /= chance.sum(axis=1, keepdims=True)
        wanted = chance * is_right
        wanted /= wanted.sum(axis=1, keepdims=True) + 1e-9
        slope = flat.T @ (chance - wanted).reshape(-1) / len(x) + RIDGE * weights
        first = 0.9 * first + 0.1 * slope
        second = 0.99 * second + 0.01 * slope**2
        weights = weights - 0.1 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
    return np.asarray(weights / spread)


def main() -> None:
    truth, seen = [], []
    for bpm, loop in examples():
        truth.append(bpm)
        seen.append(features(loop))
    off = np.log2(GRID_BPM[None, :] / np.array(truth)[:, None])
    evidence = np.array(seen)
    weights = fit(evidence, np.abs(off) < 0.01)
    for name, weight in zip([*map(str, rhythm_tempo.MULTIPLES), "octaves", "octaves squared"], weights, strict=True):
        print(f"{name:20} {weight:6.2f}")
    missed = off[np.arange(len(off)), (evidence @ weights).argmax(axis=1)]
    print(f"right {np.mean(np.abs(missed) < 0.02):.3f}, up to an octave ", end="")
    print(f"{np.mean(np.min(np.abs(missed[:, None] - [-1, 0, 1]), axis=1) < 0.02):.3f}")


if __name__ == "__main__":
    main()
