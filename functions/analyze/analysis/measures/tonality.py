"""Key, mode and tuning of a whole track."""

import numpy as np

from analysis.measures.base import Block, Stream
from analysis.measures.tonality_chroma import Pitches, chroma, tuning_cents

NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
# Temperley 1999, What's key for key?, table 3.
MAJOR = (5.0, 2.0, 3.5, 2.0, 4.5, 4.0, 2.0, 4.5, 2.0, 3.5, 1.5, 4.0)
MINOR = (5.0, 2.0, 3.5, 4.5, 2.0, 4.0, 2.0, 4.5, 3.5, 2.0, 1.5, 4.0)


class Tonality:
    def __init__(self, stream: Stream) -> None:
        self._pitches = Pitches(stream)
        self._notes: dict[str, str] = {}

    def feed(self, block: Block) -> None:
        self._pitches.feed(block)

    def result(self) -> dict[str, object]:
        bass, rest = self._pitches.histogram
        cents = tuning_cents(rest + bass)
        notes = chroma(bass + rest, cents)
        nothing: dict[str, object] = dict.fromkeys(("key", "mode", "camelot", "confidence", "tuningCents"))
        if notes.std() == 0:
            self._notes = dict.fromkeys(nothing, "no pitch found")
            return nothing
        scores = np.array([[np.corrcoef(np.roll(p, k), notes)[0, 1] for k in range(12)] for p in (MAJOR, MINOR)])
        order = np.argsort(scores.ravel())[::-1]
        mode, tonic = divmod(int(order[0]), 12)
        best, second = scores.ravel()[order[:2]]
        return {
            "key": NAMES[tonic],
            "mode": ("major", "minor")[mode],
            "camelot": camelot(tonic, mode),
            "confidence": round(float(np.clip(best, 0, 1)), 3),
            "tuningCents": round(cents, 1),
        }

    def notes(self) -> dict[str, str]:
        return self._notes


def camelot(tonic: int, mode: int) -> str:
    """The wheel of fifths as DJs number it: 8B is C major, 8A its relative A minor."""
    major = (tonic + 3 * mode) % 12
    return f"{(7 * major + 7) % 12 + 1}{'BA'[mode]}"
