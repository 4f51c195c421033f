"""Limits without Redis, and what the instance remembers."""

from __future__ import annotations

import pytest

from shared.limits import Limiter, LocalLimiter, Policy, refusal, routes


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


class Redis:
    """Answers as told, and counts its calls."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.calls = 0

    def evalsha(self, sha1: str, keys: list[str], args: list[str]) -> object:
        self.calls += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def eval(self, script: str, keys: list[str], args: list[str]) -> object:
        return self.evalsha("", keys, args)


def test_an_allowed_request_carries_the_structured_fields() -> None:
    decision = Limiter(lambda: Redis([1, 7, 29_100]), Clock()).ask("upload", "ana")
    assert decision.allowed
    assert decision.headers == {
        "RateLimit-Policy": '"upload-user";q=10;w=60',
        "RateLimit": '"upload-user";r=7;t=30',
    }


def test_a_blocked_caller_costs_no_call_until_the_very_moment_the_block_ends() -> None:
    clock, redis = Clock(), Redis([0, 0, 5_000])
    limiter = Limiter(lambda: redis, clock)
    assert limiter.ask("upload", "ana").headers["Retry-After"] == "5"
    clock.time += 4.999
    assert not limiter.ask("upload", "ana").allowed
    assert redis.calls == 1
    clock.time += 0.001
    redis.answer = [1, 0, 60_000]
    assert limiter.ask("upload", "ana").allowed
    assert redis.calls == 2


def test_another_user_or_route_is_not_blocked_with_it() -> None:
    redis = Redis([0, 0, 5_000])
    limiter = Limiter(lambda: redis, Clock())
    limiter.ask("upload", "ana")
    redis.answer = [1, 9, 60_000]
    assert limiter.ask("upload", "bob").allowed
    assert limiter.ask("chat", "ana").allowed


@pytest.mark.parametrize("failure", [TimeoutError("slow"), ConnectionError("gone")])
def test_without_redis_upload_stays_open_and_chat_closes_to_a_strict_limit(failure: Exception) -> None:
    clock, redis = Clock(), Redis(failure)
    limiter = Limiter(lambda: redis, clock)
    assert sum(limiter.ask("upload", "ana").allowed for _ in range(10)) == 10
    chats = [limiter.ask("chat", "ana") for _ in range(3)]
    assert [decision.allowed for decision in chats] == [True, True, False]
    assert refusal(chats[2]).code == "limiter-unavailable"
    assert chats[0].headers["Prodai-Limiter"] == "local"


def test_redis_is_left_alone_for_a_second_after_a_failure_and_then_asked_again() -> None:
    clock, redis = Clock(), Redis(TimeoutError("slow"))
    limiter = Limiter(lambda: redis, clock)
    for _ in range(5):
        limiter.ask("upload", "ana")
    assert redis.calls == 1
    clock.time += 1.0
    redis.answer = [1, 9, 60_000]
    assert not limiter.ask("upload", "ana").local


@pytest.mark.parametrize("garbage", [None, "OK", [], [1], [1, 2, 3, 4]])
def test_an_answer_that_is_garbage_counts_as_none(garbage: object) -> None:
    assert Limiter(lambda: Redis(garbage), Clock()).ask("upload", "ana").local


def test_the_local_window_slides() -> None:
    clock = Clock()
    limiter = LocalLimiter(clock)
    policy = Policy("local", 2, 60)
    assert [limiter.judge(policy, "ana").allowed for _ in range(3)] == [True, True, False]
    clock.time += 59.999
    assert not limiter.judge(policy, "ana").allowed
    clock.time += 0.001
    assert limiter.judge(policy, "ana").allowed


def test_a_refusal_names_the_policy_and_the_time_to_wait() -> None:
    problem = refusal(Limiter(lambda: Redis([0, 0, 41_500]), Clock()).ask("chat", "ana"))
    assert problem.kind.type == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert problem.as_dict()["violated-policies"] == ["chat-user"]
    assert problem.headers["Retry-After"] == "42"


def test_the_default_is_ten_requests_in_sixty_seconds_and_user() -> None:
    for route in ("upload", "chat"):
        (policy,) = routes()[route].policies
        assert (policy.quota, policy.window_s) == (10, 60)
