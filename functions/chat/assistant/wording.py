"""How things are written: figures as each language writes them, names quoted as data, phrases from the table."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

from assistant import knowledge
from assistant.knowledge import Metric
from assistant.language import Locale

NAME_LENGTH = 48
_MARKUP = re.compile(r"[*`\[\]<>#|~\\/:\"“”„«»{}!]+|(?<![^\W_])_|_(?![^\W_])")
_DIFFERENCE_UNIT = {"LUFS": "LU", "dBTP": "dB", "dBFS": "dB"}


@cache
def _phrases() -> Any:
    return knowledge.table("phrases")


def say(locale: Locale, key: str, /, **values: object) -> str:
    """A phrase of the table with its places filled in."""
    phrase: str = _phrases()[key][locale]
    return phrase.format(**values)


def plain(value: float, decimals: int, locale: Locale, *, signed: bool = False) -> str:
    """A number with the reader's decimal sign; never "-0.0"."""
    rounded = round(value, decimals) + 0.0
    text = f"{rounded:+.{decimals}f}" if signed and rounded != 0 else f"{rounded:.{decimals}f}"
    return text.replace(".", ",") if locale == "pt-BR" else text


def figure(value: float, metric: Metric, locale: Locale, *, extra: int = 0) -> str:
    """A measured value or a target: `-9.1 LUFS`, `-9,1 LUFS`, `128 BPM`."""
    decimals = metric.decimals + extra
    if metric.unit == "BPM" and abs(value - round(value)) < 0.05:
        decimals = 0
    if metric.unit == "Hz" and value >= 10_000:
        return with_unit(plain(value / 1000, 1, locale), "kHz")
    return with_unit(plain(value, decimals, locale, signed=metric.id in ("balanceDb", "tuningCents")), metric.unit)


def difference(value: float, metric: Metric, locale: Locale, *, extra: int = 0) -> str:
    """The size of a difference of two values of a metric, in the unit of differences (LU for LUFS)."""
    unit = _DIFFERENCE_UNIT.get(metric.unit, metric.unit)
    return with_unit(plain(abs(value), metric.decimals + extra, locale), unit)


def decibels(value: float, locale: Locale, *, signed: bool = False) -> str:
    return with_unit(plain(value, 1, locale, signed=signed), "dB")


def lufs(value: float, locale: Locale) -> str:
    return with_unit(plain(value, 1, locale), "LUFS")


def with_unit(number: str, unit: str) -> str:
    return f"{number} {unit}" if unit else number


def quoted(name: str) -> str:
    """A file's name as data: on one line, without control or markup characters, shortened, in quotation marks."""
    visible = "".join(" " if unicodedata.category(c).startswith(("C", "Z")) else c for c in name)
    clean = " ".join(_MARKUP.sub(" ", visible).split())
    if len(clean) > NAME_LENGTH:
        clean = clean[: NAME_LENGTH - 1].rstrip() + "…"
    return f"“{clean or '?'}”"


def listed(items: Sequence[str], locale: Locale) -> str:
    """`a, b and c`."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {say(locale, 'and')} {items[-1]}"


def numbered(items: Sequence[str]) -> str:
    return "\n".join(f"{index}. {item}" for index, item in enumerate(items, 1))


def bulleted(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def paragraphs(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)
