"""The verdict's tables say where their numbers come from, and hang together."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest

import analysis.verdict
from analysis.verdict import GENRES, UnknownGenre, judge
from analysis.verdict.tables import CEILING_DBTP, METRICS, PLATFORMS, SCORING, TEXTS, THIRD_OCTAVES_HZ
from benchmarks import genre_targets
from shared.genres import GENRES as OFFERED
from tests.unit.results import loud_master

FOLDER = Path(analysis.verdict.__file__).parent


def table(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def test_the_genres_are_those_that_a_user_can_choose() -> None:
    assert tuple(GENRES) == OFFERED


def test_the_genre_table_is_what_the_documented_script_derives() -> None:
    assert (FOLDER / "genres.json").read_text(encoding="utf-8") == genre_targets.text()


@pytest.mark.parametrize("name", ["genres", "metrics", "platforms", "scoring", "texts"])
def test_every_table_has_a_date(name: str) -> None:
    assert table(name)["date"] == "2026-11-24"


def test_every_target_names_a_source_that_the_table_explains() -> None:
    genres, metrics = table("genres"), table("metrics")
    for genre in genres["genres"].values():
        assert genre["spectrumSource"] in genres["sources"]
        assert all(target["source"] in genres["sources"] for target in genre["targets"].values())
    assert all(metric["source"] in metrics["sources"] for metric in metrics["metrics"].values())
    assert all(platform["source"] and platform["trust"] in ("official", "secondary") for platform in PLATFORMS)


def test_every_number_of_the_advice_stands_in_the_tables_with_a_source() -> None:
    advice = table("scoring")["advice"]
    assert all(row["value"] > 0 and row["source"] for row in advice.values())
    assert METRICS["truePeakDbtp"].target == CEILING_DBTP == -1.0
    judged = [p for p in PLATFORMS if p["rule"] == "none"]
    assert judged
    assert all(p["fitsWithinLu"] > 0 and "1 LU either way" in p["source"] for p in judged)


def test_club_genres_stand_where_the_plan_has_them() -> None:
    for genre in ("funk-mandela", "funk-bruxaria", "funk-bh", "eletrofunk", "edm", "eletronico"):
        loudness, dr = GENRES[genre].targets["integratedLufs"], GENRES[genre].targets["drDb"]
        assert (loudness.value, dr.value - dr.tolerance, dr.value + dr.tolerance) == (-8.5, 6, 10)
    dr = GENRES["progressive-trance"].targets["drDb"]
    assert (dr.value - dr.tolerance, dr.value + dr.tolerance) == (8, 12)


def test_a_genres_bands_and_third_octaves_are_shares_of_one_whole() -> None:
    for genre in GENRES.values():
        assert len(genre.third_octaves_db) == len(THIRD_OCTAVES_HZ) == 31
        assert sum(10 ** (level / 10) for level in genre.bands_db.values()) == pytest.approx(1, abs=0.01)
        assert sum(10 ** (level / 10) for level in genre.third_octaves_db) == pytest.approx(1, abs=0.03)


def test_the_weights_make_a_hundred() -> None:
    assert sum(SCORING["weights"].values()) == 100
    assert {metric.part for metric in METRICS.values()} == set(SCORING["weights"])


def test_an_unknown_genre_is_refused_with_the_names_of_the_known_ones() -> None:
    with pytest.raises(UnknownGenre, match=r"'polka' is not known.*progressive-trance.*acoustic"):
        judge(loud_master(), genre="polka")


def test_every_sentence_stands_in_both_languages_and_asks_for_the_same_numbers() -> None:
    for path, sentences in leaves(TEXTS):
        assert set(sentences) == {"en", "pt-BR"}, path
        assert fields(sentences["en"]) == fields(sentences["pt-BR"]), path


def leaves(node: dict[str, Any], path: str = "") -> list[tuple[str, dict[str, str]]]:
    if "en" in node:
        return [(path, node)]
    return [leaf for key, child in node.items() if isinstance(child, dict) for leaf in leaves(child, f"{path}/{key}")]


def fields(sentence: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence)} - {None}
