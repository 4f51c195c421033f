"""What an instance measures about itself: buffered here, carried to Redis by the limiter's next call.

In Redis: the hash `tele:{minute}` of integers, with fields `n|NAME` (counts), `s|ENDPOINT|STATUS` (requests) and
`h|NAME|BUCKET` (histograms of milliseconds); the HyperLogLog `active:{minute}` of users; the hash `instances`.
Bucket i holds the values in (GAMMA^(i-1), GAMMA^i] ms, so that a percentile is right within 2 %
(Masson, Rim, Lee: DDSketch, 2019, with gamma = (1 + a) / (1 - a)).
Each batch has a number, and Redis takes a number of an instance once: an answer that was lost counts nothing twice.
A batch is small enough for the limiter's call; what an outage piles up is bounded, and goes in several.
"""

from __future__ import annotations

import json
import math
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType

GAMMA = 1.04
MINUTES_KEPT_S = 7_200
CARRY_EVERY_S = 0.25  # at most; between, requests carry nothing along
CARRY_AGAIN_S = 15.0  # what does not arrive is tried again after longer and longer, up to this
FLUSH_AFTER_S = 5.0  # an event function sends what it has at most so often
BATCH_BYTES = 100_000  # of keys and argument: what a call takes along within its deadline
FIELDS_MOST = 20_000  # over all minutes: what a long outage of Redis may pile up
USERS_MOST = 10_000
PLAN_TTL_S = 300
ROOM_FOR_THE_REST_BYTES = 20_000  # of a batch: the instance's gauges, the keys of 120 minutes
ROOM_PER_TEXT_BYTES = 10  # its amount or place, brackets and commas
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
    made_at: float  # seconds since 1970


class _Minutes:
    """Names with their amounts, by minute; bounded over all minutes, of which the oldest make room for the newest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._minutes: dict[int, Counter[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._minutes)

    def add(self, minute: int, name: str, amount: int = 1) -> None:
        names = self._minutes.get(minute)
        if names is None or name not in names:
            while self._size >= self._most and min(self._minutes) < minute:
                self._drop(min(self._minutes))
            if self._size >= self._most:
                return
            names = self._minutes.setdefault(minute, Counter())
            self._size += 1
        names[name] += amount

    def forget_before(self, minute: int) -> None:
        for old in [known for known in self._minutes if known < minute]:
            self._drop(old)

    def taken(self, room: _Room) -> Iterator[tuple[int, dict[str, int]]]:
        """Takes out what there is room for, the newest first, since alerts are judged by these."""
        for minute in sorted(self._minutes, reverse=True):
            names, taken = self._minutes[minute], dict[str, int]()
            for name in list(names):
                if not room.takes(name):
                    break
                taken[name] = names.pop(name)
            self._size -= len(taken)
            if not names:
                del self._minutes[minute]
            if taken:
                yield minute, taken

    def _drop(self, minute: int) -> None:
        self._size -= len(self._minutes.pop(minute))


class _Room:
    """What still fits into a batch."""

    def __init__(self) -> None:
        self._left = BATCH_BYTES - ROOM_FOR_THE_REST_BYTES

    def takes(self, *texts: str) -> bool:
        needed = sum(len(json.dumps(text)) + ROOM_PER_TEXT_BYTES for text in texts)
        if needed > self._left:
            return False
        self._left -= needed
        return True


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
        self._counts = _Minutes(FIELDS_MOST)
        self._users = _Minutes(USERS_MOST)
        self._plans: dict[str, str] = {}
        self._own_gauges: dict[str, float] = {}
        self._number = 0
        self._unconfirmed: Batch | None = None
        self._failed = 0  # how often this one did not arrive
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
            self._users.add(self._minute(), uid)

    def plan(self, uid: str, plan: str) -> None:
        """Tells the limiter a user's plan, for a while; its table has quotas by plan."""
        with self._lock:
            if uid in self._plans or len(self._plans) < USERS_MOST:
                self._plans[uid] = plan

    def gauge(self, name: str, value: float) -> None:
        with self._lock:
            self._own_gauges[name] = value

    def take(self, *, at_once: bool = False) -> Batch | None:
        """The batch for a call that is about to be made; None where there is nothing, or it is not time."""
        with self._lock:
            now = self._clock()
            if self._under_way or (now - self._carried_at < self._pause_s and not at_once):
                return None
            self._forget_old(now)
            if self._unconfirmed is None and self._waiting:
                self._number += 1
                self._unconfirmed = self._batch(now)
            if self._unconfirmed is not None:
                self._under_way, self._carried_at = True, now
            return self._unconfirmed

    def ended(self, *, arrived: bool) -> None:
        """Tells how the call went; a batch that may not have arrived goes again, under its number."""
        with self._lock:
            self._under_way = False
            self._failed = 0 if arrived else self._failed + 1
            if arrived:
                self._unconfirmed = None

    def old(self) -> bool:
        with self._lock:
            since_s = self._clock() - self._carried_at
            if self._unconfirmed is not None:
                return since_s >= self._pause_s
            return self._waiting and since_s > FLUSH_AFTER_S

    @property
    def _waiting(self) -> bool:
        return bool(self._counts or self._users or self._plans)

    @property
    def _pause_s(self) -> float:
        return min(CARRY_EVERY_S * 2.0 ** min(self._failed, 10), CARRY_AGAIN_S)

    def _forget_old(self, now: float) -> None:
        """What Redis would have forgotten by now is not sent any more."""
        oldest = int((now - MINUTES_KEPT_S) // 60)
        self._counts.forget_before(oldest)
        self._users.forget_before(oldest)
        if self._unconfirmed is not None and now - self._unconfirmed.made_at > MINUTES_KEPT_S:
            self._unconfirmed = None

    def _add(self, name: str, amount: int) -> None:
        with self._lock:
            self._counts.add(self._minute(), name, amount)

    def _minute(self) -> int:
        return int(self._clock() // 60)

    def _batch(self, now: float) -> Batch:
        keys, room = [f"tele:batch:{self._instance}", "instances"], _Room()
        counts: list[object] = []
        for minute, amounts in self._counts.taken(room):
            keys.append(f"tele:{minute}")
            counts.append([len(keys), [part for item in amounts.items() for part in item]])
        users: list[object] = []
        for minute, uids in self._users.taken(room):
            keys.append(f"active:{minute}")
            users.append([len(keys), sorted(uids)])
        plans: list[object] = []
        for uid, plan in self._plans_taken(room):
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
        return Batch(tuple(keys), json.dumps(batch, separators=(",", ":")), now)

    def _plans_taken(self, room: _Room) -> Iterator[tuple[str, str]]:
        for uid, plan in list(self._plans.items()):
            if not room.takes(f"plan:{uid}", plan):
                return
            yield uid, self._plans.pop(uid)


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
    """Sends what is left by calls of its own: when an instance is told to stop. Measuring never harms: no error."""
    if not _made.cache_info().currsize:  # a server's master process measures nothing
        return
    while (batch := observations().take(at_once=True)) is not None:
        if not _sent(batch):
            return


def _sent(batch: Batch) -> bool:
    from shared import clients, telemetry

    arrived = False
    try:
        clients.redis().eval(SCRIPT, keys=list(batch.keys), args=[batch.argument])
        arrived = True
    except Exception as error:
        telemetry.warning("measurements could not be sent", error=type(error).__name__)
    finally:
        observations().ended(arrived=arrived)
    return arrived


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
