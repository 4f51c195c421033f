"""What the advisor promises about its answers, question by question."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.advisor import NamedAnalysis, answer, detect_locale
from assistant.facts import Role
from assistant.replies.music import named_key, neighbouring

ANALYSES: Any = json.loads(
    (Path(__file__).parents[2] / "benchmarks" / "chat_analyses.json").read_text(encoding="utf-8")
)


def named(key: str, role: Role = "track") -> NamedAnalysis:
    return NamedAnalysis(ANALYSES[key]["name"], role, ANALYSES[key]["analysis"])


def ask(question: str, *about: NamedAnalysis, history: tuple[str, ...] = ()) -> str:
    return answer(question, about, locale=None, history=history)


def test_a_small_master_is_explained_by_what_differs_and_what_to_do() -> None:
    text = ask("why does my master sound small next to the reference?", named("edm"), named("edmref", "reference"))
    assert "-12.3 LUFS against -7.6 LUFS (4.7 LU lower)" in text
    assert "4.1 dB lower at equal loudness" in text
    assert "match both at equal loudness" in text
    assert text.index("1. Raise the limiter") < text.index("2. Raise the sub") < text.index("3. Raise the bass")


def test_a_comparison_of_bands_does_not_take_loudness_for_tone() -> None:
    louder = copy.deepcopy(ANALYSES["pop"]["analysis"])
    for band in louder["spectrum"]["bands"]:
        louder["spectrum"]["bands"][band] += 6.0
    reference = NamedAnalysis("ref.wav", "reference", louder)
    assert "band" not in ask("compare it with the reference", named("pop"), reference).split("alike")[0]


def test_in_reference_mode_the_targets_stand_for_a_reference_that_is_not_at_hand() -> None:
    assert "-7.6 LUFS" in ask("compare with my reference", named("edm"))


def test_without_a_reference_the_answer_says_how_to_add_one() -> None:
    assert "Upload the reference" in ask("how do I compare to the reference?", named("pop"))


def test_a_references_own_fault_is_not_to_be_copied() -> None:
    assert "Do not copy the reference's true peak of -0.1 dBTP" in ask(
        "compare with the reference", named("edm"), named("edmref", "reference")
    )


def test_a_question_about_the_reference_is_answered_from_the_reference() -> None:
    text = ask("how loud is the reference?", named("edm"), named("edmref", "reference"))
    assert "Famous Drop" in text
    assert "-7.6 LUFS" in text


def test_two_versions_are_compared_by_what_got_better_and_worse() -> None:
    text = ask("did it improve since the last version?", named("pop"), named("popv1", "previous"))
    better = text.split("**Worse**")[0]
    assert "100 of 100, before 44 of 100" in text
    assert "True peak: 0.9 dBTP → -1.1 dBTP" in better
    worse = ask("did it improve since the last version?", named("popv1"), named("pop", "previous"))
    assert "True peak: -1.1 dBTP → 0.9 dBTP" in worse.split("**Worse**")[1]


def test_a_complaint_that_the_measurements_contradict_is_told_so() -> None:
    text = ask("there is not enough sub, I want more sub", named("baile"))
    assert "say the opposite" in text
    assert "8.3 dB above" in text


def test_a_complaint_that_the_measurements_do_not_show_is_not_confirmed() -> None:
    assert "do not show it" in ask("my mix is muddy", named("pop"))


def test_another_cause_is_named_where_the_thing_itself_is_in_order() -> None:
    text = ask("how do I get more bass?", named("baile"))
    assert "that itself is in order" in text
    assert "low-end correlation 0.62" in text


def test_what_the_finished_file_cannot_show_is_said() -> None:
    assert "cannot say how loud the voice itself is" in ask("are my vocals too quiet?", named("pop"))


@pytest.mark.parametrize(
    ("key", "platform", "wanted"),
    [
        ("pop", "Spotify", "can go to Spotify as it is"),
        ("trance", "Spotify", "Not yet"),
        ("pop", "Amazon Music", "Not yet"),  # its ceiling is 1 dB lower
        ("pop", "the club", "can go to the club"),
        ("acoustic", "beatport", "quieter than its neighbours"),
        ("acoustic", "YouTube", "does not raise"),
        ("acoustic", "Spotify", "leaves room for only 2.8 dB"),
        ("pop", "SoundCloud", "no reliable published target"),
    ],
)
def test_a_platform_is_judged_by_peak_and_loudness(key: str, platform: str, wanted: str) -> None:
    assert wanted in ask(f"is it ready for {platform}?", named(key))


def test_a_follow_up_takes_its_subject_from_the_question_before() -> None:
    text = ask("and how do I fix it?", named("trance"), history=("hi", "is my true peak too high?"))
    assert "Make a limiter with true-peak detection" in text


def test_of_several_tracks_the_one_named_is_meant() -> None:
    assert "-5.9 LUFS" in ask("how loud is the baile one?", named("pop"), named("baile"))
    assert "-9.2 LUFS" in ask("how loud is it?", named("pop"), named("baile"))


def test_a_slip_of_the_finger_is_understood() -> None:
    assert "-11.2 LUFS" in ask("what is my loudnes?", named("trance"))


def test_without_an_analysis_terms_are_still_explained_and_the_rest_asks_for_a_track() -> None:
    assert "no analysis in this conversation" in ask("why this score?")
    assert "oversampling" in ask("what is true peak?")
    assert "-14.0 LUFS" in ask("how loud should it be for Spotify?")


def test_what_a_reduced_analysis_withholds_is_said_and_never_guessed() -> None:
    for question in ("is the bass too wide?", "what key is it?", "bpm?", "what is the dynamic range?"):
        assert "reduced" in ask(question, named("reduced")), question


def test_what_is_not_known_is_said() -> None:
    assert "neither chords nor melody" in ask("what chords are these?", named("pop"))
    assert "I would rather say so than guess" in ask("does the guitar track feel purple?", named("pop"))


@pytest.mark.parametrize(("hour", "letter"), [(h, c) for h in range(1, 13) for c in "AB"])
def test_neighbours_on_the_camelot_wheel_are_mutual(hour: int, letter: str) -> None:
    code = f"{hour}{letter}"
    others = neighbouring(code)
    assert len(set(others)) == 4
    assert all(code in neighbouring(other) for other in others)


def test_keys_have_their_portuguese_names_beside_the_english_ones() -> None:
    assert named_key("F#", "minor", "pt-BR") == "Fá sustenido menor (F# minor)"
    assert named_key("A", "major", "en") == "A major"


@pytest.mark.parametrize(
    ("text", "locale"),
    [
        ("why is my master so quiet?", "en"),
        ("pq minha master ta baixa", "pt-BR"),
        ("LUFS?", "en"),
        ("qual o bpm", "pt-BR"),
        ("parece mono", "pt-BR"),
        ("sounds mono", "en"),
        ("ear fatigue after a minute", "en"),
        ("Está pronta?", "pt-BR"),
        ("", "en"),
    ],
)
def test_the_language_of_a_question_is_seen(text: str, locale: str) -> None:
    assert detect_locale(text) == locale


def test_a_question_that_could_be_either_language_follows_the_conversation() -> None:
    assert "alvo" in ask("true peak?", named("trance"), history=("por que minha nota foi essa?",))


@given(
    st.sampled_from(sorted(ANALYSES)),
    st.sampled_from(["what first?", "por que essa nota?", "is it wide?", "e o grave?"]),
)
def test_the_same_question_gets_the_same_answer(key: str, question: str) -> None:
    assert ask(question, named(key)) == ask(question, named(key))
