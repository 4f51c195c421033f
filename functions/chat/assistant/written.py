"""A model's sentence in the one spelling that the number check reads: "**-9,7** Lufs" as `-9,7 LUFS`."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence

from assistant.wording import quoted

_UNITS = {
    "LUFS": r"lufs|lkfs",
    "LU": r"lu|loudness units?",
    "dBTP": r"db ?tp|db true peak|decib[eé]is true peak",
    "dBFS": r"db ?fs",
    "dB/oct": r"(?:db|decibels?|decib[eé]is) ?(?:/|per|por|an?|a cada) ?(?:oct|octaves?|oitavas?)",
    "dB": r"dbs?|decibels?|decib[eé]l|decib[eé]is",
    "kHz": r"khz|k|kilohertz|quilohertz",
    "Hz": r"hz|hertz",
    "BPM": r"bpm|beats per minute|batidas por minuto",
    "ms": r"ms|msec|milliseconds?|milissegundos?",
    "s": r"s|secs?|seconds?|segundos?|segs?",
    "min": r"min|mins|minutes?|minutos?",
    "%": r"%|percent|per cent|por cento",
    "cents": r"cents?|centavos?|cents de tom",
    "bit": r"bits?",
    "semitones": r"(?<!1)st|semitones?|semitons?|semitom|half[ -]?(?:steps?|tones?)|meios? tons?|meio tom",
    "octaves": r"octaves?|oitavas?",
    "samples": r"(?:(?:clipped|clipping|clipadas?|consecutive|consecutivas?) )?(?:samples?|amostras?)",
    "kbps": r"kbps|kbits?|kb/s|kbits?/s|kilobits?(?: per second)?|quilobits?(?: por segundo)?",
    "MB": r"mb|megabytes?",
    "degrees": r"degrees?|graus?|°",
}
_NAMED_UNITS = "|".join(f"(?P<u{index}>{pattern})" for index, pattern in enumerate(_UNITS.values()))
_WITH_UNIT = re.compile(rf"(?<=\d)[ -]?(?:{_NAMED_UNITS})(?![\w/])", re.IGNORECASE)
_WORDS = (
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    "eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|um|uma|dois|duas|tres|"
    "três|quatro|cinco|seis|sete|oito|nove|dez|onze|doze|treze|catorze|quatorze|quinze|dezesseis|dezessete|dezoito|"
    "dezenove|vinte|trinta|quarenta|cinquenta|sessenta|setenta|oitenta|noventa|cem|cento|mil"
)
# "one octave up" and "a few degrees" are ways of speaking.
_ANY_UNIT = "|".join(pattern for unit, pattern in _UNITS.items() if unit not in ("octaves", "degrees", "bit", "MB"))
_IN_WORDS = re.compile(
    rf"\b(?:{_WORDS})\b(?:[ -](?:point|ponto|v[ií]rgula|and|e|{_WORDS}))* (?:{_ANY_UNIT})(?!\w)",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"\*+|`+|~~|(?<!\w)_+|_+(?!\w)|\\")
_QUOTES = re.compile(r"[“”„«»\"]")
_SCORE = re.compile(
    r"\b(?:scores?|points?|notas?|pontua\w*|pontos?|out of \d+|rating)\b|/ ?100\b|\bde 100\b", re.IGNORECASE
)
_JOINED = re.compile(r"\b(DR(?!14\b)|LRA|PLR|PSR|RMS|BPM|LUFS)(?=\d)()|(?<=[A-Za-z%])/(?=[-+]?\d)", re.IGNORECASE)
_ROW = re.compile(r"^\s*\|")


def plainly(text: str, names: Sequence[str]) -> str:
    """The text without markup, with the units' usual spelling; quoted names of the tracks are blanked, for they are
    data, and any other quotation is read like the rest."""
    for name in names:
        shown = quoted(name)[1:-1]
        if sum(c.isalpha() for c in shown.rsplit(".", 1)[0]) > sum(c.isdigit() for c in shown):
            for opening, closing in ("“”", '""', "**", "``"):
                text = text.replace(f"{opening}{shown}{closing}", " ")
    text = unicodedata.normalize("NFKC", html.unescape(text))
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    text = text.replace("‐", "-").replace("‑", "-").replace("−", "-")
    text = re.sub(r"[^\S\n]+", " ", _QUOTES.sub(" ", _MARKUP.sub("", text)))
    text = re.sub(r"\b(?:minus|menos) (?=\d)", "-", text, flags=re.IGNORECASE)
    text = re.sub(r"(?<=[A-Za-z)\]%]):(?=[-+\d])", ": ", text)
    text = re.sub(r"(?<=[-+−]) (?=\d+[.,]?\d* ?(?:LUFS|dBTP|dBFS))", "", text)
    text = _JOINED.sub(lambda match: f"{match[1]} {match[2]}", text)
    return _WITH_UNIT.sub(_usual_unit, text)


def _usual_unit(match: re.Match[str]) -> str:
    index = next(i for i in range(len(_UNITS)) if match[f"u{i}"] is not None)
    return f" {list(_UNITS)[index]}"


def has_figure_in_words(plain: str) -> bool:
    """Whether a figure is spelled out ("minus nine point seven LUFS"), where no digit can be looked up."""
    return _IN_WORDS.search(plain) is not None


def bare_numbers_count(plain: str) -> bool:
    """Whether every number of the sentence says something about the track: a score, or the row of a table."""
    return _SCORE.search(plain) is not None or _ROW.search(plain) is not None
