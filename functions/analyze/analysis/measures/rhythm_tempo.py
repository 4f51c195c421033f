"""From the autocorrelation of the onset strength to the tempo."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float64]

SLOWEST_BPM, FASTEST_BPM = 40.0, 240.0
CENTRE_BPM, SPREAD_OCTAVES = 120.0, 0.8
WEAKEST_PULSE = 0.08


@dataclass(frozen=True)
class Tempo:
    bpm: float
    confidence: float
    alternatives_bpm: list[float]


def estimate(autocorrelation: Curve, frame_rate_hz: float) -> Tempo | None:
    """autocorrelation: shape (lags,), 1 at lag 0."""
    bpm = np.geomspace(SLOWEST_BPM, FASTEST_BPM, 520)
    period = 60 * frame_rate_hz / bpm
    score = comb(autocorrelation, period) * prior(bpm)
    inner = (score[1:-1] >= score[:-2]) & (score[1:-1] > score[2:])
    peaks = np.flatnonzero(inner) + 1
    if peaks.size == 0:
        return None
    order = peaks[np.argsort(score[peaks])[::-1]]
    best = refine(autocorrelation, period[order[0]])
    pulse = comb(autocorrelation, np.array([best]))[0]
    if pulse < WEAKEST_PULSE:
        return None
    others = [60 * frame_rate_hz / refine(autocorrelation, period[i]) for i in order[1:5]]
    return Tempo(60 * frame_rate_hz / best, float(np.clip(pulse, 0, 1)), others)


def prior(bpm: Curve) -> Curve:
    return np.asarray(np.exp(-0.5 * (np.log2(bpm / CENTRE_BPM) / SPREAD_OCTAVES) ** 2))


def comb(autocorrelation: Curve, period: Curve, teeth: int = 4) -> Curve:
    at = [np.interp(k * period, np.arange(len(autocorrelation)), autocorrelation) for k in range(1, teeth + 1)]
    off = [np.interp((k - 0.5) * period, np.arange(len(autocorrelation)), autocorrelation) for k in range(1, teeth + 1)]
    return np.asarray(np.mean(at, axis=0) - 0.5 * np.mean(off, axis=0))


def refine(autocorrelation: Curve, period: float) -> float:
    """The period to a small part of a frame: a line through the peaks at its multiples, found one after another."""
    k_lag = k_k = 0.0
    for k in range(1, int((len(autocorrelation) - 3) / period) + 1):
        near = round(k * period)
        reach = 2
        if near + reach + 2 > len(autocorrelation):
            break
        lo = max(1, near - reach)
        top = lo + int(np.argmax(autocorrelation[lo : near + reach + 1]))
        left, mid, right = autocorrelation[top - 1 : top + 2]
        bend = left - 2 * mid + right
        if mid <= 0 or bend >= 0 or mid < max(left, right):
            continue
        lag = top + 0.5 * (left - right) / bend
        k_lag += mid * k * lag
        k_k += mid * k * k
        period = k_lag / k_k
    return period
