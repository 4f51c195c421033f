"""Tempo: the pulse of the onsets, over the whole track."""

import numpy as np

from analysis.measures.base import Block, Stream
from analysis.measures.rhythm_onsets import Onsets
from analysis.measures.rhythm_tempo import Tempo, estimate, normalised

SHORTEST_S = 3.0
WEAKEST_STRENGTH = 0.02  # mean square of the onset strength: steady tones stay below
# Chance makes pulses too, the stronger the fewer frames: this many standard deviations held for 600 stretches of noise.
WEAKEST_PULSE, CHANCE_DEVIATIONS = 0.03, 4.0


class Rhythm:
    """Measures `tempoBpm`, its `confidence` (0 to 1), `alternativesBpm` (half, double, others) and `onsetsPerS`."""

    def __init__(self, stream: Stream) -> None:
        self._onsets = Onsets(stream)
        self._rate_hz = stream.sample_rate_hz
        self._samples = 0
        self._notes: dict[str, str] = {}

    def feed(self, block: Block) -> None:
        self._onsets.feed(block)
        self._samples += block.mono.size

    def result(self) -> dict[str, object]:
        self._onsets.finish()
        seconds = self._samples / self._rate_hz
        onsets_per_s = round(self._onsets.onsets / seconds, 2) if seconds else None
        if onsets_per_s is None:
            self._notes["onsetsPerS"] = "too short"
        tempo = self._tempo(seconds)
        if isinstance(tempo, str):
            self._notes |= {"tempoBpm": tempo, "confidence": tempo}
            return {"tempoBpm": None, "confidence": None, "alternativesBpm": [], "onsetsPerS": onsets_per_s}
        return {
            "tempoBpm": round(tempo.bpm, 2),
            "confidence": round(tempo.confidence, 2),
            "alternativesBpm": [round(bpm, 2) for bpm in tempo.alternatives_bpm],
            "onsetsPerS": onsets_per_s,
        }

    def notes(self) -> dict[str, str]:
        """Why a value of the result is None, by its key."""
        return self._notes

    def _tempo(self, seconds: float) -> Tempo | str:
        onsets = self._onsets
        if seconds < SHORTEST_S:
            return f"shorter than {SHORTEST_S:g} s"
        if onsets.autocorrelation[0] < WEAKEST_STRENGTH * onsets.pairs[0]:
            return "no onsets found"
        tempo = estimate(normalised(onsets.autocorrelation, onsets.pairs), onsets.frame_rate_hz)
        if tempo is None or tempo.pulse < max(WEAKEST_PULSE, CHANCE_DEVIATIONS / np.sqrt(onsets.frames_heard)):
            return "no regular pulse found"
        return tempo
