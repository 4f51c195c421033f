"""The tables of mixing and mastering practice in `knowledge/`, loaded once and typed.

Every text exists in both languages and every row names its sources (`sources.json`). A number with a unit that stands
in these tables is a setting that an answer may give; no other module holds one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from assistant.language import Locale

FOLDER = Path(__file__).with_name("knowledge")
Text = Mapping[Locale, str]


@dataclass(frozen=True)
class Metric:
    """One measured quantity: where it lies in an analysis, how it is written, and which problem each side of it is."""

    id: str
    path: tuple[str, ...]
    unit: str
    decimals: int
    part: str  # the part of the score it belongs to
    label: Text
    what: Text
    notable: float  # a difference between two tracks from which it deserves a word
    usual: tuple[float | None, float | None]  # what holds without a target
    low: str | None
    high: str | None
    beside: str | None  # what an answer about it tells as well


@dataclass(frozen=True)
class Problem:
    """One complaint: the measurements that can confirm it, and what to do."""

    id: str
    title: Text
    evidence: tuple[tuple[str, str | None], ...]  # (metric, the side that confirms the complaint)
    short: Text
    steps: Mapping[Locale, tuple[str, ...]]
    limits: Text | None


@dataclass(frozen=True)
class Term:
    id: str
    label: Text
    what: Text
    see: tuple[str, ...]


@dataclass(frozen=True)
class Platform:
    """A place where music is played. `turns` says what it does to the level: up and down, down only, nothing."""

    id: str
    name: str | None  # as the verdict names it
    label: Text
    target_lufs: float | None
    ceiling_dbtp: float | None
    turns: str
    note: Text


@cache
def table(name: str) -> Mapping[str, Any]:
    rows: Mapping[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return rows


@cache
def metrics() -> Mapping[str, Metric]:
    return {
        key: Metric(
            id=key,
            path=tuple(row["path"]),
            unit=row["unit"],
            decimals=row["decimals"],
            part=row["part"],
            label=row["label"],
            what=row["what"],
            notable=row.get("notable", float("inf")),
            usual=(row.get("usual", {}).get("from"), row.get("usual", {}).get("to")),
            low=row.get("low"),
            high=row.get("high"),
            beside=row.get("beside"),
        )
        for key, row in table("metrics").items()
    }


@cache
def problems() -> Mapping[str, Problem]:
    return {
        key: Problem(
            id=key,
            title=row["title"],
            evidence=tuple((metric, side) for metric, side in row["evidence"]),
            short=row["short"],
            steps={locale: tuple(steps) for locale, steps in row["steps"].items()},
            limits=row.get("limits"),
        )
        for key, row in table("problems").items()
    }


@cache
def terms() -> Mapping[str, Term]:
    return {key: Term(key, row["label"], row["what"], tuple(row.get("see", ()))) for key, row in table("terms").items()}


@cache
def platforms() -> Mapping[str, Platform]:
    return {
        key: Platform(
            id=key,
            name=row.get("name"),
            label=row["label"],
            target_lufs=row.get("targetLufs"),
            ceiling_dbtp=row.get("ceilingDbtp"),
            turns=row["turns"],
            note=row["note"],
        )
        for key, row in table("platforms").items()
    }


@cache
def unmeasured() -> Mapping[str, Text]:
    """What producers ask for and the analysis does not hold, with the honest reply."""
    return {key: row["reply"] for key, row in table("unmeasured").items()}


def aliases() -> Iterator[tuple[str, str, str]]:
    """(kind, id, phrase) of everything a question can name."""
    for kind in ("metrics", "problems", "terms", "platforms", "unmeasured"):
        for key, row in table(kind).items():
            for phrase in row["match"]:
                yield kind, key, phrase


def texts(locale: Locale) -> Iterator[str]:
    """Every text of the tables in one language: the settings an answer may name stand in them and nowhere else."""
    for kind in ("metrics", "problems", "terms", "platforms", "unmeasured", "phrases"):
        yield from _strings(table(kind), locale)


def _strings(node: Any, locale: Locale) -> Iterator[str]:
    if isinstance(node, dict):
        if locale in node:
            yield from _strings(node[locale], locale)
        else:
            for child in node.values():
                yield from _strings(child, locale)
    elif isinstance(node, list):
        for child in node:
            yield from _strings(child, locale)
    elif isinstance(node, str):
        yield node
