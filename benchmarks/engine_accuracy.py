"""How exact the engine is: the standards' signals at three rates, and files against libebur128.

`python -m benchmarks.engine_accuracy [FILE…]`; `benchmarks.engine` runs it, too.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pyebur128
import soundfile

from analysis.engine import analyse
from analysis.measures.loudness import Loudness
from tests.unit.signals import (
    WAVE_5_0,
    WAVE_5_1,
    Audio,
    amplitude,
    burst_between_samples,
    faded_sine,
    measured,
    only,
    steps,
    tone,
)

RATES = (44_100, 48_000, 96_000)
OFF = -math.inf
Weighted = tuple[Audio, tuple[float, ...] | None]
Case = tuple[str, str, float, list[Weighted]]


def cases(rate: int) -> list[Case]:
    """Name, key, expected value, signals with their channel weights."""

    def surround(weights: tuple[float, ...]) -> Audio:
        levels = (-28, -28, -24, -30, -30) if len(weights) == 5 else (-28, -28, -24, OFF, -30, -30)
        return tone(0, 20, rate, channels=len(weights)) * np.array([amplitude(level) for level in levels], np.float32)

    def plain(*sections: tuple[float, float]) -> list[Weighted]:
        return [(steps(sections, rate), None)]

    late_3_s: list[Weighted] = [(steps([(i * 0.15, OFF), (3, -23), (1, OFF)], rate), None) for i in range(20)]
    late_400_ms: list[Weighted] = [(steps([(i * 0.02, OFF), (0.4, -23), (1, OFF)], rate), None) for i in range(20)]
    found: list[Case] = [
        ("3341-1 I", "integratedLufs", -23, plain((20, -23))),
        ("3341-2 I", "integratedLufs", -33, plain((20, -33))),
        ("3341-3 I", "integratedLufs", -23, plain((10, -36), (60, -23), (10, -36))),
        ("3341-4 I", "integratedLufs", -23, plain((10, -72), (10, -36), (60, -23), (10, -36), (10, -72))),
        ("3341-5 I", "integratedLufs", -23, plain((20, -26), (20.1, -20), (20, -26))),
        ("3341-6 I, 5.0 and 5.1", "integratedLufs", -23, [(surround(w), w) for w in (WAVE_5_0, WAVE_5_1)]),
        ("3341-9 max S", "shortTermMaxLufs", -23, plain(*[(1.34, -20), (1.66, -30)] * 5)),
        ("3341-10 max S", "shortTermMaxLufs", -23, late_3_s),
        ("3341-12 max M", "momentaryMaxLufs", -23, plain(*[(0.18, -20), (0.22, -30)] * 25)),
        ("3341-13 max M", "momentaryMaxLufs", -23, late_400_ms),
        ("3342-1 LRA", "rangeLu", 10, plain((20, -20), (20, -30))),
        ("3342-2 LRA", "rangeLu", 5, plain((20, -20), (20, -15))),
        ("3342-3 LRA", "rangeLu", 20, plain((20, -40), (20, -20))),
        ("3342-4 LRA", "rangeLu", 15, plain(*[(20, level) for level in (-50, -35, -20, -35, -50)])),
        ("BS.1770, 997 Hz, one channel", "integratedLufs", -3.01, [(only(0, 2, tone(0, 5, rate, hz=997)), None)]),
    ]
    sines = (
        (15, 4, 0, 0.5, -6),
        (16, 4, 45, 0.5, -6),
        (17, 6, 60, 0.5, -6),
        (18, 8, 67.5, 0.5, -6),
        (19, 4, 45, 1.41, 3),
    )
    for number, divisor, phase, level, expected in sines:
        found.append((f"3341-{number} TP", "truePeakDbtp", expected, [(faded_sine(rate, divisor, phase, level), None)]))
    # Case 23 at 96 kHz: twice oversampled, the burst falls 22.5 degrees beside the points; libebur128 reads -0.41, too.
    bursts: list[Weighted] = [(burst_between_samples(rate, i), None) for i in range(4)]
    return [*found, *((f"3341-{20 + i} TP", "truePeakDbtp", 0, [burst]) for i, burst in enumerate(bursts))]


def standards() -> None:
    print("\n### The standards' signals: the largest error\n\n| case | 44.1 kHz | 48 kHz | 96 kHz |\n|---|---|---|---|")
    rows: dict[str, list[str]] = {}
    for rate in RATES:
        for name, key, expected, signals in cases(rate):
            errors = [measured(Loudness, audio, rate, weights)[key] - expected for audio, weights in signals]
            rows.setdefault(name, []).append(f"{max(errors, key=abs):+.2f}")
    for name, errors_by_rate in rows.items():
        print(f"| {name} | {' | '.join(errors_by_rate)} |")


def oracles(files: list[Path]) -> None:
    print("\n### Files: ours less libebur128's\n")
    print("| file | integrated LU | range LU | true peak dB |\n|---|---|---|---|")
    worst = [0.0, 0.0, 0.0]
    for file in files:
        found = analyse(file, measures=["loudness"])["loudness"]
        values = [found[key] for key in ("integratedLufs", "rangeLu", "truePeakDbtp")]
        differences = [one - other for one, other in zip(values, libebur128(file), strict=True)]
        worst = [max(one, abs(other)) for one, other in zip(worst, differences, strict=True)]
        print(f"| {file.name} | {' | '.join(f'{difference:+.3f}' for difference in differences)} |", flush=True)
    print(f"| largest | {' | '.join(f'{one:.3f}' for one in worst)} |")


def libebur128(file: Path) -> tuple[float, float, float]:
    """Integrated loudness in LUFS, range in LU (its windows step by 1 s, as ours), true peak in dBTP."""
    mode = pyebur128.MeasurementMode
    with soundfile.SoundFile(file) as sound:
        state = pyebur128.R128State(sound.channels, sound.samplerate, mode.MODE_I | mode.MODE_LRA | mode.MODE_TRUE_PEAK)
        for block in sound.blocks(65_536, dtype="float64", always_2d=True):
            state.add_frames(block.reshape(-1), len(block))
        peak = max(pyebur128.get_true_peak(state, channel) for channel in range(sound.channels))
    return pyebur128.get_loudness_global(state), pyebur128.get_loudness_range(state), 20 * math.log10(peak)


def main() -> None:
    standards()
    files = [Path(name) for name in sys.argv[1:]]
    if files:
        oracles(files)


if __name__ == "__main__":
    main()
