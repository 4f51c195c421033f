"""How the first two channels, left and right, relate."""

from __future__ import annotations

import math

import numpy as np

from analysis.measures.base import Block, Samples, Stream, hop_and_row
from analysis.measures.spectra import Energies, Spectra
from analysis.measures.spectrum import BANDS_HZ
from analysis.measures.units import rounded

LOW_HZ = 120.0
_MOST_DB = 60.0
_KEYS = ("correlation", "correlationLow", "widthPercent", "balanceDb", "monoLossDb", "sideMidDb")
_DEAD_DB = 60.0


class Stereo:
    """`correlation` of left and right over the track, and of what lies below 120 Hz (`correlationLow`): -1 to 1.

    `widthPercent` is the share of the side signal, (L - R)/2, in the energy of mid and side. `balanceDb` is positive
    where left is louder. `monoLossDb` is how far the level of (L + R)/2 lies below the mean of both channels: 0 where
    they are the same, 3 where unrelated; `monoLossBandsDb` the same for each band of the tonal balance. Ratios are held
    within ±60 dB. `deadChannels` names channels 60 dB below the loudest, or silent.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._hop = hop_and_row(stream.sample_rate_hz)[0]
        self._spectra = Spectra.of(stream) if stream.channels > 1 else None
        self._powers = np.zeros(stream.channels)
        self._cross = 0.0
        self._notes: dict[str, str] = {}

    def feed(self, block: Block) -> None:
        if self._spectra is None:
            return
        self._spectra.feed(block)
        self._powers += [_dot(channel, channel, self._hop) for channel in block.planar]
        self._cross += _dot(block.planar[0], block.planar[1], self._hop)

    def result(self) -> dict[str, object]:
        if self._spectra is None:
            return self._nothing("the track is mono")
        left, right = float(self._powers[0]), float(self._powers[1])
        if left + right <= 0:
            return self._nothing("left and right are silent")
        low = self._spectra.band(0, LOW_HZ)
        mid, side = (max(0.0, (left + right + sign * 2 * self._cross) / 4) for sign in (1, -1))
        correlations = {
            "correlation": _correlation(left, right, self._cross),
            "correlationLow": _correlation(low.left, low.right, low.cross),
        }
        missing = [key for key, value in correlations.items() if value is None]
        self._notes = dict.fromkeys(missing, "one of the channels is silent")
        bands = {name: _band_loss_db(self._spectra.band(*edges)) for name, edges in BANDS_HZ.items()}
        self._notes |= {f"monoLossBandsDb.{name}": "nothing there" for name, loss in bands.items() if loss is None}
        return {key: rounded(value, 4) for key, value in correlations.items()} | {
            "widthPercent": rounded(100 * side / (mid + side)),
            "balanceDb": rounded(_ratio_db(left, right)),
            "monoLossDb": rounded(_mono_loss_db(left + right, mid)),
            "sideMidDb": rounded(_ratio_db(side, mid)),
            "monoLossBandsDb": {name: rounded(loss) for name, loss in bands.items()},
            "deadChannels": self._dead(),
        }

    def notes(self) -> dict[str, str]:
        return self._notes

    def _nothing(self, reason: str) -> dict[str, object]:
        keys = (*_KEYS, "monoLossBandsDb")
        self._notes = dict.fromkeys(keys, reason)
        return {**dict.fromkeys(keys), "deadChannels": []}

    def _dead(self) -> list[str]:
        floor = self._powers.max() / 10 ** (_DEAD_DB / 10)
        names = ["left", "right", *(f"channel {number}" for number in range(3, self._stream.channels + 1))]
        weighed = zip(names, self._powers, self._stream.channel_weights, strict=True)
        return [name for name, power, weight in weighed if power < floor and weight > 0]


def _dot(one: Samples, other: Samples, hop: int) -> float:
    """The sum of products; in single precision only within a hop."""
    whole = one.size // hop * hop
    rows = np.vecdot(one[:whole].reshape(-1, hop), other[:whole].reshape(-1, hop))
    return float(rows.sum(dtype=np.float64)) + float(np.dot(one[whole:], other[whole:]))


def _correlation(left: float, right: float, cross: float) -> float | None:
    if left <= 0 or right <= 0:
        return None
    return max(-1.0, min(1.0, cross / math.sqrt(left * right)))


def _ratio_db(power: float, other: float) -> float:
    if power <= 0 or other <= 0:
        return _MOST_DB if power > 0 else -_MOST_DB if other > 0 else 0.0
    return max(-_MOST_DB, min(_MOST_DB, 10 * math.log10(power / other)))


def _mono_loss_db(both: float, mid: float) -> float:
    return max(0.0, _ratio_db(both / 2, mid))


def _band_loss_db(band: Energies) -> float | None:
    both = band.left + band.right
    return _mono_loss_db(both, max(0.0, (both + 2 * band.cross) / 4)) if both > 0 else None
