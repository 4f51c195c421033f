"""The first message after an analysis."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.advisor import NamedAnalysis, answer, detect_locale, opening
from assistant.figures import NumberCheck
from assistant.language import Locale

ANALYSES: Mapping[str, Any] = json.loads(
    (Path(__file__).parents[2] / "benchmarks" / "chat_analyses.json").read_text(encoding="utf-8")
)
LOCALES: tuple[Locale, ...] = ("en", "pt-BR")
QUESTIONS = (
    "why this score?",
    "what first?",
    "is it ready for Spotify?",
    "ready for release?",
    "is it muddy?",
    "key and bpm?",
)


def opened(key: str, locale: Locale = "en") -> str:
    return opening(ANALYSES[key]["analysis"], filename=ANALYSES[key]["name"], locale=locale)


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("key", ANALYSES)
def test_it_has_sixty_to_two_hundred_words_in_the_users_language(key: str, locale: Locale) -> None:
    text = opened(key, locale)
    assert 60 <= len(text.split()) <= 200
    assert detect_locale(text) == locale


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("key", ANALYSES)
def test_it_holds_no_figure_from_nowhere(key: str, locale: Locale) -> None:
    named = NamedAnalysis(ANALYSES[key]["name"], "track", ANALYSES[key]["analysis"])
    assert not NumberCheck([named], locale).untraceable(opened(key, locale), with_bare_numbers=True)


def test_findings_are_ranked_with_value_target_and_what_to_do() -> None:
    first, second, third = re.findall(r"^\d\. (.*)$", opened("trance"), re.MULTILINE)
    assert first.startswith("**Clipped samples**: 412")
    assert second.startswith("**True peak**: 0.4 dBTP (at most -1.0 dBTP, 1.4 dB above). Set the limiter")
    assert third.startswith("**Integrated loudness**: -11.2 LUFS (target -8.5 LUFS, 2.7 LU below). Raise")


def test_it_says_what_is_good() -> None:
    assert "dynamic range (DR) 9.4 dB (target 10.0 dB)" in opened("trance")


def test_three_measures_of_one_fault_are_one_step() -> None:
    assert opened("edm").count("picos") == 0
    assert len(re.findall(r"^\d\. ", opened("edm"), re.MULTILINE)) == 3
    assert "dynamic range" not in opened("edm")


def test_a_quiet_track_with_room_below_the_ceiling_needs_no_limiter() -> None:
    analysis = copy.deepcopy(ANALYSES["acoustic"]["analysis"])
    analysis["loudness"]["truePeakDbtp"] = -7.0
    row = next(c for c in analysis["verdict"]["comparisons"] if c["metric"] == "truePeakDbtp")
    row["value"] = -7.0
    assert "before any more limiting" in opening(analysis, filename="a.wav", locale="en")


def test_a_track_without_faults_is_told_so() -> None:
    assert "Nothing that I measure is off its target" in opened("pop")


def test_a_reduced_analysis_says_kindly_what_the_plan_withholds() -> None:
    text = opened("reduced")
    assert "73 of 100" in text
    assert "-15.3 LUFS" in text
    assert "Withheld: frequencies, dynamics, stereo image" in text
    assert "nothing is wrong with your file" in text


def test_what_could_not_be_measured_is_named() -> None:
    assert "could not be measured: stereo image" in opened("mono")


def test_an_empty_analysis_still_gets_an_honest_message() -> None:
    text = opening({}, filename="x.wav", locale="en")
    assert "a score could not be given" in text


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(ANALYSES)), st.randoms(use_true_random=False), st.sampled_from(LOCALES))
def test_any_value_may_be_null(key: str, random: Any, locale: Locale) -> None:
    analysis = copy.deepcopy(ANALYSES[key]["analysis"])
    _forget(analysis, random)
    named = NamedAnalysis("t.wav", "track", analysis)
    check = NumberCheck([named], locale)
    texts = [opening(analysis, filename="t.wav", locale=locale)]
    texts += [answer(question, [named], locale=locale) for question in QUESTIONS]
    for text in texts:
        assert text
        assert "None" not in text
        assert "nan" not in text.split()
        assert not check.untraceable(text)


def _forget(node: Any, random: Any) -> None:
    """Sets about a third of all values to null, in place; what is counted or listed keeps its form."""
    for key, value in node.items():
        if isinstance(value, dict):
            _forget(value, random)
        elif isinstance(value, list):
            for row in value:
                if isinstance(row, dict):
                    _forget(row, random)
        elif key not in ("metric", "name", "mode", "reduced") and random.random() < 0.3:
            node[key] = None
