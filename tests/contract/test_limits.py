"""The limiter's script on a real Redis-compatible server: never above the policy, and refusals use nothing up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.limits import SCRIPT, SCRIPT_SHA, Limiter, Policy


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[redis.Redis]:
    connected = redis.Redis(host="127.0.0.1", port=server.port)
    yield connected
    connected.close()


class Runner:
    """The script runner that the limiter expects, over a plain connection."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def evalsha(self, sha1: str, keys: list[str], args: list[str]) -> object:
        try:
            return self._client.evalsha(sha1, len(keys), *keys, *args)
        except redis.exceptions.NoScriptError as error:
            raise RuntimeError("NOSCRIPT No matching script.") from error  # as Upstash words it

    def eval(self, script: str, keys: list[str], args: list[str]) -> object:
        return self._client.eval(script, len(keys), *keys, *args)


def judge(client: redis.Redis, now_ms: int, policies: list[tuple[str, int, int]]) -> list[int]:
    """Runs the script: policies as (key, quota, window in ms)."""
    args = [now_ms] + [number for _, quota, window in policies for number in (quota, window)]
    answer: Any = client.eval(SCRIPT, len(policies), *[key for key, _, _ in policies], *args)
    return [int(value) for value in answer]


@settings(max_examples=60, deadline=None)
@given(
    quota=st.integers(1, 6),
    window_ms=st.sampled_from([1000, 60_000]),
    gaps=st.lists(st.integers(0, 1500), min_size=1, max_size=40),
)
def test_no_window_ever_holds_more_than_the_quota_and_none_is_refused_without_need(
    client: redis.Redis, quota: int, window_ms: int, gaps: list[int]
) -> None:
    client.flushall()
    now, allowed = 1_000_000, list[int]()
    for gap in gaps:
        now += gap * window_ms // 1000
        in_window = [moment for moment in allowed if moment > now - window_ms]
        answer = judge(client, now, [("k", quota, window_ms)])
        assert answer[0] == (len(in_window) < quota)
        if answer[0]:
            allowed.append(now)
            in_window.append(now)
        assert answer[1] == quota - len(in_window)
        assert answer[2] == in_window[0] + window_ms - now


def test_a_window_of_one_allows_one(client: redis.Redis) -> None:
    client.flushall()
    answers = [judge(client, now, [("one", 1, 1000)])[0] for now in (5000, 5001, 5999, 6000, 6001)]
    assert answers == [1, 0, 0, 1, 0]


def test_a_request_that_one_policy_refuses_uses_nothing_up_of_another(client: redis.Redis) -> None:
    client.flushall()
    policies = [("narrow", 1, 60_000), ("wide", 5, 60_000)]
    assert judge(client, 1000, policies)[0] == 1
    for _ in range(10):
        assert judge(client, 2000, policies)[0] == 0
    assert judge(client, 3000, [("wide", 5, 60_000)])[1] == 3


def test_two_hundred_requests_at_once_get_exactly_the_quota(client: redis.Redis) -> None:
    client.flushall()
    limiters = [Limiter(lambda: Runner(client)) for _ in range(4)]  # four instances
    allowed: list[bool] = []

    def ask(limiter: Limiter) -> None:
        allowed.extend([limiter.ask("upload", "ana").allowed for _ in range(5)])

    threads = [threading.Thread(target=ask, args=(limiters[i % 4],)) for i in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(allowed) == 200
    assert sum(allowed) == 10


def test_a_flushed_script_cache_is_survived(client: redis.Redis) -> None:
    client.script_flush()
    assert not Limiter(lambda: Runner(client)).ask("upload", "bob").local
    assert client.script_exists(SCRIPT_SHA) == [True]


def test_keys_are_forgotten_after_their_window(client: redis.Redis) -> None:
    client.flushall()
    Limiter(lambda: Runner(client)).ask("upload", "eve")
    policy = Policy("upload-user", 10, 60)
    assert 0 < client.pttl(f"limit:{policy.name}:eve") <= 60_000
