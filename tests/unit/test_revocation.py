"""Revoked, disabled and deleted users are shut out within five minutes; a lookup that fails shuts nobody out."""

from __future__ import annotations

import pytest

from shared.identity import Caller
from shared.problems import Problem
from shared.revocation import ASKED_AGAIN_S, ASKED_EVERY_S, Account, Revocations

ANA = Caller("ana", "token", auth_time=1000.0)


class IdentityToolkit:
    def __init__(self, account: Account | None) -> None:
        self.account = account
        self.down = False
        self.asked = 0

    def __call__(self, uid: str) -> Account | None:
        self.asked += 1
        if self.down:
            raise ConnectionError
        return self.account


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def shut_out(revocations: Revocations) -> bool:
    try:
        revocations.check(ANA)
    except Problem as problem:
        assert problem.code == "unauthenticated"
        return True
    return False


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        (Account(disabled=False, valid_since=1000.0), False),
        (Account(disabled=False, valid_since=1000.1), True),
        (Account(disabled=True, valid_since=0.0), True),
        (None, True),
    ],
    ids=["in order", "signed out everywhere since", "disabled", "deleted"],
)
def test_who_is_shut_out(account: Account | None, expected: bool) -> None:
    assert shut_out(Revocations(IdentityToolkit(account), Clock())) is expected


def test_a_user_is_looked_up_once_in_five_minutes_and_shut_out_by_then() -> None:
    toolkit, clock = IdentityToolkit(Account(disabled=False, valid_since=0.0)), Clock()
    revocations = Revocations(toolkit, clock)
    assert not any(shut_out(revocations) for _ in range(50))
    assert toolkit.asked == 1
    toolkit.account = Account(disabled=True, valid_since=0.0)
    clock.time += ASKED_EVERY_S
    assert shut_out(revocations)
    assert ASKED_EVERY_S <= 300


def test_while_the_lookup_fails_nobody_new_is_shut_out_and_who_was_stays_out() -> None:
    toolkit, clock = IdentityToolkit(Account(disabled=True, valid_since=0.0)), Clock()
    toolkit.down = True
    revocations = Revocations(toolkit, clock)
    assert not shut_out(revocations)
    toolkit.down = False
    clock.time += ASKED_AGAIN_S
    assert shut_out(revocations)
    toolkit.down = True
    clock.time += ASKED_EVERY_S
    assert shut_out(revocations)
