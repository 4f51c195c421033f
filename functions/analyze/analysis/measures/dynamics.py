"""Levels over time: RMS and crest, DR, DC, clipping, silence at the ends."""

from __future__ import annotations

import numpy as np

from analysis.measures.base import CELL, Block, Samples, Stream
from analysis.measures.cells import cell_peaks
from analysis.measures.clipping import Clipping
from analysis.measures.dr import DynamicRange
from analysis.measures.units import amplitude_db, difference, power_db, rounded

SILENCE = 10 ** (-60 / 20)


class Dynamics:
    """`rmsDbfs` is of all channels over the whole track, a full-scale sine being -3.01. `crestDb` is the sample peak
    over it.

    `dcOffset` is the mean of the channel that has the largest, signed. `silence` is what lies below -60 dBFS at either
    end.
    """

    def __init__(self, stream: Stream) -> None:
        self._rate_hz = stream.sample_rate_hz
        self._range = DynamicRange(stream)
        self._clipping = Clipping(stream)
        self._sums = np.zeros(stream.channels)
        self._peak = 0.0
        self._frames = 0
        self._first_loud: int | None = None
        self._after_loud = 0
        self._notes: dict[str, str] = {}

    def feed(self, block: Block) -> None:
        peaks = cell_peaks(block)
        self._range.feed(block)
        self._clipping.feed(block)
        self._sums += block.planar.sum(axis=1)
        self._peak = max(self._peak, float(peaks.max()))
        self._frames += len(block.samples)
        self._look_for_silence(block, peaks)

    def result(self) -> dict[str, object]:
        rms = power_db(self._range.mean_square())
        dr = self._range.dr_db()
        if rms is None:
            self._notes = dict.fromkeys(("rmsDbfs", "crestDb", "drDb"), "the track is silent")
        elif dr is None:
            self._notes["drDb"] = "shorter than two blocks of 3 s"
        offsets = self._sums / max(1, self._frames)
        trailing = self._frames if self._first_loud is None else self._frames - self._after_loud
        leading = self._frames if self._first_loud is None else self._first_loud
        return {
            "rmsDbfs": rounded(rms),
            "crestDb": rounded(difference(amplitude_db(self._peak), rms)),
            "drDb": rounded(dr),
            "dcOffset": rounded(float(offsets[np.argmax(np.abs(offsets))]), 6),
            "clipping": self._clipping.result(),
            "silence": {
                "leadingS": rounded(leading / self._rate_hz, 3),
                "trailingS": rounded(trailing / self._rate_hz, 3),
            },
        }

    def notes(self) -> dict[str, str]:
        return self._notes

    def _look_for_silence(self, block: Block, peaks: Samples) -> None:
        loud = np.flatnonzero(peaks.max(axis=0) > SILENCE)
        if loud.size == 0:
            return
        if self._first_loud is None:
            self._first_loud = block.start + int(loud[0]) * CELL + int(_loud_frames(block, int(loud[0]))[0])
        self._after_loud = block.start + int(loud[-1]) * CELL + int(_loud_frames(block, int(loud[-1]))[-1]) + 1


def _loud_frames(block: Block, cell: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    frames = block.samples[cell * CELL : (cell + 1) * CELL]
    return np.flatnonzero(np.abs(frames).max(axis=1) > SILENCE)
