"""The cache over Upstash's REST interface: computed once however many ask, old while renewed, a miss when it fails."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from shared import cache, clients, upstash
from tests.contract.conftest import UPSTASH_TOKEN
from tests.contract.part_process import free_port


@pytest.fixture(autouse=True)
def redis(monkeypatch: pytest.MonkeyPatch, upstash_url: str) -> Iterator[Any]:
    client = upstash.client(upstash_url, UPSTASH_TOKEN)
    with upstash.within(60):  # what is tested here are values, on a machine that may be busy
        client.flushall()
        monkeypatch.setattr(clients, "redis", lambda: client)
        yield client
    client.close()  # type: ignore[no-untyped-call]


def test_a_value_is_computed_once_and_then_read(redis: Any) -> None:
    computed: list[int] = []

    def compute() -> dict[str, str]:
        computed.append(1)
        return {"a": "ção"}

    for _ in range(3):
        assert cache.get_or_compute("k", compute) == {"a": "ção"}
    assert len(computed) == 1
    assert cache.get("k") == {"a": "ção"}
    assert cache.get_many(["k", "other"]) == [{"a": "ção"}, None]


def test_large_values_are_compressed_and_too_large_ones_are_not_kept(redis: Any) -> None:
    series = [round(0.1 * i % 7, 1) for i in range(1200)]
    cache.put("series", series)
    assert cache.get("series") == series
    (key,) = redis.keys("cache:*series")
    assert redis.strlen(key) < len(str(series)) / 3
    import random

    cache.put("huge", random.Random(1).randbytes(cache.LARGEST_BYTES).hex())
    assert cache.get("huge") is None


def test_lives_end_a_little_apart(redis: Any) -> None:
    lives = set()
    for number in range(20):
        cache.put(f"k{number}", 1, 100)
        lives.add(redis.pttl(redis.keys(f"cache:*:k{number}")[0]) // 100)
    assert len(lives) > 5
    assert all(890 <= life <= 1000 for life in lives)


def test_an_old_value_is_served_while_one_caller_computes_it_anew_within_one_instance_too() -> None:
    cache.put("k", "old", 30)
    computing, done = threading.Event(), threading.Event()

    def slow() -> str:
        computing.set()
        assert done.wait(20)
        return "new"

    renewing = threading.Thread(target=cache.get_or_compute, args=("k", slow, 200))  # old below 40 s
    renewing.start()
    assert computing.wait(20)
    read: list[str] = []
    others = [
        threading.Thread(target=lambda: read.append(cache.get_or_compute("k", lambda: "unused", 200, patience_s=15)))
        for _ in range(5)
    ]
    for other in others:
        other.start()
    for other in others:
        other.join(10)
    before_it_was_done = list(read)
    done.set()
    renewing.join()
    assert before_it_was_done == ["old"] * 5
    assert cache.get("k") == "new"


def test_nothing_stays_fresh_for_its_own_time_however_long_a_value_would(redis: Any) -> None:
    asked: list[None] = []
    for _ in range(5):
        assert cache.get_or_compute("none", lambda: asked.append(None), ttl_s=36_000, negative_ttl_s=30) is None
    assert len(asked) == 1


def test_what_is_not_json_is_not_kept_and_is_no_error() -> None:
    cache.put("k", {1, 2})
    assert cache.get("k") is None
    for _ in range(2):
        assert cache.get_or_compute("k", lambda: {1, 2}) == {1, 2}
    assert cache.get("k") is None


def test_who_computed_for_longer_than_the_lease_does_not_overwrite_what_is_newer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache, "LEASE_S", 0.05)
    computing, done = threading.Event(), threading.Event()

    def late() -> str:
        computing.set()
        assert done.wait(20)
        return "from before"

    another_instance = cache._Work("k", late, 300, 0)
    late_one = threading.Thread(target=another_instance.done, args=(time.monotonic() + 20,))
    late_one.start()
    assert computing.wait(20)
    time.sleep(0.1)
    assert cache.get_or_compute("k", lambda: "newer", patience_s=20) == "newer"
    done.set()
    late_one.join()
    assert cache.get("k") == "newer"


def test_what_was_forgotten_while_it_was_computed_is_not_kept() -> None:
    def compute() -> str:
        cache.forget("k")  # what it is computed from has just been deleted
        return "of what is deleted"

    assert cache.get_or_compute("k", compute) == "of what is deleted"
    assert cache.get("k") is None


def test_nothing_is_kept_as_nothing_for_its_own_time_or_not_at_all(redis: Any) -> None:
    answers: list[None] = []
    for _ in range(2):
        assert cache.get_or_compute("none", lambda: answers.append(None)) is None
    assert len(answers) == 2
    for _ in range(2):
        assert cache.get_or_compute("known-none", lambda: answers.append(None), negative_ttl_s=30) is None
    assert len(answers) == 3


def test_a_computation_that_fails_gives_its_place_to_the_next() -> None:
    def failing() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cache.get_or_compute("k", failing)
    assert cache.get_or_compute("k", lambda: "second", patience_s=0.1) == "second"


def test_a_caller_that_died_while_computing_holds_nobody_up_beyond_the_lease(
    redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "LEASE_S", 0.3)
    assert cache._Work("k", lambda: None, 0, 0).look().locked
    started = time.monotonic()
    assert cache.get_or_compute("k", lambda: "alive", patience_s=20) == "alive"
    assert time.monotonic() - started < 15


@pytest.mark.parametrize("rubbish", ["{", "z", "zzzz", "z" + "A" * 40, ""])
def test_rubbish_in_the_cache_is_a_miss(redis: Any, rubbish: str) -> None:
    cache.put("k", 1)
    redis.set(redis.keys("cache:*k")[0], rubbish)
    assert cache.get("k") is None


def test_rubbish_in_the_cache_is_computed_anew_at_once(redis: Any) -> None:
    cache.put("k", 1)
    redis.set(redis.keys("cache:*k")[0], "{", ex=300)
    assert cache.get_or_compute("k", lambda: 2, patience_s=60) == 2
    assert cache.get("k") == 2


def test_without_redis_everything_is_a_miss_and_nothing_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    away = upstash.client(f"http://127.0.0.1:{free_port()}", UPSTASH_TOKEN)
    monkeypatch.setattr(clients, "redis", lambda: away)
    cache.put("k", 1)
    cache.forget("k")
    assert cache.get("k") is None
    assert cache.get_many(["a", "b"]) == [None, None]
    computed: list[int] = []

    def compute() -> int:
        computed.append(1)
        time.sleep(0.3)
        return 5

    callers = [threading.Thread(target=cache.get_or_compute, args=("k", compute)) for _ in range(20)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(computed) == 1  # even so, an instance computes a value once at a time
    away.close()  # type: ignore[no-untyped-call]


def test_without_redis_a_computation_that_fails_is_tried_by_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    away = upstash.client(f"http://127.0.0.1:{free_port()}", UPSTASH_TOKEN)
    monkeypatch.setattr(clients, "redis", lambda: away)
    at_work, most, failed = 0, 0, list[str]()
    lock, all_there = threading.Lock(), threading.Barrier(10)

    def failing() -> None:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        time.sleep(0.02)
        with lock:
            at_work -= 1
        raise ValueError("no")

    def ask() -> None:
        all_there.wait(20)
        try:
            cache.get_or_compute("k", failing, patience_s=60)
        except ValueError as error:
            failed.append(str(error))

    callers = [threading.Thread(target=ask) for _ in range(10)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert failed == ["no"] * 10
    assert most == 1
    away.close()  # type: ignore[no-untyped-call]


CALLERS = """
import sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from shared import cache, clients, upstash
client = upstash.client(sys.argv[1], sys.argv[2])
clients.redis = lambda: client
computed = []
def compute():
    computed.append(1)
    time.sleep(0.3)
    return "value"
def ask(_):
    with upstash.within(60):
        return cache.get_or_compute("popular", compute, patience_s=30)
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(250) as pool:
    assert set(pool.map(ask, range(250))) == {"value"}
print(len(computed), flush=True)
"""


def test_a_thousand_callers_in_four_instances_who_miss_at_once_make_one_computation(upstash_url: str) -> None:
    command = [sys.executable, "-c", CALLERS, upstash_url, UPSTASH_TOKEN]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(4)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        computed = 0
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        computed = sum(int(process.communicate(timeout=60)[0].splitlines()[-1]) for process in processes)
    finally:
        for process in processes:
            process.kill()
    assert computed == 1
