"""A region whose storage fails is left out at once, everywhere within seconds, and comes back by itself."""

from __future__ import annotations

from typing import Any

import pytest

from uploads.health import FIRST_S, KEY, LONGEST_S, REMEMBERED_S, TRIAL_S, Health


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class FakeRedis:
    """What the regions' health needs of Redis; it counts the calls and can be down."""

    def __init__(self, clock: Clock) -> None:
        self.calls = 0
        self.down = False
        self.hash: dict[str, str] = {}
        self._clock = clock
        self._keys: dict[str, float] = {}

    def _called(self) -> None:
        self.calls += 1
        if self.down:
            raise TimeoutError

    def hgetall(self, key: str) -> dict[str, str]:
        self._called()
        assert key == KEY
        return dict(self.hash)

    def hset(self, key: str, field: str, value: str) -> None:
        self._called()
        self.hash[field] = value

    def hdel(self, key: str, field: str) -> None:
        self._called()
        self.hash.pop(field, None)

    def set(self, key: str, value: str, nx: bool, ex: int) -> bool | None:
        self._called()
        if nx and self._keys.get(key, 0) > self._clock.now:
            return None
        self._keys[key] = self._clock.now + ex
        return True

    def delete(self, key: str) -> None:
        self._called()
        self._keys.pop(key, None)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def redis(clock: Clock) -> FakeRedis:
    return FakeRedis(clock)


@pytest.fixture
def instances(clock: Clock, redis: FakeRedis) -> tuple[Health, Health]:
    return Health(lambda: redis, clock), Health(lambda: redis, clock)


def test_a_failure_counts_at_once_here_and_within_ten_seconds_in_every_instance(
    clock: Clock, instances: tuple[Health, Health]
) -> None:
    one, other = instances
    assert other.left_out() == frozenset()
    one.failed("eu")
    assert one.left_out() == {"eu"}
    assert not one.may_try("eu")
    clock.now += REMEMBERED_S
    assert REMEMBERED_S < 10
    assert other.left_out() == {"eu"}


def test_after_its_time_one_upload_of_all_instances_tries_it_and_success_brings_it_back(
    clock: Clock, redis: FakeRedis, instances: tuple[Health, Health]
) -> None:
    one, other = instances
    one.failed("eu")
    clock.now += FIRST_S + 1
    assert one.left_out() == other.left_out() == frozenset()
    assert [one.may_try("eu"), one.may_try("eu"), other.may_try("eu")] == [True, False, False]
    one.worked("eu")
    assert redis.hash == {}
    clock.now += REMEMBERED_S
    assert other.left_out() == frozenset()
    assert all(health.may_try("eu") for health in (one, other, one, other))


def test_a_trial_that_fails_doubles_the_time_up_to_a_minute(clock: Clock, instances: tuple[Health, Health]) -> None:
    health, _ = instances
    lengths = []
    for _ in range(5):
        assert health.may_try("eu")
        health.failed("eu")
        started = clock.now
        while health.left_out():
            clock.now += 1
        lengths.append(clock.now - started)
    assert lengths == [pytest.approx(s, abs=1) for s in (FIRST_S, 2 * FIRST_S, 4 * FIRST_S, LONGEST_S, LONGEST_S)]


def test_many_failures_of_one_moment_count_as_one(clock: Clock, instances: tuple[Health, Health]) -> None:
    health, _ = instances
    for _ in range(20):
        health.failed("eu")
    clock.now += FIRST_S + 1
    assert health.may_try("eu")


def test_a_trial_that_is_never_heard_of_again_is_given_up(clock: Clock, instances: tuple[Health, Health]) -> None:
    one, other = instances
    one.failed("eu")
    clock.now += FIRST_S + 1
    assert one.may_try("eu")
    clock.now += TRIAL_S + 1
    other.left_out()
    assert other.may_try("eu")


def test_without_redis_an_instance_goes_by_what_it_sees_itself(
    clock: Clock, redis: FakeRedis, instances: tuple[Health, Health]
) -> None:
    one, other = instances
    redis.down = True
    one.failed("eu")
    assert one.left_out() == {"eu"}
    assert other.left_out() == frozenset()
    clock.now += FIRST_S + 1
    assert [one.may_try("eu"), one.may_try("eu")] == [True, False]
    one.worked("eu")
    assert one.may_try("eu")


def test_while_all_is_well_redis_is_asked_once_in_some_seconds_and_never_told(
    redis: FakeRedis, instances: tuple[Health, Health]
) -> None:
    health, _ = instances
    for _ in range(50):
        assert health.left_out() == frozenset()
        assert health.may_try("us")
        health.worked("us")
    assert redis.calls == 1


@pytest.mark.parametrize("garbage", ["", "x", "{}", "[]", '{"failedAt": "a", "until": null}', "null"])
def test_garbage_in_redis_leaves_no_region_out(redis: FakeRedis, instances: Any, garbage: str) -> None:
    redis.hash["eu"] = garbage
    assert instances[0].left_out() == frozenset()
