"""How often tempo and key are right, against essentia and librosa where they are installed.

Loops and progressions are synthetic, so that the truth is known: six styles at 23 tempi, and 14 progressions on
every tonic, detuned, inverted, under drums and in noise by chance. Files named on the command line are real music, of
which only the agreement with essentia can be told. `python -m benchmarks.tempo_key [FILE…]`
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from analysis.measures.rhythm import Rhythm
from analysis.measures.tonality import Tonality
from analysis.measures.tonality_key import KEYS
from tests.unit.loops import PATTERNS, PROGRESSIONS, TEMPI, Audio, Harmony, chord_progression, drum_loop, fed

Key = tuple[int, str]
RATE_HZ = 44100
ESSENTIA_PROFILES = ("bgate", "braw", "edma", "edmm", "gomez", "krumhansl", "noland", "shaath", "temperley2005")
LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


def our_tempo(samples: Audio) -> float:
    found = fed(Rhythm, samples).result()["tempoBpm"]
    return found if isinstance(found, float) else 0.0


def our_key(samples: Audio) -> Key | None:
    result = fed(Tonality, samples).result()
    return (pitch_class(str(result["key"])), str(result["mode"])) if result["key"] else None


def pitch_class(name: str) -> int:
    return (LETTERS[name[0]] + {"": 0, "#": 1, "b": -1}[name[1:]]) % 12


def installed(name: str) -> Any:
    """The module, or None: essentia and librosa are peers, never dependencies."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def tempo_peers() -> dict[str, Callable[[Audio], float]]:
    peers: dict[str, Callable[[Audio], float]] = {"prodai": our_tempo}
    if essentia := installed("essentia.standard"):
        peers["essentia"] = lambda samples: float(essentia.RhythmExtractor2013(method="multifeature")(samples)[0])
    if beat := installed("librosa.beat"):
        peers["librosa"] = lambda samples: float(np.ravel(beat.beat_track(y=samples, sr=RATE_HZ)[0])[0])
    return peers


def key_peers() -> dict[str, Callable[[Audio], Key | None]]:
    peers: dict[str, Callable[[Audio], Key | None]] = {"prodai": our_key}
    essentia = installed("essentia.standard")

    def peer(profile: str) -> Callable[[Audio], Key | None]:
        def key(samples: Audio) -> Key:
            name, mode, _ = essentia.KeyExtractor(profileType=profile)(samples)
            return pitch_class(name), str(mode)

        return key

    return peers | {f"essentia {profile}": peer(profile) for profile in ESSENTIA_PROFILES if essentia}


def near(ratio: float, tolerance: float, *, octave: bool) -> bool:
    return any(abs(ratio / factor - 1) <= tolerance for factor in ((0.5, 1, 2) if octave else (1,)))


def mirex(truth: Key, found: Key | None) -> float:
    """The score of MIREX's key task: a fifth off 0.5, the relative 0.3, the parallel 0.2."""
    if found is None:
        return 0.0
    up, same_mode = (found[0] - truth[0]) % 12, found[1] == truth[1]
    if same_mode:
        return {0: 1.0, 5: 0.5, 7: 0.5}.get(up, 0.0)
    return {0: 0.2, 9 if truth[1] == "major" else 3: 0.3}.get(up, 0.0)


def progressions() -> Iterator[tuple[Key, Audio]]:
    rng = np.random.default_rng(1)
    for mode, named in PROGRESSIONS.items():
        for which in range(len(named)):
            for tonic in range(12):
                how = Harmony(
                    cents=float(rng.uniform(-45, 45)),
                    inverted=bool(rng.integers(2)),
                    drums=bool(rng.integers(2)),
                    noise=float(rng.choice([0, 0.01, 0.05])),
                )
                yield (tonic, mode), chord_progression(tonic, mode, which, how, seed=tonic)


def tempo_table() -> None:
    peers = tempo_peers()
    ratios: dict[str, dict[str, list[float]]] = {name: {} for name in peers}
    for style in PATTERNS:
        for i, bpm in enumerate(TEMPI):
            loop = drum_loop(style, bpm, noise=(0.0, 0.003, 0.01)[i % 3], seed=i)
            for name, peer in peers.items():
                ratios[name].setdefault(style, []).append(peer(loop) / bpm)
    print(f"\nTempo, {len(PATTERNS)} styles at {len(TEMPI)} tempi: the part that is right")
    print(f"{'':10} {'style':18} {'in 0.2 %':>9} {'or octave':>9} {'in 4 %':>9} {'or octave':>9}")
    for name, by_style in ratios.items():
        everything = [ratio for found in by_style.values() for ratio in found]
        for style, found in [*by_style.items(), ("all", everything)]:
            parts = [
                np.mean([near(ratio, tolerance, octave=octave) for ratio in found])
                for tolerance in (0.002, 0.04)
                for octave in (False, True)
            ]
            print(f"{name:10} {style:18} " + " ".join(f"{part:9.3f}" for part in parts))


def key_table() -> None:
    peers = key_peers()
    scores: dict[str, list[float]] = {name: [] for name in peers}
    for truth, samples in progressions():
        for name, peer in peers.items():
            scores[name].append(mirex(truth, peer(samples)))
    print(f"\nKey, {len(scores['prodai'])} progressions\n{'':24} {'MIREX':>7} {'exact':>7}")
    for name, found in scores.items():
        print(f"{name:24} {np.mean(found):7.3f} {np.mean(np.array(found) == 1):7.3f}")


def agreement_table(paths: list[Path]) -> None:
    tempo, keys = tempo_peers(), key_peers()
    if "essentia" not in tempo:
        return
    print(f"\nReal music, the first 100 s\n{'':32} {'prodai':>16} {'essentia':>16} {'essentia again':>16}")
    ratios, scores, other = [], [], []
    for path in paths:
        samples = mono(path)
        ours, theirs = tempo["prodai"](samples), tempo["essentia"](samples)
        found = [keys[name](samples) for name in ("prodai", "essentia bgate", "essentia temperley2005")]
        ratios.append(ours / theirs)
        scores.append(mirex(found[1] or (0, ""), found[0]))
        other.append(mirex(found[1] or (0, ""), found[2]))
        said = [f"{bpm:7.2f} {key_name(key):>8}" for bpm, key in zip((ours, theirs), found, strict=False)]
        print(f"{path.stem[:32]:32} {said[0]:>16} {said[1]:>16} {key_name(found[2]):>16}")
    told = [ratio for ratio in ratios if ratio]
    print(f"tempo given for {len(told)} of {len(paths)}; of these the same within 4 %: ", end="")
    print(f"{np.mean([near(ratio, 0.04, octave=False) for ratio in told]):.2f}, or an octave: ", end="")
    print(f"{np.mean([near(ratio, 0.04, octave=True) for ratio in told]):.2f}")
    print(f"key, MIREX against essentia bgate: {np.mean(scores):.2f}; essentia temperley2005: {np.mean(other):.2f}")


def key_name(key: Key | None) -> str:
    return "none" if key is None else f"{KEYS[key[0]]} {key[1][:3]}"


def mono(path: Path) -> Audio:
    """The first 100 s in one channel; files at another rate than 44.1 kHz are interpolated."""
    frames = 100 * soundfile.info(path).samplerate
    samples, rate_hz = soundfile.read(path, frames=frames, dtype="float32", always_2d=True)
    one = samples.mean(axis=1)
    if rate_hz == RATE_HZ:
        return np.asarray(one, np.float32)
    at = np.arange(int(one.size * RATE_HZ / rate_hz)) * rate_hz / RATE_HZ
    return np.asarray(np.interp(at, np.arange(one.size), one), np.float32)


def main() -> None:
    tempo_table()
    key_table()
    if len(sys.argv) > 1:
        agreement_table([Path(name) for name in sys.argv[1:]])


if __name__ == "__main__":
    main()
