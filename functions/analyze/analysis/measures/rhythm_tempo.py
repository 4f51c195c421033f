"""From the autocorrelation of the onset strength to the tempo.

Every tempo from 40 to 240 BPM is judged by what the autocorrelation says at simple multiples of its beat: a beat is
repeated after two, three and four beats, and less after a third, or after one and a half. The precise period is then
read far out, where a small part of a frame is a very small part of the lag.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float64]

SLOWEST_BPM, FASTEST_BPM = 40.0, 240.0
CENTRE_BPM = 120.0
COUNTABLE_BPM = (30.0, 300.0)

# Weight of the autocorrelation at each multiple of the beat, then of the octaves from 120 BPM and of their square: a
# log-linear model of which candidate is the beat, fitted and rounded by benchmarks/tempo_fit.py on styles that
# benchmarks/tempo_key.py does not test.
MULTIPLES = (1 / 4, 1 / 3, 1 / 2, 2 / 3, 1.0, 3 / 2, 2.0, 3.0, 4.0)
WEIGHTS = np.array((-1.1, 0.3, 6.3, -5.9, 2.4, -5.0, 9.4, 5.3, 10.1, 1.6, -1.7))

LEAST_TOLD = 0.2
STEADY_PULSE = 0.2  # from here on, only the choice among candidates limits the confidence
ALTERNATIVES, LEAST_CHANCE = 4, 0.02


@dataclass(frozen=True)
class Tempo:
    """`pulse` is the mean autocorrelation one to four beats on; `alternatives_bpm` are ordered, likeliest first."""

    bpm: float
    confidence: float
    pulse: float
    alternatives_bpm: tuple[float, ...]


def estimate(autocorrelation: Curve, frame_rate_hz: float) -> Tempo | None:
    """autocorrelation: shape (lags,), 1 at lag 0. None where no candidate stands out at all."""
    bpm = np.geomspace(SLOWEST_BPM, FASTEST_BPM, 520)
    score = evidence(autocorrelation, bpm, frame_rate_hz) @ WEIGHTS  # the logarithm of a likelihood, but for a constant
    peaks = np.flatnonzero((score[1:-1] >= score[:-2]) & (score[1:-1] > score[2:])) + 1
    if peaks.size == 0:
        return None
    peaks = peaks[np.argsort(-score[peaks], kind="stable")]
    chance = np.exp(score[peaks] - score[peaks[0]])
    chance /= chance.sum()
    likely = peaks[chance >= min(LEAST_CHANCE, chance[0])][: 1 + ALTERNATIVES]
    periods = [refined_period(autocorrelation, 60 * frame_rate_hz / bpm[peak]) for peak in likely]
    found = [float(60 * frame_rate_hz / period) for period in periods]
    beats = periods[0] * np.arange(1.0, 5.0)
    pulse = float(np.mean(_at(autocorrelation, beats[beats < autocorrelation.size])))
    return Tempo(found[0], float(chance[0] * np.clip(pulse / STEADY_PULSE, 0, 1)), pulse, _alternatives(found))


def normalised(autocorrelation: Curve, pairs: Curve) -> Curve:
    """Mean products as a part of the one at lag 0, as far out as enough pairs tell."""
    told = pairs > LEAST_TOLD * pairs[0]
    mean_product = autocorrelation[told] / pairs[told]
    return np.asarray(mean_product / mean_product[0])


def evidence(autocorrelation: Curve, bpm: Curve, frame_rate_hz: float) -> Curve:
    """What each of `bpm` is judged by: shape (tempi, weights)."""
    smooth = np.convolve(np.pad(autocorrelation, 1, mode="edge"), (0.25, 0.5, 0.25), "valid")
    period = 60 * frame_rate_hz / bpm
    octaves = np.log2(bpm / CENTRE_BPM)
    return np.column_stack([*(_at(smooth, multiple * period) for multiple in MULTIPLES), octaves, octaves**2])


def refined_period(autocorrelation: Curve, period: float) -> float:
    """The period in frames, to a small part of a frame: a line through the peaks at its multiples.

    Each peak, found near where the line so far foretells it, is placed by a parabola and counts as its height.
    """
    lags_by_k = k_squared = 0.0
    for k in range(1, int(autocorrelation.size / period)):
        near = round(k * period)
        if near + 4 > autocorrelation.size:
            break
        top = max(near - 2, 1) + int(np.argmax(autocorrelation[max(near - 2, 1) : near + 3]))
        left, middle, right = autocorrelation[top - 1 : top + 2]
        if middle <= 0 or middle <= left or middle < right:
            continue
        lag = top + 0.5 * (left - right) / (left - 2 * middle + right)
        lags_by_k += middle * k * lag
        k_squared += middle * k * k
        period = lags_by_k / k_squared
    return period


def _at(curve: Curve, where: Curve) -> Curve:
    """The curve between its samples, and 0 beyond them."""
    return np.interp(where, np.arange(curve.size), curve, right=0.0)


def _alternatives(found: list[float]) -> tuple[float, ...]:
    """Half and double whenever a listener could count so, then what else is likely."""
    best, *others = found
    octaves = sorted((best / 2, best * 2), key=lambda bpm: abs(np.log2(bpm / CENTRE_BPM)))
    distinct: list[float] = []
    for bpm in [*octaves, *others]:
        if COUNTABLE_BPM[0] <= bpm <= COUNTABLE_BPM[1] and all(
            abs(bpm / known - 1) > 0.02 for known in [best, *distinct]
        ):
            distinct.append(bpm)
    return tuple(distinct[:ALTERNATIVES])
