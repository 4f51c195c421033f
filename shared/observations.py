"""What an instance measures about itself: buffered here, carried to Redis by the limiter's next call.

In Redis: the hash `tele:{minute}` of integers, with fields `n|NAME` (counts), `s|ENDPOINT|STATUS` (requests) and
`h|NAME|BUCKET` (histograms of milliseconds); the HyperLogLog `active:{minute}` of users; the hash `instances`.
Bucket i holds the values in (GAMMA^(i-1), GAMMA^i] ms, so that a percentile is right within 2 %
(Masson, Rim, Lee: DDSketch, 2019, with gamma = (1 + a) / (1 - a)).
Each batch has a number, and Redis takes a number of an instance once: an answer that was lost counts nothing twice.
"""

from __future__ import annotations

import json
import math
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType

GAMMA = 1.04
MINUTES_KEPT_S = 7_200
CARRY_EVERY_S = 0.25  # at most; between, requests carry nothing along
FLUSH_AFTER_S = 5.0  # an event function sends what it has at most so often
FIELDS_MOST = 2_000  # what a long outage of Redis may pile up
USERS_MOST = 5_000
PLAN_TTL_S = 300
ONLY_DECLARED_KEYS = "#!lua flags=allow-key-locking\n"  # Upstash locks the script's keys, not the whole database
TAKE_BATCH = Path(__file__).with_name("take_batch.lua").read_text(encoding="utf-8")
SCRIPT = f"{ONLY_DECLARED_KEYS}{TAKE_BATCH}\ntake_batch(ARGV[1], 1)\nreturn 1\n"

_LOG_GAMMA = math.log(GAMMA)


def bucket_of(milliseconds: float) -> int:
    return 0 if milliseconds <= 1 else math.ceil(math.log(milliseconds) / _LOG_GAMMA - 1e-9)


def bucket_value(bucket: int) -> float:
    """The value in milliseconds that stands for all of a bucket: within 2 % of each."""
    return 1.0 if bucket == 0 else 2 * GAMMA**bucket / (GAMMA + 1)


@dataclass(frozen=True)
class Batch:
    """What one call carries: the keys it touches, and one argument for the script."""

    keys: tuple[str, ...]
    argument: str


@dataclass
class _Buffer:
    counts: dict[int, Counter[str]] = field(default_factory=dict)  # minute -> field -> amount
    users: dict[int, set[str]] = field(default_factory=dict)
    plans: dict[str, str] = field(default_factory=dict)
    oldest: float | None = None

    def add(self, minute: int, name: str, amount: int) -> None:
        counter = self.counts.setdefault(minute, Counter())
        if name in counter or len(counter) < FIELDS_MOST:
            counter[name] += amount


class Observations:
    """One per process. Thread-safe; a batch is under way at most once at a time."""

    def __init__(
        self,
        instance: str,
        gauges: Callable[[], Mapping[str, float]] = dict,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._instance = instance
        self._gauges = gauges
        self._clock = clock
        self._started = clock()
        self._lock = threading.Lock()
        self._buffer = _Buffer()
        self._own_gauges: dict[str, float] = {}
        self._number = 0
        self._unconfirmed: Batch | None = None
        self._under_way = False
        self._carried_at = float("-inf")

    def count(self, name: str, amount: int = 1) -> None:
        self._add(f"n|{name}", amount)

    def timing(self, name: str, duration_ms: float) -> None:
        self._add(f"h|{name}|{bucket_of(duration_ms)}", 1)

    def request(self, endpoint: str, status: int, duration_ms: float) -> None:
        self._add(f"s|{endpoint}|{status}", 1)
        self.timing(endpoint, duration_ms)

    def present(self, uid: str) -> None:
        with self._lock:
            users = self._buffer.users.setdefault(self._minute(), set())
            if len(users) < USERS_MOST:
                users.add(uid)
            self._aged()

    def plan(self, uid: str, plan: str) -> None:
        """Tells the limiter a user's plan, for a while; its table has quotas by plan."""
        with self._lock:
            if len(self._buffer.plans) < USERS_MOST:
                self._buffer.plans[uid] = plan
            self._aged()

    def gauge(self, name: str, value: float) -> None:
        with self._lock:
            self._own_gauges[name] = value

    def take(self, *, at_once: bool = False) -> Batch | None:
        """The batch for a call that is about to be made; None where there is nothing, or it is not time."""
        with self._lock:
            now = self._clock()
            if self._under_way or (now - self._carried_at < CARRY_EVERY_S and not at_once):
                return None
            if self._unconfirmed is None and self._buffer.oldest is not None:
                self._number += 1
                self._unconfirmed = self._batch(now)
                self._buffer = _Buffer()
            if self._unconfirmed is not None:
                self._under_way, self._carried_at = True, now
            return self._unconfirmed

    def ended(self, *, arrived: bool) -> None:
        """Tells how the call went; a batch that may not have arrived goes again, under its number."""
        with self._lock:
            self._under_way = False
            if arrived:
                self._unconfirmed = None

    def old(self) -> bool:
        with self._lock:
            if self._unconfirmed is not None:
                return True
            return self._buffer.oldest is not None and self._clock() - self._carried_at > FLUSH_AFTER_S

    def _add(self, name: str, amount: int) -> None:
        with self._lock:
            self._buffer.add(self._minute(), name, amount)
            self._aged()

    def _aged(self) -> None:
        if self._buffer.oldest is None:
            self._buffer.oldest = self._clock()

    def _minute(self) -> int:
        return int(self._clock() // 60)

    def _batch(self, now: float) -> Batch:
        keys = [f"tele:batch:{self._instance}", "instances"]
        counts: list[object] = []
        for minute, counter in self._buffer.counts.items():
            keys.append(f"tele:{minute}")
            counts.append([len(keys), [part for item in counter.items() for part in item]])
        users: list[object] = []
        for minute, uids in self._buffer.users.items():
            keys.append(f"active:{minute}")
            users.append([len(keys), sorted(uids)])
        plans: list[object] = []
        for uid, plan in self._buffer.plans.items():
            keys.append(f"plan:{uid}")
            plans.append([len(keys), plan])
        instance = {"at": now, "started": self._started, "gauges": {**self._gauges(), **self._own_gauges}}
        batch = {
            "number": self._number,
            "counts": counts,
            "users": users,
            "plans": plans,
            "instance": [self._instance, json.dumps(instance)],
            "ttl": MINUTES_KEPT_S,
            "planTtl": PLAN_TTL_S,
        }
        return Batch(tuple(keys), json.dumps(batch, separators=(",", ":")))


_one_at_a_time = threading.Lock()


def observations() -> Observations:
    """This process's own: the first requests, which may come at once, get the same."""
    with _one_at_a_time:
        return _made()


@cache
def _made() -> Observations:
    import os

    from shared import vitals

    service = os.environ.get("K_SERVICE") or os.environ.get("FUNCTION_TARGET", "function")
    made = Observations(f"{service}/{secrets.token_hex(4)}", vitals.sample)
    made.count(f"cold.{service}")
    return made


def count(name: str, amount: int = 1) -> None:
    observations().count(name, amount)


def timing(name: str, duration_ms: float) -> None:
    observations().timing(name, duration_ms)


def request(endpoint: str, status: int, duration_ms: float) -> None:
    observations().request(endpoint, status, duration_ms)


def present(uid: str) -> None:
    observations().present(uid)


def plan(uid: str, name: str) -> None:
    observations().plan(uid, name)


def gauge(name: str, value: float) -> None:
    observations().gauge(name, value)


def flush() -> None:
    """Sends what is left by a call of its own: when an instance is told to stop. Measuring never harms: no error."""
    from shared import clients, telemetry

    measured = _made.cache_info().currsize  # a server's master process measures nothing
    batch = observations().take(at_once=True) if measured else None
    if batch is None:
        return
    arrived = False
    try:
        clients.redis().eval(SCRIPT, keys=list(batch.keys), args=[batch.argument])
        arrived = True
    except Exception as error:
        telemetry.warning("measurements could not be sent", error=type(error).__name__)
    finally:
        observations().ended(arrived=arrived)


@cache
def flush_on_sigterm() -> None:
    """For asynchronous functions: uvicorn lets the signal end the process after its own shutdown, without `atexit`."""
    import signal

    previous = signal.getsignal(signal.SIGTERM)
    if not callable(previous) or threading.current_thread() is not threading.main_thread():
        return

    def told_to_stop(number: int, frame: FrameType | None) -> None:
        flush()
        previous(number, frame)

    signal.signal(signal.SIGTERM, told_to_stop)


def flush_old() -> None:
    """For event functions, whose requests make no call of the limiter: sends what there is, now and then."""
    if observations().old():
        flush()
