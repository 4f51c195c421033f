"""The catalogue of 120 questions: what `make bench-chat` prints is held here as well."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.chat import Outcome, catalogue, tried


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return [tried(case) for case in catalogue()]


def test_the_catalogue_asks_sixty_questions_a_language_about_twelve_analyses() -> None:
    cases = catalogue()
    assert Counter(case.locale for case in cases) == {"en": 60, "pt-BR": 60}
    assert len({named.name for case in cases for named in case.analyses}) == 12
    assert len({(case.question, case.about) for case in cases}) == 120


def test_the_advisor_is_right_in_at_least_ninety_five_of_a_hundred(outcomes: list[Outcome]) -> None:
    for locale in ("en", "pt-BR"):
        told = [o for o in outcomes if o.case.locale == locale]
        wrong = [f"{o.case.question}: {'; '.join(o.faults)}" for o in told if o.faults]
        assert len(wrong) <= 0.05 * len(told), wrong


def test_no_answer_of_the_catalogue_holds_a_figure_from_nowhere(outcomes: list[Outcome]) -> None:
    assert not [(o.case.question, o.untraceable) for o in outcomes if o.untraceable]


def test_an_answer_is_short_enough_to_be_read(outcomes: list[Outcome]) -> None:
    assert max(len(o.text.split()) for o in outcomes) <= 250
