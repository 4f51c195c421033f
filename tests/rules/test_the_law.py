"""firestore.rules: who may do what, judged by the real emulator."""

from __future__ import annotations

import itertools

import pytest

from tests.rules import coverage
from tests.rules.emulator import RULES, put_rules
from tests.rules.firestore import Firestore
from tests.rules.matrix import Case
from tests.rules.table import CASES

names = itertools.count()


def new_name() -> str:
    return f"law{next(names)}"


def test_no_two_cases_are_the_same() -> None:
    ids = [case.id for case in CASES]
    assert sorted(set(ids)) == sorted(ids)


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_the_law(case: Case, firestore: Firestore) -> None:
    assert case.is_allowed(firestore, new_name) is case.allowed


def test_the_cases_reach_every_expression_of_the_rules(firestore: Firestore) -> None:
    rules = RULES.read_text(encoding="utf-8")
    allowed_first = sorted(CASES, key=lambda case: not case.allowed)
    count, unreached = coverage.unreached(firestore, lambda: put_rules(firestore, rules), allowed_first, new_name)
    assert count > 600
    assert unreached == []
