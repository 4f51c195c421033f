"""Language of a message: folding for matching, and telling English from Brazilian Portuguese."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

Locale = Literal["en", "pt-BR"]
TABLE = Path(__file__).with_name("knowledge") / "languages.json"

_WORD = re.compile(r"[a-z0-9]+")
_PORTUGUESE_MARK = re.compile(r"[ãõçáéíóúâêôà]", re.IGNORECASE)
# What the spelling of an unknown word hints at; the words that both languages share hint at nothing.
_PORTUGUESE_SPELLING = re.compile(r"(?:cao|coes|mente|[aei]ndo|inh[oa]|dade|agem|ao)$|nh|lh|[^aeiou][ao]s?$|[aei]r$")
_ENGLISH_SPELLING = re.compile(r"(?:ing|ed|tion|ness|ght|ly|ck|y|[^aeiou]e)$|th|sh|wh|ee|oo|w|k")


@cache
def _known_words() -> Mapping[str, frozenset[str]]:
    """Frequent words of each language, those of both, and the studio's own words, which tell nothing."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    return {name: frozenset(found) for name, found in table.items()}


def fold(text: str) -> str:
    """Lower case without accents: what two spellings of a word have in common."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def words(text: str) -> list[str]:
    """The words of a message, folded; every other sign only separates them."""
    return _WORD.findall(fold(text))


def detect_locale(text: str) -> Locale:
    """The language of `text`; English where nothing tells them apart ("LUFS?")."""
    portuguese = 1.5 * len(_PORTUGUESE_MARK.findall(text))
    english = 0.0
    known = _known_words()
    for word in words(text):
        weight = 0.4 if word in known["both"] else 1.0
        portuguese += weight * (word in known["portuguese"])
        english += weight * (word in known["english"])
        if len(word) > 2 and not any(word in found for found in known.values()):
            portuguese += 0.4 * bool(_PORTUGUESE_SPELLING.search(word))
            english += 0.4 * bool(_ENGLISH_SPELLING.search(word))
    return "pt-BR" if portuguese > english else "en"
