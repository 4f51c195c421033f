"""Rate limits, shared by all instances: one script on Redis judges every policy of a request in one round trip.

Exact sliding windows: a policy of 10 per 60 s lets no 60 s pass with more than 10. A token bucket or GCRA would let up
to twice as many through after a pause, a window of two weighted halves (as `upstash_ratelimit` has it) some more or
less than the quota. The price is one number kept per request in the window; judging costs the logarithm of that.

The same call brings the operators' controls and the user's plan, and takes along what the instance measured. Blocked
callers are remembered in the instance and cost no call. Without Redis a local limit serves, strict or wide as the
route has it. The steps are written once, as a generator that asks for one command at a time; two small drivers,
synchronous and asynchronous, run the commands.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import NamedTuple, Protocol

from shared import controls, telemetry, upstash
from shared.breaker import Breaker
from shared.local_limiter import LocalLimiter
from shared.observations import ONLY_DECLARED_KEYS, TAKE_BATCH, Batch, Observations
from shared.policies import Policy, Route, routes
from shared.problems import Problem
from shared.turns import NoTurnError, Turns

SCRIPT = ONLY_DECLARED_KEYS + TAKE_BATCH + Path(__file__).with_name("limits.lua").read_text(encoding="utf-8")
SCRIPT_SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
FAILURES_MOST = 3  # in a row; then Redis is left alone
PROBE_AFTER_S = 1.0
CALLS_AT_ONCE = 128  # of an asynchronous instance: who waits for its turn here is not waiting for Redis
TURN_WITHIN_S = 0.5  # whoever gets no turn by then is judged locally
REMEMBERED_MOST = 10_000
REMEMBERED_S = 60.0  # longer blocks are asked for again, since operators may have lifted them
DENIED_S = 60
_ALLOWED, _REFUSED, _DENIED = _VERDICTS = "1", "0", "2"  # as limits.lua has them
FAILED_TOKENS = Policy("failed-tokens", 100, 60, "address")  # as much as an address may upload or ask


class Standing(NamedTuple):
    """Where a caller stands with one policy: what remains, and when the next place frees up."""

    policy: Policy
    quota: int  # by plan, and as far as the operators have tightened it
    remaining: int
    reset_ms: int

    @property
    def reset_s(self) -> int:
        return -(-self.reset_ms // 1000)


class Decision(NamedTuple):
    allowed: bool
    standings: tuple[Standing, ...]
    cost: int = 1
    local: bool = False  # judged without Redis
    denied: bool = False  # on the operators' list
    plan: str | None = None  # as far as the limiter knows

    @property
    def headers(self) -> dict[str, str]:
        """The fields of the IETF draft `draft-ietf-httpapi-ratelimit-headers`, as structured fields.

        The quota of the whole service is nobody's business until it is what refuses.
        """
        shown = [s for s in self.standings if s.policy.per != "service" or s in self.violated]
        headers: dict[str, str] = {}
        if shown:
            quotas = [f'"{s.policy.name}";q={s.quota};w={s.policy.window_s}' for s in shown]
            left = [f'"{s.policy.name}";r={s.remaining};t={s.reset_s}' for s in shown]
            headers |= {"RateLimit-Policy": ", ".join(quotas), "RateLimit": ", ".join(left)}
        if self.local:
            headers["Prodai-Limiter"] = "local"
        if not self.allowed:
            headers["Retry-After"] = str(self.retry_after_s)
        return headers

    @property
    def violated(self) -> tuple[Standing, ...]:
        return () if self.allowed else tuple(s for s in self.standings if s.remaining < self.cost)

    @property
    def retry_after_s(self) -> int:
        return max((s.reset_s for s in self.violated), default=DENIED_S if self.denied else 1)


class Question(NamedTuple):
    """One request that asks to be let in: its route, and whom each kind of policy judges."""

    route: Route
    user: str | None
    address: str | None
    judged: Sequence[tuple[Policy, str]]  # the policies that have a subject here, each with its key

    @property
    def everyone(self) -> str:
        """Who is asking, for the local limit."""
        return f"{self.route.name}:{self.user or self.address or 'unknown'}"

    @property
    def denial(self) -> str:
        return f"denied:{self.user}:{self.address}"


def _question(name: str, user: str | None, address: str | None) -> Question:
    route = routes()[name]
    subjects = {"user": user, "address": address, "service": "all"}
    judged = [(policy, policy.key_prefix + subject) for policy in route.policies if (subject := subjects[policy.per])]
    return Question(route, user, address, judged)


class Command(NamedTuple):
    """What a driver is to run: a script by its digest, or whole."""

    keys: list[str]
    args: list[str]
    whole: bool = False


Steps = Generator[Command, object, Decision]


class ScriptRunner(Protocol):
    def evalsha(self, sha1: str, keys: list[str], args: list[str]) -> object: ...
    def eval(self, script: str, keys: list[str], args: list[str]) -> object: ...


class AsyncScriptRunner(Protocol):
    def evalsha(self, sha1: str, keys: list[str], args: list[str]) -> Awaitable[object]: ...
    def eval(self, script: str, keys: list[str], args: list[str]) -> Awaitable[object]: ...


class Limiter:
    def __init__(
        self,
        runner: Callable[[], ScriptRunner],
        now: Callable[[], float] = time.monotonic,
        observations: Observations | None = None,
        async_runner: Callable[[], AsyncScriptRunner] | None = None,
    ) -> None:
        self._runner = runner
        self._async_runner = async_runner
        self._now = now
        self._observations = observations or Observations("unnamed")
        self._breaker = Breaker(FAILURES_MOST, PROBE_AFTER_S, now)
        self._local = LocalLimiter(now)
        self._failures = LocalLimiter(now)
        self._blocked = _Blocked(now)
        self._turns = Turns(CALLS_AT_ONCE, TURN_WITHIN_S)

    def ask(self, route: str, user: str | None, address: str | None = None) -> Decision:
        """Judges and counts one request. Never raises: without Redis the route's local policy decides."""
        steps = self._steps(_question(route, user, address))
        try:
            command = next(steps)
            _make(self._runner)
            with upstash.one_deadline():
                while True:
                    try:
                        answer = self._run(command)
                    except Exception as error:
                        command = steps.throw(error)
                    else:
                        command = steps.send(answer)
        except StopIteration as end:
            return _decided(end)

    async def ask_async(self, route: str, user: str | None, address: str | None = None) -> Decision:
        """As `ask`, for the asynchronous functions."""
        question = _question(route, user, address)
        blocked = self._known(question)
        if blocked is not None:
            return blocked
        try:
            return await self._turns.take(partial(self._drive_async, question))
        except NoTurnError:
            return self._locally(question)

    def failed(self, address: str | None) -> Decision:
        """Judges and counts a request whose ID token was refused: in this instance alone, so that it costs no call."""
        allowed, remaining, reset_ms = self._failures.judge(FAILED_TOKENS, address or "unknown")
        return Decision(allowed, (Standing(FAILED_TOKENS, FAILED_TOKENS.quota, remaining, reset_ms),))

    async def _drive_async(self, question: Question) -> Decision:
        steps = self._steps(question)
        try:
            command = next(steps)
            _make(self._made_async)
            with upstash.one_deadline():
                while True:
                    try:
                        answer = await self._run_async(command)
                    except Exception as error:
                        command = steps.throw(error)
                    else:
                        command = steps.send(answer)
        except StopIteration as end:
            return _decided(end)
        finally:
            steps.close()

    def _run(self, command: Command) -> object:
        runner = self._runner()
        if command.whole:
            return runner.eval(SCRIPT, command.keys, command.args)
        return runner.evalsha(SCRIPT_SHA, command.keys, command.args)

    def _made_async(self) -> AsyncScriptRunner:
        if self._async_runner is None:
            raise RuntimeError("this limiter has no asynchronous client")
        return self._async_runner()

    def _run_async(self, command: Command) -> Awaitable[object]:
        runner = self._made_async()
        if command.whole:
            return runner.eval(SCRIPT, command.keys, command.args)
        return runner.evalsha(SCRIPT_SHA, command.keys, command.args)

    def _known(self, question: Question) -> Decision | None:
        """The refusal of a caller who is remembered as blocked."""
        blocked = self._blocked.decision(question)
        if blocked is not None:
            self._observations.count("limiter.blocked")
        return blocked

    def _steps(self, question: Question) -> Steps:
        blocked = self._known(question)
        if blocked is not None:
            return blocked
        probing = self._breaker.open
        if not self._breaker.allows():
            return self._locally(question)
        batch = None if probing else self._observations.take()
        arrived = False
        try:
            answer = yield from _answer(question, batch)
            decision = _decision(question, answer)
            arrived = True
        except Exception as error:  # whatever fails there, the request goes on under the local limit
            self._breaker.failed()
            telemetry.warning("the limiter did not answer; the local limit serves", error=type(error).__name__)
            return self._locally(question)
        finally:
            if batch is not None:
                self._observations.ended(arrived=arrived)
        self._breaker.succeeded()
        self._observations.count("limiter.allowed" if decision.allowed else "limiter.refused")
        if not decision.allowed:
            self._blocked.remember(question, decision)
        return decision

    def _locally(self, question: Question) -> Decision:
        policy = question.route.without_redis
        allowed, remaining, reset_ms = self._local.judge(policy, question.everyone)
        self._observations.count("limiter.local")
        return Decision(allowed, (Standing(policy, policy.quota, remaining, reset_ms),), local=True)


def _make(runner: Callable[[], object]) -> None:
    """Makes the client before the deadline begins: its imports take longer. Where that fails, the call says why."""
    try:
        runner()
    except Exception:
        return


def _decided(end: StopIteration) -> Decision:
    decision: Decision = end.value
    return decision


def _answer(question: Question, batch: Batch | None) -> Generator[Command, object, object]:
    command = _command(question, batch)
    try:
        return (yield command)
    except Exception as error:
        if "NOSCRIPT" not in str(error):
            raise
    return (yield command._replace(whole=True))


def _command(question: Question, batch: Batch | None) -> Command:
    user, address, judged = question.user, question.address, question.judged
    keys = [controls.KEY, controls.DENIED_KEY, f"plan:{user}", _cost_key(int(time.time() // 86_400))]
    keys += [key for _, key in judged]
    if batch is not None:
        keys += batch.keys
    policies = " ".join([policy.argument for policy, _ in judged])
    denied = [f"user:{user}" if user else "", f"address:{address}" if address else ""]
    return Command(keys, ["0", str(question.route.cost), policies, batch.argument if batch else "", *denied])


@lru_cache(maxsize=1)
def _cost_key(day: int) -> str:
    """The key of what models cost on a day, counted from 1970 (UTC)."""
    return controls.cost_key(time.strftime("%Y%m%d", time.gmtime(day * 86_400)))


def _decision(question: Question, answer: object) -> Decision:
    """What the script's answer means. Raises ValueError for what is no answer of it."""
    first, plan, brought = str(answer).split("\n", 2)
    verdict, spent, *numbers = first.split(" ")
    if verdict not in _VERDICTS:
        raise ValueError("the limiter's script gave no verdict")
    controls.saw(brought, spent)
    if verdict == _DENIED:
        return Decision(False, (), denied=True, plan=plan or None)
    values = [int(number) for number in numbers]
    policies = [policy for policy, _ in question.judged]
    columns = zip(policies, values[::3], values[1::3], values[2::3], strict=True)  # raises for another number of them
    standings = tuple([Standing(*column) for column in columns])
    return Decision(verdict == _ALLOWED, standings, question.route.cost, plan=plan or None)


@dataclass(frozen=True)
class _Block:
    until: float  # asked again then, since operators may have lifted it
    resets_at: float
    standing: Standing | None  # with the policy that refused; None for the denied
    controls_version: int


class _Blocked:
    """The callers whom Redis refused, until the moment when it would let them in again.

    Each policy's key has its own moment, since an address is shared. Newer controls may have lifted any block.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._blocks: OrderedDict[str, _Block] = OrderedDict()

    def decision(self, question: Question) -> Decision | None:
        if not self._blocks:
            return None
        if self._block(question.denial) is not None:
            return Decision(False, (), denied=True)
        found = [self._standing(self._block(key), question.route.cost) for _, key in question.judged]
        standings = tuple(standing for standing in found if standing is not None)
        return Decision(False, standings, question.route.cost) if standings else None

    def remember(self, question: Question, decision: Decision) -> None:
        if decision.denied:
            self._add(question.denial, DENIED_S, None)
        keys = {policy.name: key for policy, key in question.judged}
        for standing in decision.violated:
            self._add(keys[standing.policy.name], standing.reset_ms / 1000, standing)

    def _block(self, key: str) -> _Block | None:
        block = self._blocks.get(key)
        if block is None or (block.until > self._now() and block.controls_version == controls.version()):
            return block
        with self._lock:
            self._blocks.pop(key, None)
        return None

    def _standing(self, block: _Block | None, cost: int) -> Standing | None:
        """As it is by now; None where it does not stand in the way of a request of this cost."""
        if block is None or block.standing is None or block.standing.remaining >= cost:
            return None
        return block.standing._replace(reset_ms=math.ceil((block.resets_at - self._now()) * 1000))

    def _add(self, key: str, lasts_s: float, standing: Standing | None) -> None:
        now = self._now()
        block = _Block(now + min(lasts_s, REMEMBERED_S), now + lasts_s, standing, controls.version())
        with self._lock:
            self._blocks[key] = block
            while len(self._blocks) > REMEMBERED_MOST:
                self._blocks.popitem(last=False)


@cache
def limiter() -> Limiter:
    from shared import clients
    from shared.observations import observations

    return Limiter(clients.redis, observations=observations(), async_runner=clients.redis_async)


def refusal(decision: Decision, what: str = "requests") -> Problem:
    """The problem for a refused request: `rate-limited`, or `limiter-unavailable` where the local limit refused."""
    if decision.denied:
        return Problem("forbidden", "This account or address is shut out; write to us if that is a mistake.")
    wait = decision.retry_after_s
    extensions: Mapping[str, object] = {"violated-policies": [s.policy.name for s in decision.violated]}
    if decision.local:
        detail = f"The limiter does not answer, so few requests are taken for now; try again in {wait} s."
        return Problem("limiter-unavailable", detail, extensions, decision.headers)
    violated = decision.violated[0]
    detail = f"More than {violated.quota} {what} in {violated.policy.window_s} s; try again in {wait} s."
    return Problem("rate-limited", detail, extensions, decision.headers)
