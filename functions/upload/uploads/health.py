"""Which regions' storage fails: left out for a while, then tried by one upload, and back by itself once that works.

Shared by all instances in the Redis hash `region:health`, region -> `{"failedAt": …, "until": …}` (seconds since 1970),
and remembered here for a moment; without Redis an instance goes by what it has seen itself.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from shared import telemetry

KEY = "region:health"
FIRST_S, LONGEST_S = 10.0, 60.0  # left out for so long; twice as long each time that the trial fails
REMEMBERED_S = 3.0
TRIAL_S = 15  # a trial that is never heard of again is given up


@dataclass(frozen=True)
class Failure:
    failed_at: float
    until: float


class Health:
    def __init__(self, redis: Callable[[], Any], now: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._now = now
        self._lock = threading.Lock()
        self._failures: dict[str, Failure] = {}
        self._trials: dict[str, float] = {}  # region -> until when others of this instance wait for its outcome
        self._read_at = float("-inf")

    def left_out(self) -> frozenset[str]:
        """The regions whose storage failed and whose time is not over."""
        self._refresh()
        with self._lock:
            return frozenset(region for region, failure in self._failures.items() if self._now() < failure.until)

    def may_try(self, region: str) -> bool:
        """Whether an upload may go there: to one that failed, one at a time once its time is over."""
        with self._lock:
            failure = self._failures.get(region)
            if failure is None:
                return True
            if self._now() < max(failure.until, self._trials.get(region, 0.0)):
                return False
            self._trials[region] = self._now() + TRIAL_S
        won = self._ask(lambda redis: redis.set(_trial(region), "1", nx=True, ex=TRIAL_S), unanswered=True)
        return bool(won)

    def failed(self, region: str) -> None:
        """Storage there opened no session."""
        now = self._now()
        with self._lock:
            before = self._failures.get(region)
            if before is not None and now < before.until:
                return  # of those that were under way at the first failure
            left_out_s = FIRST_S if before is None else min(2 * (before.until - before.failed_at), LONGEST_S)
            failure = self._failures[region] = Failure(now, now + left_out_s)
            self._trials.pop(region, None)
        text = json.dumps({"failedAt": round(failure.failed_at), "until": round(failure.until)})
        self._ask(lambda redis: redis.hset(KEY, region, text))
        self._ask(lambda redis: redis.delete(_trial(region)))

    def worked(self, region: str) -> None:
        """Storage there opened a session."""
        with self._lock:
            self._trials.pop(region, None)
            if self._failures.pop(region, None) is None:
                return
        self._ask(lambda redis: redis.hdel(KEY, region))
        self._ask(lambda redis: redis.delete(_trial(region)))

    def _refresh(self) -> None:
        with self._lock:
            if self._now() - self._read_at < REMEMBERED_S:
                return
            self._read_at = self._now()
        found = self._ask(lambda redis: redis.hgetall(KEY))
        if found is None:
            return
        with self._lock:
            self._failures = {region: failure for region, text in found.items() if (failure := _parsed(text))}

    def _ask(self, command: Callable[[Any], Any], unanswered: Any = None) -> Any:
        try:
            return command(self._redis())
        except Exception as error:  # an upload goes on without what others have seen
            telemetry.warning("the regions' health was not shared", error=type(error).__name__)
            return unanswered


@cache
def health() -> Health:
    from shared import clients

    return Health(clients.redis)


def _trial(region: str) -> str:
    return f"{KEY}:trial:{region}"


def _parsed(text: str) -> Failure | None:
    try:
        entry = json.loads(text)
        return Failure(float(entry["failedAt"]), float(entry["until"]))
    except (ValueError, TypeError, KeyError):
        return None
