"""The cases notice a fault in the rules, wherever it is.

Here one in eighty is tried; `make mutations` tries them all, in some minutes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.rules.emulator import RULES, put_rules
from tests.rules.firestore import Firestore
from tests.rules.mutations import Mutant, mutants, survives
from tests.rules.table import CASES

EVERY = 80
SOURCE = RULES.read_text(encoding="utf-8")
MUTANTS = mutants(SOURCE)
names = itertools.count()


@pytest.fixture
def restored(firestore: Firestore) -> Iterator[Firestore]:
    yield firestore
    put_rules(firestore, SOURCE)


def test_every_fault_differs_from_the_rules_and_from_the_others() -> None:
    assert len({mutant.source for mutant in MUTANTS} | {SOURCE}) == len(MUTANTS) + 1
    assert len(MUTANTS) > 500


@pytest.mark.parametrize("mutant", MUTANTS[::EVERY], ids=[mutant.title for mutant in MUTANTS[::EVERY]])
def test_a_fault_is_noticed(mutant: Mutant, restored: Firestore) -> None:
    assert not survives(restored, mutant, CASES, names)


def test_faulty_rules_can_go_unnoticed(restored: Firestore) -> None:
    same = Mutant("nothing changed", SOURCE + "\n", None, loosens=False, words=frozenset())
    assert survives(restored, same, CASES[:50], names)
