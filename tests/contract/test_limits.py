"""The limiter's script on a real Redis-compatible server: never above a policy, and refusals use nothing up.

LIMIT_SCHEDULES=10000 tries that many schedules; the suite tries some.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import upstash_ratelimit.limiter
from hypothesis import given, settings
from hypothesis import strategies as st
from upstash_ratelimit import Ratelimit, SlidingWindow
from upstash_redis import Redis

from shared.controls import Controls
from shared.limits import SCRIPT
from shared.observations import Observations
from tests.contract.conftest import UPSTASH_TOKEN
from tests.contract.part_process import eventually

SCHEDULES = int(os.environ.get("LIMIT_SCHEDULES", "60"))
LUA = SCRIPT.partition("\n")[2]  # plain Redis knows nothing of Upstash's first line
KEYS = ["controls", "denied", "plan:ana", "cost:today"]

Rule = tuple[str, object, int]  # key, quota (or quotas by plan), window in ms


@pytest.fixture(scope="module")
def connection(server: Any) -> Iterator[redis.Redis]:
    connected = redis.Redis(host="127.0.0.1", port=server.port)
    yield connected
    connected.close()


@pytest.fixture
def client(connection: redis.Redis) -> redis.Redis:
    connection.flushall()
    return connection


def judge(
    client: redis.Redis, now_ms: int, rules: list[Rule], cost: int = 1, batch: Any = None, user: str = ""
) -> list[Any]:
    """Runs the script; gives verdict, plan, controls, cost, then quota, remaining and wait for each rule."""
    keys = KEYS + [key for key, _, _ in rules] + list(batch.keys if batch else ())
    table = [f"{window_ms} {json.dumps(quota, separators=(',', ':'))}" for _, quota, window_ms in rules]
    args: list[Any] = [now_ms, cost, " ".join(table), batch.argument if batch else "", user, ""]
    answer: Any = client.eval(LUA, len(keys), *keys, *args)
    numbers, plan, controls = answer.decode().split("\n", 2)
    verdict, spent, *standings = numbers.split(" ")
    return [int(verdict), plan, controls, spent, *map(int, standings)]


@settings(max_examples=SCHEDULES, deadline=None)
@given(
    quotas=st.lists(st.tuples(st.integers(1, 6), st.sampled_from([1000, 7000, 60_000])), min_size=1, max_size=3),
    requests=st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 2)), min_size=1, max_size=40),
)
def test_no_window_ever_holds_more_than_the_quota_and_none_is_refused_without_need(
    connection: redis.Redis, quotas: list[tuple[int, int]], requests: list[tuple[int, int]]
) -> None:
    """Against a list of what was allowed: the same verdicts, what remains, and the wait that each refusal names."""
    connection.flushall()
    rules: list[Rule] = [(f"rule {i}", quota, window_ms) for i, (quota, window_ms) in enumerate(quotas)]
    now, allowed = 1_000_000, list[int]()
    for gap, cost in requests:
        now += gap
        used = [[t for t in allowed if t > now - window_ms] for _, window_ms in quotas]
        fits = all(len(times) + cost <= quota for times, (quota, _) in zip(used, quotas, strict=True))
        answer = judge(connection, now, rules, cost)
        assert answer[0] == fits
        if fits:
            allowed += [now] * cost
            used = [[*times, *[now] * cost] for times in used]
        for times, (quota, window_ms), part in zip(used, quotas, range(4, len(answer), 3), strict=True):
            assert answer[part : part + 2] == [quota, quota - len(times)]
            needed = max(1, len(times) + cost - quota) if not fits else 1
            expected = times[min(needed, len(times)) - 1] + window_ms - now if times else window_ms
            assert answer[part + 2] == expected


def test_a_window_of_one_allows_one(client: redis.Redis) -> None:
    answers = [judge(client, now, [("one", 1, 1000)])[0] for now in (5000, 5001, 5999, 6000, 6001)]
    assert answers == [1, 0, 0, 1, 0]


def test_a_request_that_one_policy_refuses_uses_nothing_up_of_another(client: redis.Redis) -> None:
    rules: list[Rule] = [("narrow", 1, 60_000), ("wide", 5, 60_000)]
    assert judge(client, 1000, rules)[0] == 1
    for _ in range(10):
        assert judge(client, 2000, rules)[0] == 0
    assert judge(client, 3000, [("wide", 5, 60_000)])[5] == 3


def test_a_long_list_of_past_requests_is_cut_at_the_right_place(client: redis.Redis) -> None:
    rules: list[Rule] = [("wide", 1000, 1000)]
    for moment in range(500):
        assert judge(client, 10_000 + 2 * moment, rules)[0] == 1
    assert judge(client, 11_500, rules)[4:6] == [1000, 1000 - 249 - 1]
    assert client.llen("wide") == 250


def test_the_quota_is_that_of_the_users_plan_and_as_tight_as_the_operators_have_it(client: redis.Redis) -> None:
    rules: list[Rule] = [("day", {"": 10, "pro": 40}, 60_000)]
    assert judge(client, 1000, rules)[1:6] == ["", "", "0", 10, 9]
    client.set("plan:ana", "pro")
    client.set("cost:today", "1500000")
    client.set("controls", Controls(rate_factor=0.5).as_json())
    answer = judge(client, 1001, rules)
    assert (answer[1], answer[3], answer[4:6]) == ("pro", "1500000", [20, 18])
    client.set("controls", Controls(rate_factor=0.05).as_json())
    assert judge(client, 1002, [("tight", 3, 60_000)])[4] == 1  # never nothing at all


@pytest.mark.parametrize("rubbish", ["", "{", "[]", "7", '{"rateFactor": "x"}', '{"rateFactor": null}'])
def test_controls_that_are_rubbish_tighten_nothing(client: redis.Redis, rubbish: str) -> None:
    client.set("controls", rubbish)
    assert judge(client, 1000, [("rule", 10, 60_000)])[4] == 10


def test_the_denied_are_let_in_nowhere_and_use_nothing_up(client: redis.Redis) -> None:
    client.sadd("denied", "user:eve")
    assert judge(client, 1000, [("rule", 10, 60_000)], user="user:eve")[0] == 2
    assert not client.exists("rule")


def test_a_batch_of_measurements_that_comes_twice_counts_once(client: redis.Redis) -> None:
    observations = Observations("upload/1")
    observations.count("cache.hit", 3)
    observations.present("ana")
    observations.plan("ana", "plus")
    batch = observations.take()
    for moment in (1000, 1001, 1002):
        assert judge(client, moment, [("rule", 10, 60_000)], batch=batch)[1] == "plus"
    minute = next(key for key in (batch.keys if batch else ()) if key.startswith("tele:1") or key.startswith("tele:2"))
    assert client.hgetall(minute) == {b"n|cache.hit": b"3"}
    assert client.pfcount(minute.replace("tele:", "active:")) == 1
    assert set(json.loads(client.hget("instances", "upload/1"))) == {"at", "started", "gauges"}  # type: ignore[arg-type]


@settings(max_examples=max(15, SCHEDULES // 10), deadline=None)
@given(quota=st.integers(1, 5), bursts=st.lists(st.tuples(st.integers(1, 8), st.integers(0, 49_000)), max_size=4))
def test_verdicts_are_those_of_upstash_ratelimit_where_both_promise_the_same(
    connection: redis.Redis, upstash_url: str, quota: int, bursts: list[tuple[int, int]]
) -> None:
    """After an idle window both let exactly the quota in before the window ends."""
    connection.flushall()
    window_ms = 60_000
    rest = Redis(upstash_url, UPSTASH_TOKEN, rest_retries=0)
    oracle = Ratelimit(rest, SlidingWindow(quota, 60), prefix="oracle")
    for number, (size, offset) in enumerate(bursts):
        for step in range(size):
            now = (28_000_000 + 3 * number) * window_ms + offset + step
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(upstash_ratelimit.limiter, "now_ms", lambda now=now: now)
                expected = oracle.limit("ana")
            answer = judge(connection, now, [("ours", quota, window_ms)])
            assert (answer[0] == 1, answer[5]) == (expected.allowed, expected.remaining)
    rest.close()  # type: ignore[no-untyped-call]


def test_times_are_kept_as_long_as_they_count_and_the_list_ends_by_itself(client: redis.Redis) -> None:
    """Lists are given time when they begin and when their oldest leaves: never less than their newest needs."""
    window_ms, now = 300, 1_000_000
    rules: list[Rule] = [("limit:short", 2, window_ms)]
    real = time.monotonic()
    kept: list[int] = []
    for _ in range(8):  # the server's clock ends the list, so this one passes as the script's does
        now = 1_000_000 + round((time.monotonic() - real) * 1000)
        allowed = judge(client, now, rules)[0]
        kept = [t for t in kept if t > now - window_ms] + [now] * allowed
        assert client.llen("limit:short") == len(kept)
        assert client.pttl("limit:short") >= kept[-1] + window_ms - now
        time.sleep(0.11)
    assert eventually(lambda: client.exists("limit:short") == 0, 2 * window_ms / 1000 + 2)


@pytest.mark.parametrize("gone", [1, 2, 3, 7, 8, 9, 63, 64, 99, 100])
def test_however_many_times_have_left_the_window_just_these_are_dropped(client: redis.Redis, gone: int) -> None:
    rules: list[Rule] = [("limit:many", 1000, 1000)]
    for number in range(100):
        judge(client, 1_000_000 + number, rules)
    since = 1_000_000 + gone - 1  # of the last that has left
    assert judge(client, since + 1000, rules)[4:] == [1000, 1000 - (100 - gone) - 1, 1 if gone < 100 else 1000]
    assert client.llen("limit:many") == 100 - gone + 1
