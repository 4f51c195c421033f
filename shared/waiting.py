"""The order in which tracks are analysed: by plan with ageing, fair between users, kept on Redis by one script.

A better plan is a head start in time: a job goes before those queued up to `AGEING_S` per point of priority earlier.
So whoever waits is passed only by jobs queued within that head start after it (a free job by pro jobs of the first
5 minutes), and by nobody's later: no job starves. Of one user at most `PER_USER` are at work, of all ANALYSES_AT_ONCE.

The truth is Firestore. Were Redis wiped, nothing but the order and the counts of operators would be lost, and the
sweep builds the order anew. What is told to Redis is told on a best effort; only `take`, and what the sweep asks, raise
`Unavailable`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

from shared import telemetry
from shared.plans import plans
from shared.settings import settings

SCRIPT = Path(__file__).with_name("waiting.lua").read_text(encoding="utf-8")
SCRIPT_SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
KEY = "{waiting}"
AGEING_S = 30  # what one point of a plan's priority is worth
PER_USER = 2
LEASE_S = 10.0
ATTEMPTS_MOST = 5
ENTRIES_MOST = 2000


class Unavailable(Exception):  # noqa: N818
    """Redis does not answer; what can be done under Firestore's lease alone, goes on."""


@dataclass(frozen=True)
class Job:
    track_id: str
    uid: str
    plan: str
    queued_at: datetime
    attempts: int = 0

    @property
    def _queued_ms(self) -> int:
        return round(self.queued_at.timestamp() * 1000)

    @property
    def arguments(self) -> list[str]:
        """As the script takes a job: id, uid, score, queued at in ms, attempts. The lowest score is the first."""
        plan = plans().get(self.plan) or plans()["free"]
        score = self._queued_ms - plan.priority * AGEING_S * 1000
        return [self.track_id, self.uid, str(score), str(self._queued_ms), str(self.attempts)]


@dataclass(frozen=True)
class Taken:
    track_id: str
    attempt: int


@dataclass(frozen=True)
class Idle:
    """There is nothing to take now.

    comes_in_s: until a delay or a silent worker's lease ends, when no worker may look again by itself. None: nothing
    waits, or those at work take it when they are done.
    """

    comes_in_s: float | None


@dataclass(frozen=True)
class Place:
    """position: 1 is next. eta_s: the expected wait, by the measured duration of analyses."""

    position: int
    eta_s: int


@dataclass(frozen=True)
class Depth:
    waiting: int
    running: int
    oldest_age_s: float


class ScriptRunner(Protocol):
    def evalsha(self, sha1: str, keys: list[str], args: list[str]) -> Any: ...
    def eval(self, script: str, keys: list[str], args: list[str]) -> Any: ...


class Waiting:
    def __init__(
        self, runner: Callable[[], ScriptRunner], slots: int, now_ms: Callable[[], int] = lambda: 0, key: str = KEY
    ) -> None:
        """slots: how many run at once in all. now_ms: 0 is the server's own time."""
        self._runner = runner
        self._slots = slots
        self._now_ms = now_ms
        self._key = key

    def add(self, track_id: str, uid: str, plan: str, queued_at: datetime, attempts: int = 0) -> bool:
        """Puts a track into the order. False where it stands there already, or Redis is gone."""
        answer = self._told("add", *Job(track_id, uid, plan, queued_at, attempts).arguments)
        return bool(answer == [1])

    def add_all(self, jobs: Sequence[Job]) -> list[bool]:
        """For each job whether it was missing in the order. Raises Unavailable."""
        if not jobs:
            return []
        return [added == 1 for added in self._ask("add", *(text for job in jobs for text in job.arguments))]

    def take(self, holder: str) -> Taken | Idle:
        """The best job that the limits allow, under a lease. The same holder gets the same job until it has left it, so
        a take whose answer was lost may be repeated. Raises Unavailable."""
        lease_ms = str(round(LEASE_S * 1000))
        answer = self._ask("take", holder, str(self._slots), str(PER_USER), lease_ms, str(ATTEMPTS_MOST))
        if answer[0]:
            return Taken(answer[0], int(answer[1]))
        return Idle(answer[1] / 1000 if answer[1] >= 0 else None)

    def beat(self, job: Job, holder: str, progress: int) -> bool:
        """Extends the lease. False where another one holds the job, or Redis is gone: Firestore's lease decides."""
        lease_ms = str(round(LEASE_S * 1000))
        return bool(self._told("beat", holder, str(progress), lease_ms, *job.arguments) == 1)

    def finish(self, track_id: str, how: Literal["analysed", "reused"] = "analysed") -> None:
        """The track is done. Only an analysis counts for the expected wait."""
        self._told("finish", track_id, how)

    def fail(self, track_id: str, reason: str) -> None:
        """The track has failed for good."""
        self._told("fail", track_id, reason[:200])

    def retry(self, track_id: str, holder: str, delay_s: float, *, counts: bool = True) -> None:
        """The job may be taken again after a delay. The last attempt that fails takes it out of the order."""
        delay_ms = str(round(delay_s * 1000))
        self._told("retry", track_id, holder, delay_ms, str(ATTEMPTS_MOST), "1" if counts else "0")

    def cancel(self, track_id: str) -> None:
        """The track leaves the order, for whatever reason."""
        self._told("cancel", track_id)

    def place(self, track_id: str) -> Place | None:
        """None where the track does not wait, or Redis is gone."""
        answer = self._told("place", track_id, str(self._slots), str(PER_USER))
        return Place(int(answer[0]), -(-int(answer[1]) // 1000)) if answer else None

    def depth(self) -> Depth:
        """Raises Unavailable."""
        waiting, running, oldest_ms = self._ask("depth")
        return Depth(int(waiting), int(running), int(oldest_ms) / 1000)

    def entries(self) -> list[str]:
        """The tracks in the order, at work or waiting, the oldest first, at most 2000. Raises Unavailable."""
        return list(self._ask("entries", str(ENTRIES_MOST)))

    def ended(self) -> Mapping[str, list[dict[str, Any]]]:
        """The last 100 that were done and the last 50 that failed, newest first. Raises Unavailable."""
        done, failed = self._ask("ended")
        return {"done": [json.loads(text) for text in done], "failed": [json.loads(text) for text in failed]}

    def _told(self, operation: str, *arguments: str) -> Any:
        try:
            return self._ask(operation, *arguments)
        except Unavailable as error:
            telemetry.warning(f"the order of waiting tracks was not told: {error}", operation=operation)
            return None

    def _ask(self, operation: str, *arguments: str) -> Any:
        args = [operation, str(self._now_ms()), *arguments]
        try:
            runner = self._runner()
            try:
                return runner.evalsha(SCRIPT_SHA, [self._key], args)
            except Exception as error:
                if "NOSCRIPT" not in str(error):
                    raise
                return runner.eval(SCRIPT, [self._key], args)
        except Exception as error:
            raise Unavailable(f"{type(error).__name__}: {str(error)[:200]}") from error


@cache
def queue() -> Waiting:
    from shared import clients

    return Waiting(clients.redis, settings().analyses_at_once)
