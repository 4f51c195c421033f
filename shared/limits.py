"""Rate limits, shared by all instances: one script on Redis judges every policy of a request in one round trip.

Exact sliding windows: a policy of 10 per 60 s lets no 60 s pass with more than 10, which a token bucket or GCRA would
(up to twice as many after a pause). The cost is one number kept per request in the window.
Blocked callers are remembered in the instance and cost no call. Without Redis a local limit serves, strict or wide as
the route has it.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from shared import telemetry
from shared.problems import Problem

SCRIPT = Path(__file__).with_name("limits.lua").read_text(encoding="utf-8")
SCRIPT_SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
REMEMBERED_MOST = 10_000
PROBE_AFTER_S = 1.0  # after a failure, Redis is left alone for this long


@dataclass(frozen=True)
class Policy:
    name: str
    quota: int
    window_s: int


@dataclass(frozen=True)
class Route:
    policies: tuple[Policy, ...]
    without_redis: Policy


@dataclass(frozen=True)
class Standing:
    """Where a caller stands with one policy: what remains, and when the next place frees up."""

    policy: Policy
    remaining: int
    reset_ms: int

    @property
    def reset_s(self) -> int:
        return math.ceil(self.reset_ms / 1000)


@dataclass(frozen=True)
class Decision:
    allowed: bool
    standings: tuple[Standing, ...]
    local: bool = False  # judged without Redis

    @property
    def headers(self) -> dict[str, str]:
        """The fields of the IETF draft `draft-ietf-httpapi-ratelimit-headers`, as structured fields."""
        policies = ", ".join(f'"{s.policy.name}";q={s.policy.quota};w={s.policy.window_s}' for s in self.standings)
        limits = ", ".join(f'"{s.policy.name}";r={s.remaining};t={s.reset_s}' for s in self.standings)
        headers = {"RateLimit-Policy": policies, "RateLimit": limits}
        if self.local:
            headers["Prodai-Limiter"] = "local"
        if not self.allowed:
            headers["Retry-After"] = str(self.retry_after_s)
        return headers

    @property
    def violated(self) -> tuple[Standing, ...]:
        return tuple(s for s in self.standings if s.remaining <= 0)

    @property
    def retry_after_s(self) -> int:
        return max((s.reset_s for s in self.violated), default=1)


class ScriptRunner(Protocol):
    def evalsha(self, sha1: str, keys: list[str], args: list[str]) -> object: ...
    def eval(self, script: str, keys: list[str], args: list[str]) -> object: ...


@cache
def routes() -> Mapping[str, Route]:
    table = json.loads(Path(__file__).with_name("limits.json").read_text(encoding="utf-8"))["routes"]
    return {
        name: Route(
            tuple(Policy(p["name"], p["quota"], p["windowS"]) for p in row["policies"]),
            Policy("local", row["withoutRedis"]["quota"], row["withoutRedis"]["windowS"]),
        )
        for name, row in table.items()
    }


class LocalLimiter:
    """The same sliding windows in this instance's memory, for when Redis does not answer."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def judge(self, policy: Policy, subject: str) -> Decision:
        now = self._now()
        with self._lock:
            times = self._times.setdefault(subject, deque())
            self._times.move_to_end(subject)
            if len(self._times) > REMEMBERED_MOST:
                self._times.popitem(last=False)
            while times and times[0] <= now - policy.window_s:
                times.popleft()
            allowed = len(times) < policy.quota
            if allowed:
                times.append(now)
            reset_ms = math.ceil((times[0] + policy.window_s - now) * 1000) if times else policy.window_s * 1000
            return Decision(allowed, (Standing(policy, policy.quota - len(times), reset_ms),), local=True)


class Limiter:
    def __init__(
        self, runner: Callable[[], ScriptRunner], now: Callable[[], float] = time.monotonic, server_time: bool = True
    ) -> None:
        self._runner = runner
        self._now = now
        self._server_time = server_time
        self._local = LocalLimiter(now)
        self._blocked: OrderedDict[str, tuple[float, Decision]] = OrderedDict()
        self._probe_at = float("-inf")

    def ask(self, route_name: str, subject: str) -> Decision:
        """Judges and counts one request of a subject. Never raises: without Redis the route's local policy decides."""
        route = routes()[route_name]
        remembered = self._remembered(f"{route_name}:{subject}")
        if remembered:
            return remembered
        if self._now() < self._probe_at:
            return self._local.judge(route.without_redis, f"{route_name}:{subject}")
        try:
            decision = self._judge_on_redis(route.policies, subject)
        except Exception as error:  # whatever fails there, the request goes on under the local limit
            self._probe_at = self._now() + PROBE_AFTER_S
            telemetry.warning("the limiter did not answer; the local limit serves", error=type(error).__name__)
            return self._local.judge(route.without_redis, f"{route_name}:{subject}")
        if not decision.allowed:
            self._remember(f"{route_name}:{subject}", decision)
        return decision

    def _judge_on_redis(self, policies: Sequence[Policy], subject: str) -> Decision:
        keys = [f"limit:{policy.name}:{subject}" for policy in policies]
        now_ms = 0 if self._server_time else round(self._now() * 1000)
        args = [str(now_ms)]
        for policy in policies:
            args += [str(policy.quota), str(policy.window_s * 1000)]
        runner = self._runner()
        try:
            answer = runner.evalsha(SCRIPT_SHA, keys, args)
        except Exception as error:
            if "NOSCRIPT" not in str(error):
                raise
            answer = runner.eval(SCRIPT, keys, args)
        return _decision(policies, answer)

    def _remembered(self, key: str) -> Decision | None:
        entry = self._blocked.get(key)
        if entry is None:
            return None
        until, decision = entry
        left_s = until - self._now()
        if left_s <= 0:
            self._blocked.pop(key, None)
            return None
        standings = tuple(Standing(s.policy, s.remaining, math.ceil(left_s * 1000)) for s in decision.standings)
        return Decision(False, standings)

    def _remember(self, key: str, decision: Decision) -> None:
        blocked_for_s = max((s.reset_ms for s in decision.violated), default=0) / 1000
        self._blocked[key] = (self._now() + blocked_for_s, decision)
        while len(self._blocked) > REMEMBERED_MOST:
            self._blocked.popitem(last=False)


def _decision(policies: Sequence[Policy], answer: object) -> Decision:
    if not isinstance(answer, list) or len(answer) != 1 + 2 * len(policies):
        raise ValueError("the limiter's script answered something else")
    numbers = [int(value) for value in answer]
    standings = tuple(Standing(policy, numbers[1 + 2 * i], numbers[2 + 2 * i]) for i, policy in enumerate(policies))
    return Decision(numbers[0] == 1, standings)


@cache
def limiter() -> Limiter:
    from shared import clients

    return Limiter(clients.redis)


def refusal(decision: Decision) -> Problem:
    """The problem for a refused request: `rate-limited`, or `limiter-unavailable` where the local limit refused."""
    wait = decision.retry_after_s
    extensions = {"violated-policies": [s.policy.name for s in decision.violated]}
    if decision.local:
        detail = f"The limiter does not answer, so few requests are taken for now; try again in {wait} s."
        return Problem("limiter-unavailable", detail, extensions, decision.headers)
    quota = decision.violated[0].policy
    detail = f"More than {quota.quota} requests in {quota.window_s} s; try again in {wait} s."
    return Problem("rate-limited", detail, extensions, decision.headers)
