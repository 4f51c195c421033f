"""Limits: what an answer of Redis means, what the instance remembers, and what happens without Redis."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Self

import pytest

from shared import controls, limits, upstash
from shared.limits import CALLS_AT_ONCE, SCRIPT, Limiter, refusal
from shared.local_limiter import LocalLimiter
from shared.observations import Observations
from shared.policies import Policy, routes


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def answer(
    *standings: tuple[int, int, int],
    verdict: int = 1,
    plan: str = "",
    ordered: str = "",
    spent: str = "0",
    service: tuple[int, int, int] = (60_000, 59_000, 60_000),
) -> str:
    """The script's answer: for each policy quota, remaining, ms to wait; the service's own comes last."""
    numbers = " ".join(str(n) for standing in (*standings, service) for n in standing)
    return f"{verdict} {spent} {numbers}\n{plan}\n{ordered}"


DAY = (300, 299, 86_400_000)
FREE = answer((10, 7, 29_100), DAY)
BLOCKED = answer((10, 0, 5_000), DAY, verdict=0)


class Redis:
    """Answers as told, and counts its calls."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.calls = 0
        self.args: list[str] = []
        self.keys: list[str] = []

    def evalsha(self, sha1: str, keys: list[str], args: list[str]) -> object:
        self.calls += 1
        self.keys, self.args = keys, args
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def eval(self, script: str, keys: list[str], args: list[str]) -> object:
        return self.evalsha("", keys, args)

    def itself(self) -> Self:
        return self


class AsyncRedis(Redis):
    async def evalsha(self, sha1: str, keys: list[str], args: list[str]) -> object:
        return super().evalsha(sha1, keys, args)

    async def eval(self, script: str, keys: list[str], args: list[str]) -> object:
        return super().evalsha("", keys, args)


def test_an_allowed_request_carries_the_structured_fields() -> None:
    decision = Limiter(lambda: Redis(FREE), Clock()).ask("upload", "ana")
    assert decision.allowed
    assert decision.headers == {
        "RateLimit-Policy": '"upload-user";q=10;w=60, "upload-day";q=300;w=86400',
        "RateLimit": '"upload-user";r=7;t=30, "upload-day";r=299;t=86400',
    }


def test_an_address_is_judged_only_where_it_is_known() -> None:
    redis = Redis(answer((10, 9, 1), DAY, (100, 99, 1)))
    Limiter(lambda: redis, Clock()).ask("upload", "ana", "203.0.113.7")
    assert "limit:upload-address:203.0.113.7" in redis.keys
    redis.answer = FREE
    assert not Limiter(lambda: redis, Clock()).ask("upload", "ana").local
    assert not any("address" in key for key in redis.keys)


def test_a_blocked_caller_costs_no_call_until_the_very_moment_the_block_ends() -> None:
    clock, redis = Clock(), Redis(BLOCKED)
    limiter = Limiter(lambda: redis, clock)
    assert limiter.ask("upload", "ana").headers["Retry-After"] == "5"
    clock.time += 4.999
    assert not limiter.ask("upload", "ana").allowed
    assert redis.calls == 1
    clock.time += 0.001
    redis.answer = FREE
    assert limiter.ask("upload", "ana").allowed
    assert redis.calls == 2


def test_a_block_of_a_day_is_asked_for_again_after_a_minute_since_operators_may_have_lifted_it() -> None:
    clock, redis = Clock(), Redis(answer((10, 9, 1), (300, 0, 80_000_000), verdict=0))
    limiter = Limiter(lambda: redis, clock)
    assert limiter.ask("upload", "ana").headers["Retry-After"] == "80000"
    clock.time += 60
    limiter.ask("upload", "ana")
    assert redis.calls == 2


def test_a_blocked_address_blocks_whoever_comes_from_it_and_a_blocked_user_nobody_else() -> None:
    redis = Redis(answer((10, 9, 1), DAY, (100, 0, 9_000), verdict=0))
    limiter = Limiter(lambda: redis, Clock())
    limiter.ask("upload", "ana", "203.0.113.7")
    assert not limiter.ask("upload", "bob", "203.0.113.7").allowed
    assert redis.calls == 1
    redis.answer = answer((10, 9, 1), DAY, (100, 99, 1))
    assert limiter.ask("upload", "ana", "198.51.100.1").allowed


def test_an_address_is_not_shut_for_the_time_of_a_users_quota_of_the_day() -> None:
    clock, redis = Clock(), Redis(answer((10, 9, 1), (300, 0, 50_000_000), (100, 0, 9_000), verdict=0))
    limiter = Limiter(lambda: redis, clock)
    assert limiter.ask("upload", "ana", "203.0.113.7").retry_after_s == 50_000
    assert limiter.ask("upload", "bob", "203.0.113.7").retry_after_s == 9
    clock.time += 9
    redis.answer = answer((10, 9, 1), DAY, (100, 99, 1))
    assert limiter.ask("upload", "bob", "203.0.113.7").allowed
    assert limiter.ask("upload", "ana", "203.0.113.7").retry_after_s == 49_991  # remembered, and not cut to a minute
    assert redis.calls == 2


def test_whoever_is_blocked_with_an_address_is_shown_the_addresss_standing_and_nobody_elses() -> None:
    redis = Redis(answer((10, 3, 1_000), (300, 17, 1_000), (100, 0, 9_000), verdict=0, plan="pro"))
    limiter = Limiter(lambda: redis, Clock())
    limiter.ask("upload", "ana", "203.0.113.7")
    decision = limiter.ask("upload", "bob", "203.0.113.7")
    assert decision.headers == {
        "RateLimit-Policy": '"upload-address";q=100;w=60',
        "RateLimit": '"upload-address";r=0;t=9',
        "Retry-After": "9",
    }
    assert decision.plan is None
    assert refusal(decision).as_dict()["violated-policies"] == ["upload-address"]


@pytest.mark.parametrize(
    ("before", "since"),
    [
        (controls.Controls(denied=frozenset({"user:eve"})), controls.Controls()),
        (controls.Controls(rate_factor=0.5), controls.Controls()),
    ],
    ids=["a denial", "a tightened limit"],
)
def test_what_operators_lift_is_lifted_as_soon_as_any_request_brings_the_newer_controls(
    before: controls.Controls, since: controls.Controls
) -> None:
    ordered = before.as_json()
    refused = f"2 0\n\n{ordered}" if before.denied else answer((5, 0, 50_000), DAY, verdict=0, ordered=ordered)
    redis = Redis(refused)
    limiter = Limiter(lambda: redis, Clock())
    assert not any(limiter.ask("upload", "eve").allowed for _ in range(3))
    assert redis.calls == 1
    redis.answer = answer((10, 7, 29_100), DAY, ordered=since.as_json())
    assert limiter.ask("upload", "ana").allowed
    assert limiter.ask("upload", "eve").allowed
    controls.saw(None, None)


def test_another_user_or_route_is_not_blocked_with_it() -> None:
    redis = Redis(BLOCKED)
    limiter = Limiter(lambda: redis, Clock())
    limiter.ask("upload", "ana")
    redis.answer = FREE
    assert limiter.ask("upload", "bob").allowed
    assert limiter.ask("chat", "ana").allowed


@pytest.mark.parametrize("failure", [TimeoutError("slow"), ConnectionError("gone")])
def test_without_redis_upload_stays_open_and_chat_closes_to_a_strict_limit(failure: Exception) -> None:
    clock, redis = Clock(), Redis(failure)
    limiter = Limiter(lambda: redis, clock)
    assert sum(limiter.ask("upload", "ana").allowed for _ in range(11)) == 10
    chats = [limiter.ask("chat", "ana") for _ in range(3)]
    assert [decision.allowed for decision in chats] == [True, True, False]
    assert refusal(chats[2]).code == "limiter-unavailable"
    assert chats[0].headers["Prodai-Limiter"] == "local"


def test_after_three_failures_redis_is_left_alone_for_a_second_and_then_one_request_asks_it_again() -> None:
    clock, redis = Clock(), Redis(TimeoutError("slow"))
    limiter = Limiter(lambda: redis, clock)
    for _ in range(8):
        limiter.ask("upload", "ana")
    assert redis.calls == 3
    clock.time += 1.0
    limiter.ask("upload", "ana")
    limiter.ask("upload", "bob")
    assert redis.calls == 4
    clock.time += 1.0
    redis.answer = FREE
    assert not limiter.ask("upload", "ana").local
    assert not limiter.ask("upload", "ana").local


@pytest.mark.parametrize(
    "garbage",
    [
        None,
        "OK",
        [],
        [1, "", "", "0", "10 7 29100"],
        "",
        "1",
        "\n\n",
        "1 0\n\n",
        "7 0 10 7 29100 300 299 5 60000 59000 5\n\n",
        "x 0 10 7 29100 300 299 5 60000 59000 5\n\n",
        "1 0 1 2\n\n",
        "1 0 a b c d e f g h i\n\n",
        FREE.replace("\n", " "),
        FREE.replace("\n", " 5\n", 1),
    ],
)
def test_an_answer_that_is_garbage_counts_as_none(garbage: object) -> None:
    assert Limiter(lambda: Redis(garbage), Clock()).ask("upload", "ana").local


def test_a_flushed_script_cache_costs_one_more_command_and_no_decision() -> None:
    class Flushed(Redis):
        def evalsha(self, sha1: str, keys: list[str], args: list[str]) -> object:
            if sha1:
                raise RuntimeError("NOSCRIPT No matching script.")
            return super().evalsha(sha1, keys, args)

    redis = Flushed(FREE)
    assert not Limiter(lambda: redis, Clock()).ask("upload", "ana").local
    assert redis.calls == 1


def test_a_script_that_must_be_sent_whole_has_only_what_is_left_of_the_same_deadline() -> None:
    deadlines: list[float | None] = []

    class Flushed(Redis):
        def evalsha(self, sha1: str, keys: list[str], args: list[str]) -> object:
            deadlines.append(upstash.deadline())
            if sha1:
                raise RuntimeError("NOSCRIPT No matching script.")
            return super().evalsha(sha1, keys, args)

    class AsyncFlushed(Flushed):
        async def evalsha(self, sha1: str, keys: list[str], args: list[str]) -> object:
            return super().evalsha(sha1, keys, args)

        async def eval(self, script: str, keys: list[str], args: list[str]) -> object:
            return super().evalsha("", keys, args)

    sync, asynchronous = Flushed(FREE), AsyncFlushed(FREE)
    limiter = Limiter(lambda: sync, Clock(), async_runner=lambda: asynchronous)
    assert not limiter.ask("upload", "ana").local
    assert not asyncio.run(limiter.ask_async("upload", "ana")).local
    assert len(deadlines) == 4
    assert None not in deadlines
    assert deadlines[0] == deadlines[1]
    assert deadlines[2] == deadlines[3]
    assert upstash.deadline() is None


def test_whoever_gets_no_turn_in_time_is_judged_locally_which_is_not_redis_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "TURN_WITHIN_S", 0.02)

    async def run() -> None:
        go_on = asyncio.Event()

        class Slow(AsyncRedis):
            async def evalsha(self, sha1: str, keys: list[str], args: list[str]) -> object:
                await go_on.wait()
                return await super().evalsha(sha1, keys, args)

        redis = Slow(FREE)
        limiter = Limiter(lambda: Redis(FREE), Clock(), async_runner=lambda: redis)
        first = [asyncio.create_task(limiter.ask_async("upload", f"user {n}")) for n in range(CALLS_AT_ONCE)]
        await asyncio.sleep(0)
        others = await asyncio.gather(*(limiter.ask_async("upload", f"other {n}") for n in range(100)))
        assert all(decision.local and decision.allowed for decision in others)
        go_on.set()
        assert not any(decision.local for decision in await asyncio.gather(*first))
        assert not (await limiter.ask_async("upload", "ana")).local

    asyncio.run(run())


def test_the_asynchronous_driver_decides_as_the_synchronous_one() -> None:
    for told in (FREE, BLOCKED, TimeoutError("slow"), "garbage"):
        redis, async_redis = Redis(told), AsyncRedis(told)
        limiter = Limiter(partial(Redis.itself, redis), Clock())
        other = Limiter(partial(Redis, None), Clock(), async_runner=partial(AsyncRedis.itself, async_redis))
        for _ in range(2):
            assert asyncio.run(other.ask_async("chat", "ana")) == limiter.ask("chat", "ana")
        assert redis.calls == async_redis.calls


def test_an_abandoned_asynchronous_request_lets_its_measurements_go_with_the_next() -> None:
    class Never(AsyncRedis):
        async def evalsha(self, sha1: str, keys: list[str], args: list[str]) -> object:
            await asyncio.sleep(60)
            return None

    observations = Observations("upload/1")
    observations.count("something")
    limiter = Limiter(lambda: Redis(FREE), Clock(), observations, lambda: Never(FREE))

    async def abandoned() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(limiter.ask_async("chat", "ana"), 0.01)

    asyncio.run(abandoned())
    batch = observations.take(at_once=True)
    assert batch is not None
    assert "something" in batch.argument


def test_the_same_call_takes_measurements_along_and_brings_controls_and_plan() -> None:
    ordered = controls.Controls(closed=frozenset({"chat"}), rate_factor=0.5).as_json()
    redis = Redis(answer((5, 4, 1), DAY, ordered=ordered, plan="pro", spent="12500000"))
    observations = Observations("upload/1")
    observations.request("POST /v1/uploads", 201, 41.0)
    decision = Limiter(lambda: redis, Clock(), observations).ask("upload", "ana")
    assert redis.calls == 1
    assert json.loads(redis.args[3])["counts"][0][1][:2] == ["s|POST /v1/uploads|201", 1]
    assert decision.plan == "pro"
    assert controls.current().closed == {"chat"}
    assert controls.spent_today_usd() == 12.5
    controls.saw(None, None)


def test_measurements_that_cannot_arrive_leave_the_limiter_to_redis() -> None:
    class Choking(Redis):
        def evalsha(self, sha1: str, keys: list[str], args: list[str]) -> object:
            if args[3]:
                raise TimeoutError("the batch was too much for it")
            return super().evalsha(sha1, keys, args)

    clock = Clock()
    observations = Observations("upload/1", clock=clock)
    limiter = Limiter(lambda: Choking(FREE), clock, observations)
    local = 0
    for number in range(600):
        observations.count(f"name {number}")
        local += limiter.ask("upload", f"user {number}").local
        clock.time += 0.5
    assert local < 40


def test_a_request_that_probes_whether_redis_is_back_carries_nothing_that_could_hold_it_up() -> None:
    clock, redis = Clock(), Redis(TimeoutError("slow"))
    observations = Observations("upload/1", clock=clock)
    limiter = Limiter(lambda: redis, clock, observations)
    for _ in range(30):
        limiter.ask("upload", "ana")
        clock.time += 20
    assert redis.args[3] == ""
    redis.answer = FREE
    assert not limiter.ask("upload", "ana").local
    clock.time += 20
    assert not limiter.ask("upload", "ana").local
    assert redis.args[3] != ""


def test_a_denied_caller_is_shut_out_and_costs_no_further_call() -> None:
    redis = Redis("2 0\n\n")
    limiter = Limiter(lambda: redis, Clock())
    decisions = [limiter.ask("upload", "eve") for _ in range(3)]
    assert redis.calls == 1
    assert {refusal(d).code for d in decisions} == {"forbidden"}


def test_the_local_window_slides() -> None:
    clock = Clock()
    limiter = LocalLimiter(clock)
    policy = Policy("local", 2, 60)
    assert [limiter.judge(policy, "ana")[0] for _ in range(3)] == [True, True, False]
    clock.time += 59.999
    assert not limiter.judge(policy, "ana")[0]
    clock.time += 0.001
    assert limiter.judge(policy, "ana")[0]


def test_a_refusal_names_the_policy_and_the_time_to_wait() -> None:
    blocked = answer((10, 0, 41_500), DAY, verdict=0)
    problem = refusal(Limiter(lambda: Redis(blocked), Clock()).ask("chat", "ana"))
    assert problem.kind.type == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert problem.as_dict()["violated-policies"] == ["chat-user"]
    assert problem.headers["Retry-After"] == "42"


def test_the_services_own_quota_is_shown_only_where_it_refuses() -> None:
    told = answer((10, 9, 1), DAY, verdict=0, service=(60_000, 0, 700))
    decision = Limiter(lambda: Redis(told), Clock()).ask("upload", "ana")
    assert '"service";r=0;t=1' in decision.headers["RateLimit"]
    assert "service" not in Limiter(lambda: Redis(FREE), Clock()).ask("upload", "ana").headers["RateLimit"]


def test_the_default_is_ten_requests_in_sixty_seconds_and_user() -> None:
    for route in ("upload", "chat"):
        policy = routes()[route].policies[0]
        assert (policy.quota, policy.window_s, policy.per) == (10, 60, "user")


def test_the_script_declares_every_key_so_that_upstash_locks_no_more_than_these() -> None:
    assert SCRIPT.startswith("#!lua flags=allow-key-locking\n")
