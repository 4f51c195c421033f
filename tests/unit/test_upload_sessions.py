"""A session is opened in the first region that can; uploads under way are counted by leases that end by themselves."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from shared import clients
from shared import settings as settings_module
from shared.documents.records import Wanted
from shared.problems import Problem
from tests.unit.test_region_health import Clock, FakeRedis
from uploads import leases, placement, sessions
from uploads.health import FIRST_S, Health

WANTED = Wanted("song.wav", 1000, "audio/wav", "genre", None, None, None, None, None)
NOW = datetime(2026, 11, 24, tzinfo=UTC)


class Storage:
    """Buckets that open sessions, or fail."""

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.asked: list[str] = []

    def open(self, bucket: str, name: str, wanted: Wanted, origin: str | None) -> str:
        self.asked.append(bucket)
        if bucket in self.failing:
            raise ConnectionError(bucket)
        return f"https://storage.example/{bucket}?upload_id=secret"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Iterator[Storage]:
    for name, value in {
        "GOOGLE_CLOUD_PROJECT": "p",
        "UPLOAD_BUCKETS": "us=b-us,eu=b-eu,asia=b-asia",
        "EDGE_URLS": "eu=https://eu.example.com/",
        "UPSTASH_REDIS_REST_URL": "http://127.0.0.1:9",
        "UPSTASH_REDIS_REST_TOKEN": "t",
    }.items():
        monkeypatch.setenv(name, value)
    settings_module.settings.cache_clear()
    fake, redis = Storage(), FakeRedis(clock)
    shared_health = Health(lambda: redis, clock)
    monkeypatch.setattr(sessions, "_open", fake.open)
    monkeypatch.setattr(sessions, "health", lambda: shared_health)
    monkeypatch.setattr(placement, "health", lambda: shared_health)
    yield fake
    settings_module.settings.cache_clear()


def opened(region: str) -> str:
    order = placement.order_now(region, None, "ticket")
    return sessions.open_session("u", "t", WANTED, order, None, NOW).region


def test_a_region_that_fails_passes_the_upload_on_at_once_and_is_asked_no_more(storage: Storage) -> None:
    storage.failing = {"b-eu"}
    assert opened("eu") == "us"
    assert [opened("eu") for _ in range(3)] == ["us", "us", "us"]
    assert storage.asked.count("b-eu") == 1
    assert placement.edge_address("eu", None) == "/v1/uploads?region=us"


def test_it_comes_back_by_itself_once_it_works_again(storage: Storage, clock: Clock) -> None:
    storage.failing = {"b-eu"}
    opened("eu")
    clock.now += FIRST_S + 1
    assert opened("eu") == "us"  # the trial failed
    storage.failing = set()
    clock.now += 2 * FIRST_S + 1
    assert opened("eu") == "eu"
    assert placement.edge_address("eu", None) == "https://eu.example.com/v1/uploads?region=eu"


def test_where_every_region_fails_the_upload_is_refused_and_the_nearest_one_is_still_asked(storage: Storage) -> None:
    storage.failing = {"b-us", "b-eu", "b-asia"}
    for _ in range(2):
        with pytest.raises(Problem) as raised:
            opened("eu")
        assert raised.value.kind.status == 503
        assert raised.value.headers["Retry-After"] == "60"
    assert storage.asked == ["b-eu", "b-us", "b-asia", "b-eu"]
    storage.failing = set()
    assert opened("eu") == "eu"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("EDGE_URLS", value) for value in ("mars=https://a.example", "eu", "eu=ftp://a.example")),
        *(("UPLOADS_ALERT_THRESHOLD", value) for value in ("0", "-1", "many", "1.5")),
    ],
)
def test_broken_settings_of_uploads_are_named(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    assert settings_module.settings().uploads_alert_threshold == 50
    monkeypatch.setenv(name, value)
    settings_module.settings.cache_clear()
    with pytest.raises(Problem, match=name):
        settings_module.settings()


def test_the_libraries_that_log_addresses_are_quiet() -> None:
    for name in ("httpx", "httpcore", "urllib3"):
        assert logging.getLogger(name).getEffectiveLevel() >= logging.WARNING


class FakeSortedSet:
    """The commands of a sorted set that leases use."""

    def __init__(self) -> None:
        self.scores: dict[str, float] = {}
        self.down = False
        self.executed = 0

    def pipeline(self) -> FakeSortedSet:
        return self

    def zremrangebyscore(self, key: str, least: str, most: str) -> None:
        assert (key, least, most[0]) == ("uploads:open", "-inf", "(")
        self.scores = {member: score for member, score in self.scores.items() if score >= float(most[1:])}

    def zadd(self, key: str, scores: dict[str, float]) -> None:
        assert key == "uploads:open"
        self.scores |= scores

    def zrem(self, key: str, member: str) -> None:
        self._reached()
        self.scores.pop(member, None)

    def exec(self) -> None:
        self._reached()

    def _reached(self) -> None:
        self.executed += 1
        if self.down:
            raise TimeoutError

    def open_at(self, now: float) -> int:
        return sum(score >= now for score in self.scores.values())


@pytest.fixture
def sorted_set(monkeypatch: pytest.MonkeyPatch) -> FakeSortedSet:
    fake = FakeSortedSet()
    monkeypatch.setattr(clients, "redis", lambda: fake)
    return fake


def test_uploads_under_way_are_counted_and_one_that_nobody_ends_stops_counting_by_itself(
    sorted_set: FakeSortedSet,
) -> None:
    for n in range(60):
        leases.opened(f"t{n}", now=1000.0)
    assert sorted_set.open_at(1000.0) == 60
    leases.closed("t0")
    leases.closed("t0")
    leases.opened("t1", now=1000.0 + leases.LEASE_S)
    assert sorted_set.open_at(1000.0 + leases.LEASE_S) == 59
    leases.opened("t60", now=1001.0 + leases.LEASE_S)
    assert set(sorted_set.scores) == {"t1", "t60"}  # the rest is forgotten, not only uncounted
    assert sorted_set.executed == 60 + 2 + 2  # one call each


def test_counting_never_harms_an_upload(sorted_set: Any) -> None:
    sorted_set.down = True
    leases.opened("t")
    leases.closed("t")
