"""The tables: complete in both languages, with sources, and in step with the verdict's own tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assistant import knowledge
from assistant.facts import metric_named
from assistant.opening import GRADES

CHAT = Path(knowledge.__file__).parent
VERDICT = Path(__file__).parents[2] / "functions" / "analyze" / "analysis" / "verdict"
ROWS = ("metrics", "problems", "terms", "platforms", "unmeasured")


def verdict_table(name: str) -> Any:
    return json.loads((VERDICT / f"{name}.json").read_text(encoding="utf-8"))


def texts(node: Any) -> Iterator[dict[str, Any]]:
    """Every place of a table where a text stands in some language."""
    if isinstance(node, dict):
        if "en" in node or "pt-BR" in node:
            yield node
        else:
            for child in node.values():
                yield from texts(child)


@pytest.mark.parametrize("name", [*ROWS, "phrases", "genres"])
def test_every_text_stands_in_both_languages_with_the_same_places_to_fill(name: str) -> None:
    for text in texts(knowledge.table(name)):
        assert set(text) == {"en", "pt-BR"}
        places = [set(re.findall(r"{\w+}", str(text[locale]))) for locale in ("en", "pt-BR")]
        assert places[0] == places[1], text
        if isinstance(text["en"], list):
            assert len(text["en"]) == len(text["pt-BR"])


@pytest.mark.parametrize("name", ROWS)
def test_every_row_has_sources_that_are_listed(name: str) -> None:
    listed = knowledge.table("sources")["sources"]
    for key, row in knowledge.table(name).items():
        assert row["sources"], key
        assert set(row["sources"]) <= set(listed), key


def test_figures_of_the_tables_are_the_same_in_both_languages() -> None:
    for name in ROWS:
        for text in texts(knowledge.table(name)):
            written = [re.findall(r"\d+(?:[.,]\d+)?", str(text[locale])) for locale in ("en", "pt-BR")]
            english, portuguese = written[0], [figure.replace(",", ".") for figure in written[1]]
            assert sorted(english) == sorted(portuguese), text


def test_rows_refer_only_to_rows_that_exist() -> None:
    metrics, problems = knowledge.metrics(), knowledge.problems()
    for metric in metrics.values():
        assert {metric.low, metric.high} - {None} <= set(problems)
        assert metric.beside is None or metric.beside in metrics
    for problem in problems.values():
        assert {name for name, _ in problem.evidence} <= set(metrics)
    for term in knowledge.terms().values():
        assert set(term.see) <= set(metrics)


def test_every_metric_of_the_verdict_is_known_with_its_part_and_path() -> None:
    for name, row in verdict_table("metrics")["metrics"].items():
        assert metric_named(name) == name
        metric = knowledge.metrics()[name]
        assert (list(metric.path), metric.part, metric.unit) == (row["path"], row["part"], row["unit"])


def test_the_platforms_are_those_of_the_verdict() -> None:
    rules = {"headroom": "both", "down": "down", "none": "none"}
    theirs = {row["name"]: row for row in verdict_table("platforms")["platforms"]}
    for platform in knowledge.platforms().values():
        if platform.name is not None and platform.target_lufs is not None:
            row = theirs[platform.name]
            assert (platform.target_lufs, platform.ceiling_dbtp) == (row["targetLufs"], row["truePeakMaxDbtp"])
            if platform.id != "broadcast":
                assert platform.turns == rules[row["rule"]], platform.id


def test_genres_grades_and_weights_are_those_of_the_verdict() -> None:
    genres = verdict_table("genres")["genres"]
    assert knowledge.table("genres") == {key: row["names"] for key, row in genres.items()}
    scoring, phrases = verdict_table("scoring"), knowledge.table("phrases")
    for (least, name), row in zip(GRADES, scoring["grades"], strict=True):
        assert (least, phrases[f"grade.{name}"]) == (row["from"], {"en": row["en"], "pt-BR": row["pt-BR"]})
    told = re.findall(
        r"(true peak|loudness|frequencies|dynamics|stereo|technical).*?(\d+)", phrases["score.weights"]["en"]
    )
    weights = scoring["weights"]
    assert {name: int(n) for name, n in told} == {
        {"truePeak": "true peak"}.get(part, part): weight for part, weight in weights.items()
    }


def test_every_phrase_is_used() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in CHAT.rglob("*.py"))
    made_up = ("grade.", "part.", "status.", "reason.", "previous.better", "previous.worse", "previous.changed")
    called = {k for k in knowledge.table("phrases") if f'"{k}"' in code or f"'{k}'" in code or k.startswith(made_up)}
    assert set(knowledge.table("phrases")) - called <= {"major", "minor"}


def test_no_phrase_that_names_a_topic_is_listed_twice_for_one_kind() -> None:
    seen: dict[tuple[str, str], str] = {}
    for kind, key, phrase in knowledge.aliases():
        other = seen.setdefault((kind, phrase), key)
        assert other == key, f"{phrase!r} names {other} and {key}"
