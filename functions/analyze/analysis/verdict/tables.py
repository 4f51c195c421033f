"""The verdict's data tables, read once: metrics, genres, scoring, platforms and texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

Side = Literal["both", "ceiling", "floor"]
Names = Mapping[str, str]  # by locale: "en" and "pt-BR"

LOCALES = ("en", "pt-BR")


def _table(name: str) -> dict[str, Any]:
    table: dict[str, Any] = json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8"))
    return table


class UnknownGenre(ValueError):  # noqa: N818
    """A genre that the table does not have; the message names those it has."""

    def __init__(self, genre: str) -> None:
        super().__init__(f"the genre {genre!r} is not known; known are: {', '.join(GENRES)}")


@dataclass(frozen=True)
class Target:
    value: float
    tolerance: float


@dataclass(frozen=True)
class Metric:
    """A value of the result that can be judged. `side`: wrong above a ceiling, below a floor, or both ways."""

    id: str
    path: tuple[str, ...]
    part: str
    unit: str
    side: Side
    tolerance: float
    target: float | None  # holds in every genre that gives none
    suggested: str  # the group of `scoring.json`'s suggestionOrder
    names: Names
    hz: tuple[float, float] | None  # of a band: its edges
    eq: Mapping[str, Any] | None  # of a band: the filter that moves it

    def value(self, result: Mapping[str, Any]) -> float | None:
        """The metric's value in a result; None where it was not measured or cannot be had."""
        found: Any = result
        for key in self.path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return float(found) if isinstance(found, int | float) else None


@dataclass(frozen=True)
class Genre:
    """A genre's targets. Spectra are in dB below the power of 20 Hz to 20 kHz; the 31 third octaves begin at 20 Hz."""

    id: str
    names: Names
    targets: Mapping[str, Target]
    bands_db: Mapping[str, float]
    band_tolerances_db: Mapping[str, float]
    third_octaves_db: tuple[float, ...]


def _metric(metric_id: str, row: Mapping[str, Any]) -> Metric:
    return Metric(
        id=metric_id,
        path=tuple(row["path"]),
        part=row["part"],
        unit=row["unit"],
        side=row["side"],
        tolerance=row["tolerance"],
        target=row.get("target"),
        suggested=row.get("suggested", row["part"]),
        names=row["names"],
        hz=tuple(row["hz"]) if "hz" in row else None,
        eq=row.get("eq"),
    )


def _genre(genre_id: str, row: Mapping[str, Any]) -> Genre:
    return Genre(
        id=genre_id,
        names=row["names"],
        targets={metric: Target(t["target"], t["tolerance"]) for metric, t in row["targets"].items()},
        bands_db=row["bandsDb"],
        band_tolerances_db=row["bandTolerancesDb"],
        third_octaves_db=tuple(row["thirdOctavesDb"]),
    )


_GENRES, _METRICS = _table("genres"), _table("metrics")["metrics"]

METRICS: Mapping[str, Metric] = MappingProxyType(
    {metric_id: _metric(metric_id, row) for metric_id, row in _METRICS.items()}
)
GENRES: Mapping[str, Genre] = MappingProxyType(
    {genre_id: _genre(genre_id, row) for genre_id, row in _GENRES["genres"].items()}
)
DEFAULT_GENRE: str = _GENRES["default"]
THIRD_OCTAVES_HZ: tuple[float, ...] = tuple(_GENRES["thirdOctavesHz"])
SCORING = _table("scoring")
CEILING_DBTP: float = _METRICS["truePeakDbtp"]["target"]
ADVICE: Mapping[str, float] = MappingProxyType({name: row["value"] for name, row in SCORING["advice"].items()})
PLATFORMS: list[dict[str, Any]] = _table("platforms")["platforms"]
TEXTS = _table("texts")


def genre_named(genre: str | None) -> Genre:
    """The genre of an id; the default one for None. Raises UnknownGenre."""
    found = GENRES.get(DEFAULT_GENRE if genre is None else genre)
    if found is None:
        raise UnknownGenre(str(genre))
    return found
