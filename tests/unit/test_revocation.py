"""Revoked, disabled and deleted users are shut out within five minutes; a lookup that fails shuts nobody out."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import google.auth
import httpx
import pytest

from shared import revocation
from shared import settings as settings_module
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


class Google(http.server.BaseHTTPRequestHandler):
    """Gives tokens at /token, and accounts to whoever shows one."""

    tokens_given = 0

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/token":
            Google.tokens_given += 1
            self._answer({"token": f"token {Google.tokens_given}"})
        elif self.headers["Authorization"] == "Bearer token 1":
            assert json.loads(asked) == {"localId": ["ana"]}
            self._answer({"users": [{"localId": "ana", "disabled": True, "validSince": "1000"}]})

    def _answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Credentials:
    """As google.auth's: a token is fetched with the transport that is handed in, and kept."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._token: str | None = None

    def before_request(self, request: Any, method: str, url: str, headers: dict[str, str]) -> None:
        if self._token is None:
            answer = request(url=f"{self._address}/token", method="POST", body=b"{}", timeout=60)
            self._token = json.loads(answer.data)["token"]
        headers["Authorization"] = f"Bearer {self._token}"


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The addresses for which credentials were looked for; the last one of `toolkit` counts."""
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    monkeypatch.setenv("UPSTASH_REDIS_REST_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("UPSTASH_REDIS_REST_TOKEN", "t")
    monkeypatch.setenv("UPLOAD_BUCKETS", "us=a")
    settings_module.settings.cache_clear()
    revocation._credentials.cache_clear()
    looked_for: list[str] = []

    def default(**_: object) -> tuple[Credentials, str]:
        looked_for.append(revocation.TOOLKIT)
        return Credentials(revocation.TOOLKIT), "p"

    monkeypatch.setattr(google.auth, "default", default)
    yield looked_for
    revocation._transport().http.close()
    revocation._transport.cache_clear()
    revocation._credentials.cache_clear()
    settings_module.settings.cache_clear()


def test_an_account_is_looked_up_with_credentials_and_a_token_that_are_kept(
    found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Google.tokens_given = 0
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Google) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        monkeypatch.setattr(revocation, "TOOLKIT", f"http://127.0.0.1:{server.server_port}")
        accounts = [revocation.look_up("ana") for _ in range(3)]
        server.shutdown()
        serving.join()
    assert accounts == [Account(disabled=True, valid_since=1000.0)] * 3
    assert len(found) == 1
    assert Google.tokens_given == 1


def test_a_token_that_trickles_is_given_up_at_the_deadline_of_the_look_up(
    found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocation, "DEADLINE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(revocation, "TOOLKIT", f"http://127.0.0.1:{listener.getsockname()[1]}")

        def trickle() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while True:
                    connection.sendall(b" ")
                    time.sleep(0.01)

        serving = threading.Thread(target=trickle)
        serving.start()
        with pytest.raises(httpx.TimeoutException):
            revocation.look_up("ana")
        serving.join(20)
    assert not serving.is_alive()
