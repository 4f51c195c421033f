"""The score: weights, colours and grades of the product's plan, and nothing that rewards a worse track."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.verdict import judge
from analysis.verdict.score import excess, grade, mark, status, total
from tests.unit.results import clipped, loud_master, quiet_acoustic, silence


@pytest.mark.parametrize(
    ("score", "name", "portuguese"),
    [
        (100, "excellent", "excelente"),
        (90, "excellent", "excelente"),
        (89, "good", "bom"),
        (75, "good", "bom"),
        (74, "acceptable", "aceitável"),
        (60, "acceptable", "aceitável"),
        (59, "marked deviations", "desvios marcantes"),
        (40, "marked deviations", "desvios marcantes"),
        (39, "several problems", "vários problemas"),
        (0, "several problems", "vários problemas"),
    ],
)
def test_grades_change_where_the_plan_says(score: int, name: str, portuguese: str) -> None:
    assert (grade(score), grade(score, "pt-BR")) == (name, portuguese)


def test_green_within_the_tolerance_yellow_to_twice_that_red_beyond() -> None:
    assert [status(ratio) for ratio in (0, 1, 1.01, 2, 2.01, 50)] == [
        *("green", "green"),
        *("yellow", "yellow"),
        *("red", "red"),
    ]


def test_a_ceiling_is_missed_only_from_above_and_a_floor_only_from_below() -> None:
    assert excess(-4.0, "ceiling") == 0 == excess(4.0, "floor")
    assert excess(4.0, "ceiling") == 4 == excess(-4.0, "floor") == excess(-4.0, "both")


@given(st.floats(0, 10), st.floats(0, 10))
def test_a_mark_lies_between_0_and_1_and_never_rises_with_the_distance(one: float, other: float) -> None:
    nearer, farther = sorted((one, other))
    assert 0 <= mark(farther) <= mark(nearer) <= 1


def test_all_parts_as_they_should_be_make_a_hundred() -> None:
    weights = {"loudness": 20, "truePeak": 25, "dynamics": 15, "stereo": 10, "frequencies": 20, "technical": 10}
    assert total({part: {"weight": weight, "score": 100.0} for part, weight in weights.items()}) == 100
    assert (
        total({part: {"weight": w, "score": 0.0 if part == "truePeak" else 100.0} for part, w in weights.items()}) == 75
    )


@given(st.floats(0, 12))
def test_lowering_a_hot_true_peak_never_lowers_the_score(cut_db: float) -> None:
    hot, calmer = loud_master(), loud_master()
    hot["loudness"]["truePeakDbtp"] = 4.0
    calmer["loudness"]["truePeakDbtp"] = 4.0 - cut_db
    assert judge(calmer, genre="edm")["score"] >= judge(hot, genre="edm")["score"]


def test_better_tracks_score_higher() -> None:
    scores = [
        judge(quiet_acoustic(), genre="acoustic")["score"],
        judge(loud_master(), genre="edm")["score"],
        judge(clipped(), genre="edm")["score"],
    ]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 75
    assert scores[-1] < 40


def test_parts_that_were_not_measured_leave_the_others_weights_to_count_for_the_whole() -> None:
    result = loud_master()
    del result["stereo"]
    result["spectrum"] = {"bands": None}
    verdict = judge(result, genre="edm")
    assert verdict["parts"]["stereo"] == {"weight": 10, "score": None}
    assert verdict["notes"]["score"] == "stereo, frequencies left out: the other parts, 70 of 100, count for the whole"
    left = [part for part in verdict["parts"].values() if part["score"] is not None]
    assert verdict["score"] == round(sum(part["weight"] * part["score"] for part in left) / 70)


def test_loudness_and_true_peak_alone_are_enough_for_a_score() -> None:
    whole = loud_master()
    assert judge({key: whole[key] for key in ("file", "loudness")})["score"] is not None


def test_silence_gets_no_score_and_says_why() -> None:
    verdict = judge(silence())
    assert (verdict["score"], verdict["grade"], verdict["suggestions"]) == (None, None, [])
    assert verdict["notes"]["score"] == "too little could be measured to judge the track"
