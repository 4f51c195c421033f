"""Key, mode and tuning of a whole track."""

from analysis.measures.base import Block, Stream
from analysis.measures.tonality_key import KEYS, MODES, find_key
from analysis.measures.tonality_pitches import Pitches, chroma, tuning_cents
from analysis.measures.units import rounded

LEAST_AGREEMENT = 0.1  # of the pitches in their tuning: noise and drums lie anywhere
FEWEST_NOTES = 2.0  # as many as equally frequent ones would be: a drum or a drone has one
NAMES = ("key", "mode", "camelot", "confidence", "tuningCents")


class Tonality:
    """Measures `key` ("F#"), `mode` ("minor"), `camelot` ("11A"), `confidence` (0 to 1) and `tuningCents` off A 440."""

    def __init__(self, stream: Stream) -> None:
        self._pitches = Pitches(stream)
        self._notes: dict[str, str] = {}

    def feed(self, block: Block) -> None:
        self._pitches.feed(block)

    def result(self) -> dict[str, object]:
        self._pitches.flush()
        cents, agreement = tuning_cents(self._pitches.histogram)
        if agreement < LEAST_AGREEMENT:
            self._notes = dict.fromkeys(NAMES, "no clear pitch found" if agreement else "no pitch found")
            return dict.fromkeys(NAMES)
        notes = chroma(self._pitches.histogram, cents)
        if 1 / (notes @ notes) < FEWEST_NOTES:
            self._notes = dict.fromkeys(NAMES[:-1], "too few notes for a key")
            return {**dict.fromkeys(NAMES), "tuningCents": rounded(cents, 1)}
        key = find_key(notes, chroma(self._pitches.opening, cents))
        return {
            "key": KEYS[key.tonic],
            "mode": MODES[key.mode],
            "camelot": key.camelot,
            "confidence": round(key.confidence, 2),
            "tuningCents": rounded(cents, 1),
        }

    def notes(self) -> dict[str, str]:
        """Why a value of the result is None, by its key."""
        return self._notes
