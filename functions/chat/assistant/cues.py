"""The cues of intents: what words a question holds when it asks for one thing or the other.

They stand in `knowledge/cues.json`, regular expressions over the folded words of a question (lower case, no accents,
single spaces), English and Portuguese side by side, so that typing on a phone reads like the full sentence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("knowledge") / "cues.json"


def says(text: str, cue: str) -> bool:
    """True where the folded `text` holds a phrase of the cue."""
    return _pattern(cue).search(text) is not None


@cache
def weak_words() -> frozenset[str]:
    """Words that name a topic in a studio and something else outside: alone they do not make a question ours."""
    return frozenset(_table()["weak-words"])


@cache
def _pattern(cue: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(_table()[cue])})\b")


@cache
def _table() -> Mapping[str, Sequence[str]]:
    table: Mapping[str, Sequence[str]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table
