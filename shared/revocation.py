"""Revoked and disabled users, shut out within five minutes although their ID tokens live for an hour.

Identity Toolkit is asked once per user, instance and five minutes (`accounts:lookup`: `disabled`, and `validSince`,
before which sign-ins no longer count). While it does not answer, a token with a good signature is taken.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from shared import telemetry
from shared.identity import Caller, refused
from shared.settings import settings
from shared.upstash import within

ASKED_EVERY_S = 300.0
ASKED_AGAIN_S = 30.0  # after a failure
REMEMBERED_MOST = 10_000
DEADLINE_S = 2.0
TOOLKIT = "https://identitytoolkit.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/identitytoolkit"


@dataclass(frozen=True)
class Account:
    disabled: bool
    valid_since: float  # seconds since 1970; a sign-in before it is revoked


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    data: bytes


class _Transport:
    """HTTP as google.auth asks for it, within the deadline around the look-up, whatever it is that google.auth fetches.

    What it would try again after a pause is raised: by then the deadline has passed.
    """

    def __init__(self) -> None:
        from shared.upstash_http import SyncHttp

        self.http = SyncHttp()

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **_: object,
    ) -> _Answer:
        answer = self.http.request(method, url, content=body, headers=headers)
        if answer.is_server_error:
            answer.raise_for_status()
        return _Answer(answer.status_code, answer.headers, answer.content)


@cache
def _transport() -> _Transport:
    return _Transport()


@cache
def _credentials() -> Any:
    import google.auth

    transport: Any = _transport()  # which has the form that google.auth asks for, and not its class
    return google.auth.default(scopes=[SCOPE], request=transport)[0]


def look_up(uid: str) -> Account | None:
    """The account as Identity Toolkit has it; None where it has none.

    Raises what the calls raise, that for a token of our own among them, at the latest after DEADLINE_S.
    """
    address = f"{TOOLKIT}/v1/projects/{settings().project}/accounts:lookup"
    headers: dict[str, str] = {}
    transport = _transport()
    with within(DEADLINE_S):
        _credentials().before_request(transport, "POST", address, headers)
        answer = transport.http.post(address, json={"localId": [uid]}, headers=headers)
    answer.raise_for_status()
    users = answer.json().get("users", [])
    return Account(users[0].get("disabled", False), float(users[0].get("validSince", 0))) if users else None


class Revocations:
    """What is known of accounts, each for five minutes."""

    def __init__(self, look_up: Callable[[str], Account | None], now: Callable[[], float] = time.monotonic) -> None:
        self._look_up = look_up
        self._now = now
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[float, Account | None]] = OrderedDict()

    def check(self, caller: Caller) -> None:
        """Raises Problem `unauthenticated` for a user who is disabled, deleted, or signed out everywhere since."""
        account = self._account(caller.uid)
        if account is None or account.disabled:
            raise refused("the account is disabled or deleted")
        if caller.auth_time < account.valid_since:
            raise refused("it was revoked; sign in again")

    def _account(self, uid: str) -> Account | None:
        with self._lock:
            until, account = self._known.get(uid, (float("-inf"), None))
        if self._now() < until:
            return account
        try:
            account, lasts_s = self._look_up(uid), ASKED_EVERY_S
        except Exception as error:  # the signature was good: better let in for a moment than everyone kept out
            telemetry.warning("revoked tokens cannot be looked up", error=type(error).__name__)
            known = until > float("-inf")
            account, lasts_s = account if known else Account(disabled=False, valid_since=0.0), ASKED_AGAIN_S
        with self._lock:
            self._known[uid] = (self._now() + lasts_s, account)
            self._known.move_to_end(uid)
            if len(self._known) > REMEMBERED_MOST:
                self._known.popitem(last=False)
        return account


@cache
def revocations() -> Revocations:
    return Revocations(look_up)
