"""The order of waiting tracks on a real Redis-compatible server, against a simple model of it, step by step.

WAITING_STEPS=5000 makes each run as long; the suite takes a shorter one of the same kind.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.plans import plans
from shared.waiting import AGEING_S, ATTEMPTS_MOST, LEASE_S, PER_USER, Depth, Idle, Job, Place, Taken, Waiting
from tests.contract.conftest import Runner

STEPS = int(os.environ.get("WAITING_STEPS", "150"))
EXAMPLES = 4
SLOTS = 5
LEASE_MS = round(LEASE_S * 1000)
START_MS = 1_760_000_000_000
USERS = ("ana", "bob", "caio", "duda", "eva", "fabi")
PLANS = tuple(plans())
STEP_NAMES = ("add", "add", "add", "take", "take", "take", "beat", "finish", "fail", "retry", "cancel", "crash", "time")


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[redis.Redis]:
    connected = redis.Redis(host="127.0.0.1", port=server.port, decode_responses=True)
    yield connected
    connected.close()


class Clock:
    def __init__(self) -> None:
        self.ms = START_MS

    def __call__(self) -> int:
        return self.ms

    @property
    def date(self) -> datetime:
        return datetime.fromtimestamp(self.ms / 1000, UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def waiting(client: redis.Redis, clock: Clock) -> Waiting:
    client.flushall()
    return Waiting(lambda: Runner(client), SLOTS, clock)


@dataclass
class Modelled:
    id: str
    uid: str
    priority: int
    queued_ms: int
    attempts: int = 0
    holder: str = ""
    lease_end: int = 0
    due: int | None = None

    @property
    def score(self) -> int:
        return self.queued_ms - self.priority * AGEING_S * 1000


@dataclass
class Model:
    """The rules in their plainest form: lists that are searched."""

    jobs: dict[str, Modelled] = field(default_factory=dict)

    @property
    def running(self) -> list[Modelled]:
        return [job for job in self.jobs.values() if job.holder]

    def held(self, uid: str) -> int:
        return sum(job.uid == uid for job in self.running)

    def pass_time(self, now: int) -> None:
        for job in self.running:
            if job.lease_end <= now:
                job.holder = ""
                if job.attempts >= ATTEMPTS_MOST:
                    del self.jobs[job.id]
        for job in self.jobs.values():
            if job.due is not None and job.due <= now:
                job.due = None

    def best(self) -> Modelled | None:
        """Of equally good ones Redis takes the first by its user's name, of a user's own the first by id."""
        if len(self.running) >= SLOTS:
            return None
        ready = [j for j in self.jobs.values() if not j.holder and j.due is None and self.held(j.uid) < PER_USER]
        return min(ready, key=lambda j: (j.score, j.uid, j.id), default=None)

    def take(self, holder: str, now: int) -> Modelled | None:
        self.pass_time(now)
        job = self.best()
        if job:
            job.holder, job.lease_end, job.attempts = holder, now + LEASE_MS, job.attempts + 1
        return job

    def comes_in_s(self, now: int) -> float | None:
        silent = [job.lease_end for job in self.running if job.lease_end <= now + 0.7 * LEASE_MS]
        moments = silent + [job.due for job in self.jobs.values() if job.due is not None]
        return (min(moments) - now) / 1000 if moments else None


class Play:
    """One run: every step is done to both and compared."""

    def __init__(self, waiting: Waiting, clock: Clock, choose: random.Random) -> None:
        self.waiting, self.clock, self.choose, self.model = waiting, clock, choose, Model()
        self.workers: dict[str, str] = {}  # holder -> track, as the workers believe
        self.count = 0

    def step(self) -> None:
        name = self.choose.choice(STEP_NAMES)
        getattr(self, f"_{name}")()
        self._check()

    def _check(self) -> None:
        model, waits = self.model, [job for job in self.model.jobs.values() if not job.holder]
        oldest_ms = max((self.clock.ms - job.queued_ms for job in waits), default=0)
        assert self.waiting.depth() == Depth(len(waits), len(model.running), oldest_ms / 1000)
        assert sorted(self.waiting.entries()) == sorted(model.jobs)
        assert len(model.running) <= SLOTS
        assert all(model.held(uid) <= PER_USER for uid in USERS)
        for job in (*waits[:2], *model.running[:1]):
            place = self.waiting.place(job.id)
            assert (place is None) == bool(job.holder)
            assert place is None or (1 <= place.position <= len(waits) and place.eta_s >= 0)

    def _add(self) -> None:
        known = list(self.model.jobs)
        if known and self.choose.random() < 0.2:
            job = self.model.jobs[self.choose.choice(known)]
            assert not self.waiting.add(job.id, job.uid, "pro", self.clock.date)
            return
        self.count += 1
        uid, plan = self.choose.choice(USERS), self.choose.choice(PLANS)
        new = Modelled(f"t{self.count:05}", uid, plans()[plan].priority, self.clock.ms)
        assert self.waiting.add(new.id, uid, plan, self.clock.date)
        self.model.jobs[new.id] = new

    def _take(self) -> None:
        holder = f"w{self.choose.randrange(10**9)}"
        expected = self.model.take(holder, self.clock.ms)
        taken = self.waiting.take(holder)
        if expected is None:
            assert taken == Idle(self.model.comes_in_s(self.clock.ms))
            return
        assert taken == Taken(expected.id, expected.attempts)
        assert self.waiting.take(holder) == taken  # its answer was lost, say
        self.workers[holder] = expected.id

    def _worker(self) -> tuple[str, Modelled | None]:
        """One that believes to be at work, and its job, where that is still its own."""
        holder = self.choose.choice(list(self.workers)) if self.workers else "nobody"
        job = self.model.jobs.get(self.workers.get(holder, ""))
        return holder, job if job and job.holder == holder else None

    def _beat(self) -> None:
        holder, job = self._worker()
        if job and job.lease_end > self.clock.ms:  # what a beat after the lease does has a test of its own
            plan = next(name for name in PLANS if plans()[name].priority == job.priority)
            queued = datetime.fromtimestamp(job.queued_ms / 1000, UTC)
            assert self.waiting.beat(Job(job.id, job.uid, plan, queued, job.attempts), holder, 50)
            job.lease_end = self.clock.ms + LEASE_MS

    def _finish(self) -> None:
        holder, job = self._worker()
        if job:
            self.waiting.finish(job.id)
            del self.model.jobs[job.id], self.workers[holder]

    def _fail(self) -> None:
        holder, job = self._worker()
        if job:
            self.waiting.fail(job.id, "unreadable")
            del self.model.jobs[job.id], self.workers[holder]

    def _retry(self) -> None:
        holder, job = self._worker()
        track_id = self.workers.pop(holder, "none")
        counts, delay_ms = self.choose.random() < 0.8, self.choose.randrange(1, 30_000)
        self.waiting.retry(track_id, holder, delay_ms / 1000, counts=counts)
        if job is None:
            return  # another one has it, or nobody: nothing changes
        if counts and job.attempts >= ATTEMPTS_MOST:
            del self.model.jobs[job.id]
            return
        job.holder, job.due, job.attempts = "", self.clock.ms + delay_ms, job.attempts - (not counts)

    def _cancel(self) -> None:
        track_id = self.choose.choice([*self.model.jobs, "unknown"])
        self.waiting.cancel(track_id)
        self.model.jobs.pop(track_id, None)

    def _crash(self) -> None:
        if self.workers:
            self.workers.pop(self.choose.choice(list(self.workers)))

    def _time(self) -> None:
        self.clock.ms += self.choose.choice((1, 50, 1000, 3000, LEASE_MS // 2, LEASE_MS, 60_000))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_whatever_happens_the_order_is_the_models_and_no_limit_is_ever_passed(client: redis.Redis, seed: int) -> None:
    client.flushall()
    clock = Clock()
    play = Play(Waiting(lambda: Runner(client), SLOTS, clock), clock, random.Random(seed))
    for _ in range(STEPS):
        play.step()


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_nobody_starves_a_job_is_passed_only_by_jobs_queued_within_the_head_start_of_their_plan(
    client: redis.Redis, seed: int
) -> None:
    """More comes than can be done, mostly from better plans. The bound: who queues later than priority x AGEING_S after
    a job is never taken before it, unless that job's user has two at work."""
    client.flushall()
    clock, choose = Clock(), random.Random(seed)
    waiting = Waiting(lambda: Runner(client), SLOTS, clock)
    queued: dict[str, tuple[str, int, int]] = {}
    running: list[str] = []
    for number in range(STEPS):
        clock.ms += choose.randrange(8000)
        plan = choose.choices(PLANS, (1, 2, 8))[0]
        for part in range(2):
            track_id, uid = f"{number:04}-{part}", f"{plan}-{choose.randrange(12)}"
            waiting.add(track_id, uid, plan, clock.date)
            queued[track_id] = (uid, plans()[plan].priority, clock.ms)
        while running and (len(running) == SLOTS or choose.random() < 0.3):
            waiting.finish(running.pop(0))
        holder = f"w{number}"
        taken = waiting.take(holder)
        if isinstance(taken, Idle):
            running.clear()  # their leases ran out
            continue
        uid, priority, at_ms = queued.pop(taken.track_id, ("", 0, 0))
        for other, other_priority, other_ms in queued.values():
            if uid and other_ms < at_ms - (priority - other_priority) * AGEING_S * 1000:
                assert int(str(client.hget("{waiting}:held", other))) >= PER_USER
        running.append(taken.track_id)


def test_a_free_user_with_fifty_tracks_progresses_throughout_while_five_pro_users_are_served_first(
    waiting: Waiting, clock: Clock
) -> None:
    for number in range(50):
        waiting.add(f"free-{number:02}", "free-user", "free", clock.date)
    running = [_taken(waiting, f"f{n}") for n in range(2)]
    assert waiting.take("f2") == Idle(None)  # two at once, though three slots are free
    clock.ms += 1000
    for user in range(5):
        for number in range(2):
            waiting.add(f"pro-{user}-{number}", f"pro-{user}", "pro", clock.date)
    place = waiting.place("pro-4-1")
    assert place is not None
    assert place.position <= 10
    finished: list[str] = []
    for turn in range(60):
        clock.ms += 2000
        while not isinstance(taken := waiting.take(f"w{turn}-{len(running)}"), Idle):
            running.append(taken.track_id)
        assert len(running) <= SLOTS
        assert sum(t.startswith("free") for t in running) <= PER_USER
        if running:
            waiting.finish(running[0])
            finished.append(running.pop(0))
    assert max(finished.index(f"pro-{u}-{n}") for u in range(5) for n in range(2)) < 14
    assert len(finished) == 60
    assert [t for t in finished if t.startswith("free")] == [f"free-{n:02}" for n in range(50)]


def test_a_place_and_the_wait_follow_from_who_goes_before_and_the_measured_pace(waiting: Waiting, clock: Clock) -> None:
    for user in range(10):
        waiting.add(f"x{user}", f"user-{user}", "plus", clock.date)
        clock.ms += 1
    assert [waiting.place(f"x{n}") for n in (0, 9)] == [Place(1, 0), Place(10, 18)]  # 9 before it, 5 at once, 10 s
    running = [_taken(waiting, f"w{n}") for n in range(5)]
    clock.ms += 4000
    waiting.finish(running[0])
    assert waiting.place("x9") == Place(5, 4)  # 4 before it, at 4 s each
    assert waiting.place(running[1]) is None
    for number in range(50):
        waiting.add(f"many-{number}", "heavy", "pro", clock.date)
    ahead = waiting.place("x9")
    assert ahead is not None
    assert ahead.position < 12  # whoever has many waiting holds nobody up with more than two at once


def test_work_of_a_silent_worker_is_taken_back_and_given_up_after_five_attempts(waiting: Waiting, clock: Clock) -> None:
    waiting.add("poison", "ana", "pro", clock.date)
    for attempt in range(1, ATTEMPTS_MOST + 1):
        assert waiting.take(f"w{attempt}") == Taken("poison", attempt)
        clock.ms += LEASE_MS - 1
        assert waiting.take("other") == Idle(0.001)
        clock.ms += 1
    assert waiting.take("last") == Idle(None)
    assert waiting.ended()["failed"][0] | {"uid": "ana", "attempts": 5} == waiting.ended()["failed"][0]
    assert waiting.depth() == Depth(0, 0, 0)


def test_a_worker_at_work_by_firestores_word_counts_here_too_after_redis_was_wiped(
    client: redis.Redis, waiting: Waiting, clock: Clock
) -> None:
    jobs = [Job(f"t{n}", "ana", "pro", clock.date, 1) for n in range(3)]
    assert waiting.add_all(jobs) == [True] * 3
    holders = [_taken(waiting, f"w{n}") and f"w{n}" for n in range(2)]
    client.flushall()
    assert all(waiting.beat(job, holder, 40) for job, holder in zip(jobs, holders, strict=False))
    assert waiting.add_all(jobs) == [False, False, True]
    assert isinstance(waiting.take("w2"), Idle)  # two of this user are at work again
    assert not waiting.beat(jobs[0], "somebody else", 50)
    waiting.finish("t0")
    assert waiting.take("w2") == Taken("t2", 2)


def test_progress_never_falls_and_the_last_ended_jobs_are_kept(
    client: redis.Redis, waiting: Waiting, clock: Clock
) -> None:
    for number in range(210):
        waiting.add(f"t{number}", f"u{number}", "free", clock.date)
        _taken(waiting, f"w{number}")
        if number == 0:
            for progress in (10, 60, 30):
                waiting.beat(Job("t0", "u0", "free", clock.date, 1), "w0", progress)
            assert client.hget("{waiting}:job:t0", "progress") == "60"
        if number % 2:
            waiting.finish(f"t{number}")
        else:
            waiting.fail(f"t{number}", "unreadable")
    ended = waiting.ended()
    assert [entry["trackId"] for entry in ended["done"]] == [f"t{n}" for n in range(209, 9, -2)]
    assert [entry["trackId"] for entry in ended["failed"]] == [f"t{n}" for n in range(208, 108, -2)]
    assert ended["failed"][0]["reason"] == "unreadable"
    left = {key for key in client.keys() if not str(key).endswith((":done", ":failed", ":pace"))}  # noqa: SIM118
    assert left == set()


def test_without_redis_nobody_who_waits_sees_an_error() -> None:
    class Away:
        def evalsha(self, *_: object) -> object:
            raise ConnectionError

        eval = evalsha

    waiting = Waiting(Away, SLOTS)
    now = datetime.now(UTC)
    assert waiting.place("t") is None
    assert not waiting.add("t", "ana", "pro", now)
    assert not waiting.beat(Job("t", "ana", "pro", now), "w", 1)
    waiting.finish("t")
    waiting.cancel("t")


def _taken(waiting: Waiting, holder: str) -> str:
    taken = waiting.take(holder)
    assert isinstance(taken, Taken)
    return taken.track_id
