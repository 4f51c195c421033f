"""Tempo: the pulse of the onsets, over the whole track."""

from analysis.measures.base import Block, Stream
from analysis.measures.rhythm_onsets import Onsets
from analysis.measures.rhythm_tempo import Tempo, estimate

SHORTEST_S = 3.0


class Rhythm:
    """Measures `tempoBpm`, its `confidence` (0 to 1), `alternativesBpm` and `onsetsPerS`."""

    def __init__(self, stream: Stream) -> None:
        self._onsets = Onsets(stream)
        self._notes: dict[str, str] = {}

    def feed(self, block: Block) -> None:
        self._onsets.feed(block)

    def result(self) -> dict[str, object]:
        self._onsets.finish()
        tempo = self._tempo()
        seconds = self._onsets.frames_heard / self._onsets.frame_rate_hz
        return {
            "tempoBpm": round(tempo.bpm, 2) if tempo else None,
            "confidence": round(tempo.confidence, 3) if tempo else None,
            "alternativesBpm": [round(bpm, 2) for bpm in tempo.alternatives_bpm] if tempo else [],
            "onsetsPerS": round(self._onsets.onsets / seconds, 2) if seconds else None,
        }

    def notes(self) -> dict[str, str]:
        return self._notes

    def _tempo(self) -> Tempo | None:
        onsets = self._onsets
        if onsets.frames_heard < SHORTEST_S * onsets.frame_rate_hz:
            self._notes = dict.fromkeys(("tempoBpm", "confidence"), f"shorter than {SHORTEST_S:g} s")
            return None
        total = onsets.autocorrelation[-1]
        tempo = None
        if total[0] > 0:
            usable = onsets.products > 0.2 * onsets.products[0]
            tempo = estimate((total[usable] / onsets.products[usable]) * onsets.products[0] / total[0], onsets.frame_rate_hz)
        if tempo is None:
            self._notes = dict.fromkeys(("tempoBpm", "confidence"), "no regular pulse found")
        return tempo
