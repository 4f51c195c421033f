"""Firebase ID tokens: whatever is wrong with one, it is refused with the reason."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from shared import identity
from shared.identity import REFETCH_EVERY_S, Caller, FetchedKeys, KeyRing, verify
from shared.problems import Problem

PROJECT = "prodai-test"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
NOW = 1_800_000_000.0


class KeyServer:
    """Counts its fetches; down when told so."""

    def __init__(self) -> None:
        self.fetches = 0
        self.down = False
        self.keys: dict[str, Any] = {"k1": KEY.public_key()}

    def __call__(self) -> FetchedKeys:
        self.fetches += 1
        if self.down:
            raise ConnectionError("down")
        return FetchedKeys(dict(self.keys), 3600.0)


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def claims(**changes: Any) -> dict[str, Any]:
    whole = {
        "iss": f"https://securetoken.google.com/{PROJECT}",
        "aud": PROJECT,
        "sub": "ana",
        "iat": NOW - 10,
        "auth_time": NOW - 10,
        "exp": NOW + 3600,
    }
    return {key: value for key, value in (whole | changes).items() if value is not None}


def signed(key: Any = KEY, kid: str = "k1", algorithm: str = "RS256", **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers={"kid": kid})


def verified(token: str, *, allow_unsigned: bool = False, keys: KeyRing | None = None) -> Caller:
    ring = keys or KeyRing(KeyServer())
    return verify(token, project=PROJECT, allow_unsigned=allow_unsigned, keys=ring, now=NOW)


def test_a_good_token_names_its_user_and_not_an_operator() -> None:
    caller = verified(signed())
    assert (caller.uid, caller.operator) == ("ana", False)


def test_operators_are_known_by_the_claim_and_by_nothing_like_it() -> None:
    assert verified(signed(operator=True)).operator
    assert not verified(signed(operator="true")).operator
    assert not verified(signed(operator=1)).operator


def test_the_token_does_not_show_in_a_printed_caller() -> None:
    token = signed()
    assert token not in repr(verified(token))


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("garbage", id="garbage"),
        pytest.param("a.b.c", id="three parts of nothing"),
        pytest.param(jwt.encode(claims(), "", algorithm="none"), id="alg none in production"),
        pytest.param(signed(key="x" * 64, algorithm="HS256"), id="HS256"),
        pytest.param(signed(key=OTHER_KEY), id="wrong key"),
        pytest.param(signed(kid="unknown"), id="unknown key id"),
        pytest.param(signed(iss="https://evil.example"), id="wrong issuer"),
        pytest.param(signed(aud="another"), id="wrong audience"),
        pytest.param(signed(exp=NOW - 61), id="expired"),
        pytest.param(signed(exp=None), id="no expiry"),
        pytest.param(signed(iat=NOW + 120), id="issued in the future"),
        pytest.param(signed(auth_time=NOW + 120), id="signed in in the future"),
        pytest.param(signed(sub=""), id="empty subject"),
        pytest.param(signed(sub=None), id="no subject"),
        pytest.param(signed(sub="a/b"), id="subject with a slash"),
    ],
)
def test_a_wrong_token_is_refused(token: str) -> None:
    with pytest.raises(Problem) as raised:
        verified(token)
    assert raised.value.code == "unauthenticated"
    assert token not in str(raised.value)


def test_unsigned_tokens_are_taken_only_in_the_emulators_mode_and_checked_all_the_same() -> None:
    unsigned = jwt.encode(claims(), "", algorithm="none")
    assert verified(unsigned, allow_unsigned=True).uid == "ana"
    with pytest.raises(Problem, match="another project"):
        verified(jwt.encode(claims(aud="x"), "", algorithm="none"), allow_unsigned=True)


def test_a_flood_of_unknown_key_ids_costs_one_fetch_a_minute() -> None:
    server, clock = KeyServer(), Clock()
    ring = KeyRing(server, clock)
    for _ in range(100):
        with pytest.raises(Problem):
            verified(signed(kid="nobody"), keys=ring)
    assert server.fetches == 1
    clock.time += REFETCH_EVERY_S
    with pytest.raises(Problem):
        verified(signed(kid="nobody"), keys=ring)
    assert server.fetches == 2


def test_the_last_good_keys_serve_while_the_key_server_is_down() -> None:
    server, clock = KeyServer(), Clock()
    ring = KeyRing(server, clock)
    verified(signed(), keys=ring)
    server.down = True
    clock.time += 10 * 3600
    assert verified(signed(), keys=ring).uid == "ana"


def test_without_any_key_the_service_says_that_it_is_unavailable_and_not_that_the_token_is_wrong() -> None:
    server = KeyServer()
    server.down = True
    with pytest.raises(Problem) as raised:
        verified(signed(), keys=KeyRing(server, Clock()))
    assert raised.value.code == "unavailable"


def test_a_rotated_key_is_fetched_at_once_after_the_minute() -> None:
    server, clock = KeyServer(), Clock()
    ring = KeyRing(server, clock)
    verified(signed(), keys=ring)
    server.keys = {"k2": OTHER_KEY.public_key()}
    clock.time += REFETCH_EVERY_S
    assert verified(signed(key=OTHER_KEY, kid="k2"), keys=ring).uid == "ana"


def test_while_the_key_server_stalls_nobody_with_a_known_key_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "FETCH_DEADLINE_S", 20.0)
    server, clock, asked, go_on = KeyServer(), Clock(), threading.Event(), threading.Event()

    def stalling() -> FetchedKeys:
        if server.fetches:
            asked.set()
            assert go_on.wait(20)
        return server()

    ring = KeyRing(stalling, clock)
    verified(signed(), keys=ring)
    server.keys["k2"] = OTHER_KEY.public_key()
    clock.time += 3601  # the known key is old
    assert verified(signed(), keys=ring).uid == "ana"
    assert asked.wait(20)
    answered: list[str] = []
    new_key = threading.Thread(target=lambda: answered.append(verified(signed(key=OTHER_KEY, kid="k2"), keys=ring).uid))
    new_key.start()
    for _ in range(5):
        assert verified(signed(), keys=ring).uid == "ana"
    assert answered == []
    go_on.set()
    new_key.join(20)
    assert answered == ["ana"]
    assert server.fetches == 2


def test_whoever_comes_first_and_at_once_waits_for_one_fetch() -> None:
    server, go_on = KeyServer(), threading.Event()

    def slow() -> FetchedKeys:
        assert go_on.wait(20)
        return server()

    ring, answered = KeyRing(slow), list[str]()
    callers = [threading.Thread(target=lambda: answered.append(verified(signed(), keys=ring).uid)) for _ in range(10)]
    for caller in callers:
        caller.start()
    go_on.set()
    for caller in callers:
        caller.join(20)
    assert answered == ["ana"] * 10
    assert server.fetches == 1


def test_a_key_server_that_never_answers_is_waited_for_no_longer_than_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(identity, "FETCH_DEADLINE_S", 0.05)
    never = threading.Event()

    def stalling() -> FetchedKeys:
        never.wait(20)
        raise ConnectionError

    with pytest.raises(Problem) as raised:
        verified(signed(), keys=KeyRing(stalling))
    never.set()
    assert raised.value.code == "unavailable"


def test_an_answer_without_keys_replaces_no_good_ones() -> None:
    server, clock = KeyServer(), Clock()
    ring = KeyRing(server, clock)
    verified(signed(), keys=ring)
    server.keys = {}
    clock.time += 3601
    with pytest.raises(Problem):
        verified(signed(kid="another"), keys=ring)  # waits for the fetch
    assert server.fetches == 2
    assert verified(signed(), keys=ring).uid == "ana"


def trickling(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    with contextlib.suppress(OSError):
        while True:
            connection.sendall(b" ")
            time.sleep(0.01)


def test_keys_that_trickle_are_given_up_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "FETCH_DEADLINE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(identity, "KEYS_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                trickling(connection)

        serving = threading.Thread(target=serve)
        serving.start()
        with pytest.raises(httpx.TimeoutException):
            identity.fetch_keys()
        serving.join(20)
    assert not serving.is_alive()


def test_verifying_with_a_cached_key_fetches_nothing() -> None:
    server = KeyServer()
    ring = KeyRing(server, time.monotonic)
    for _ in range(20):
        verified(signed(), keys=ring)
    assert server.fetches == 1
