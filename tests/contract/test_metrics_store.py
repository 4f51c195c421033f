"""What functions measure, from the instance's buffer through Redis to the operators: nothing lost, nothing doubled."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from upstash_redis import Redis

from monitoring import analytics, counters, funnels, prometheus, retention, roll, status, store, view
from shared import clients, upstash
from shared import settings as settings_module
from shared.events import USAGE, Event
from shared.observations import SCRIPT, Observations
from shared.problems import Problem
from tests.contract.part_process import running_part

TOKEN = "metrics-token"
NOON = datetime(2026, 11, 24, 12, 30, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def url(server: Any) -> Iterator[str]:
    with running_part("upstash", "--redis-port", str(server.port), "--token", TOKEN) as (address, _):
        yield address


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[Redis]:
    connected = upstash.client(url, TOKEN)
    yield connected
    connected.close()  # type: ignore[no-untyped-call]


@pytest.fixture(autouse=True)
def redis(url: str, client: Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    environment = {
        "GOOGLE_CLOUD_PROJECT": "p",
        "UPLOAD_BUCKETS": "us=a",
        "UPSTASH_REDIS_REST_URL": url,
        "UPSTASH_REDIS_REST_TOKEN": TOKEN,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(clients, "redis", lambda: client)
    monkeypatch.setattr("shared.documents.operations.open_incidents", dict)
    settings_module.settings.cache_clear()
    with upstash.within(10):
        client.flushall()
        yield client
    settings_module.settings.cache_clear()


class Instance:
    """An instance that measures, at a moment of the test's choosing."""

    def __init__(self, redis: Redis, name: str = "upload/a", gauges: Mapping[str, float] | None = None) -> None:
        self.now = NOON
        self.told = Observations(name, lambda: gauges or {}, self._clock)
        self._redis = redis

    def _clock(self) -> float:
        return self.now.timestamp()

    def send(self) -> None:
        batch = self.told.take(at_once=True)
        assert batch is not None
        self._redis.eval(SCRIPT, keys=list(batch.keys), args=[batch.argument])
        self.told.ended(arrived=True)


def at(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)


def test_what_two_instances_measured_in_a_minute_is_read_as_one(redis: Redis) -> None:
    for name, users in (("upload/a", ["u1", "u2"]), ("upload/b", ["u2", "u3"])):
        instance = Instance(redis, name, {"cpu": 0.25, "memory": 0.5})
        for duration in (10, 20, 4000):
            instance.told.request("POST /v1/uploads", 201, duration)
        instance.told.request("POST /v1/uploads", 503, 100)
        instance.told.count("limiter.allowed", 3)
        for uid in users:
            instance.told.present(uid)
        instance.send()
    before, running = store.minutes(at(1), 2)
    assert not before.statuses
    assert running.requests("POST /v1/uploads") == {201: 6, 503: 2}
    assert running.error_rate() == 0.25
    assert running.percentile("POST /v1/uploads", 99) == pytest.approx(4000, rel=0.02)
    assert running.counts["limiter.allowed"] == 6
    assert running.active == 3
    state = store.now_state(at(1))
    assert (state.active_minute, state.active_5_minutes) == (3, 3)
    assert [(i.service, i.id, i.gauges["cpu"]) for i in state.instances] == [
        ("upload", "a", 0.25),
        ("upload", "b", 0.25),
    ]


def test_uploads_cost_and_regions_are_those_of_the_moment(redis: Redis) -> None:
    redis.zadd("uploads:open", {"t1": NOON.timestamp() - 1, "t2": NOON.timestamp() + 60, "t3": NOON.timestamp() + 90})
    redis.set("cost:20261124", 2_500_000)
    redis.hset("region:health", "eu", json.dumps({"failedAt": 1, "until": NOON.timestamp() + 30}))
    redis.hset("region:health", "us", json.dumps({"failedAt": 1, "until": NOON.timestamp() - 30}))
    state = store.now_state(NOON)
    assert (state.uploads_open, state.cost_today_usd, list(state.unhealthy_regions)) == (2, 2.5, ["eu"])
    assert state.queue == store.Queue(0, 0, 0.0)


def test_a_tick_that_comes_twice_adds_each_measurement_to_its_hour_once(redis: Redis) -> None:
    instance = Instance(redis)
    instance.told.request("GET /v1/metrics", 200, 30)
    instance.send()
    for _ in range(3):
        roll.roll(at(1))
    (hour,) = store.hours(at(1), 1)
    assert hour.requests("GET /v1/metrics") == {200: 1}
    assert hour.percentile("GET /v1/metrics", 50) == pytest.approx(30, rel=0.02)
    assert roll.totals(at(1)).requests("GET /v1/metrics") == {200: 1}


def test_an_hour_of_missed_ticks_is_made_up_for_and_what_comes_late_still_counts(redis: Redis) -> None:
    instance = Instance(redis)
    roll.roll(at(-1))
    for minute in range(60):
        instance.now = at(minute)
        instance.told.count("cache.hit")
        if minute % 7 == 0:
            instance.send()
    roll.roll(at(60))
    assert sum(hour.counts.get("cache.hit", 0) for hour in store.hours(at(60), 3)) == 57
    instance.send()  # the last three, of an instance that stood idle
    instance.now = at(20)
    instance.told.count("cache.hit")
    instance.now = at(61)
    instance.send()
    for minute in range(61, 69):
        roll.roll(at(minute))
    assert sum(hour.counts["cache.hit"] for hour in store.hours(at(68), 2)) == 61
    assert roll.totals(at(68)).counts["cache.hit"] == 61
    assert 0 < redis.ttl("hour:498756") <= 30 * 86_400


def test_totals_are_of_now_and_never_shrink_while_minutes_are_rolled_up(redis: Redis) -> None:
    instance, seen = Instance(redis), []
    for step in range(6):
        instance.now = at(step)
        instance.told.count("cache.miss")
        instance.send()
        seen.append(roll.totals(at(step)).counts["cache.miss"])
        roll.roll(at(step))
        seen.append(roll.totals(at(step)).counts["cache.miss"])
    assert seen == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]


def usage(event_id: str, name: str, uid: str, **values: float) -> Event:
    return Event(event_id, USAGE, {"name": name, "uid": uid, **values}, None)


def test_a_usage_event_that_comes_twice_counts_once_with_its_values(redis: Redis) -> None:
    event = usage(
        "t1/done", "analysis.done", "u1", durationMs=1234.5, audioS=180.2, secret=1, promptTokens=float("nan")
    )
    assert [counters.count(event, NOON), counters.count(event, at(1))] == [True, False]
    totals = roll.totals(at(1))
    assert totals.events == {"analysis.done": 1}
    assert totals.values == {"analysis.done.durationMs": 1234, "analysis.done.audioS": 180}


def test_the_funnel_follows_each_user_from_the_day_of_the_first_upload(redis: Redis) -> None:
    tomorrow = NOON + timedelta(days=1)
    for i, (name, uid, moment) in enumerate(
        [
            ("analysis.done", "ana", NOON),  # events overtake one another
            ("upload.created", "ana", NOON),
            ("chat.answered", "ana", NOON),
            ("chat.answered", "ana", NOON),
            ("upload.created", "bea", NOON),
            ("chat.opened", "bea", tomorrow),  # the service's doing, no return
            ("chat.answered", "ana", tomorrow),
            ("upload.created", "ana", tomorrow),
            ("upload.created", "cid", tomorrow),
            ("chat.answered", "passer-by", tomorrow),
        ]
    ):
        counters.count(usage(f"e{i}", name, uid), moment)
    assert funnels.read() == [
        {"day": "2026-11-25", "uploaded": 1, "analysed": 0, "asked": 0, "returned": 0},
        {"day": "2026-11-24", "uploaded": 2, "analysed": 1, "asked": 1, "returned": 1},
    ]
    funnels.forget_old(NOON + timedelta(days=91))
    assert [day["day"] for day in funnels.read()] == ["2026-11-25"]


def test_of_a_deleted_account_only_numbers_are_left(redis: Redis) -> None:
    counters.count(usage("e1", "upload.created", "ana"), NOON)
    assert redis.keys("*ana*") == ["funnel:ana"]
    counters.count(usage("e2", "account.deleted", "ana"), NOON)
    assert redis.keys("*ana*") == []
    assert funnels.read()[0]["uploaded"] == 1


def test_client_events_are_counted_and_one_with_an_id_once(redis: Redis) -> None:
    events = [
        {"name": "upload.finished", "data": {"durationMs": 1500, "retries": 2}, "id": "x-1"},
        {"name": "plan.viewed", "data": {"plan": "pro"}},
    ]
    for _ in range(2):
        assert analytics.receive({"events": events}, "u1", NOON) == 2
    totals = roll.totals(NOON)
    assert totals.events == {"client.upload.finished": 1, "client.plan.viewed": 2}
    assert totals.values["client.plan.viewed.plan=pro"] == 2
    assert totals.values["client.upload.finished.durationMs"] == 1500
    assert redis.keys("metrics:seen:*") == ["metrics:seen:u1/x-1"]  # what has no id leaves no mark


def test_instances_that_told_nothing_for_long_are_forgotten_and_the_living_stay(redis: Redis) -> None:
    for name, moment in (("chat/gone", at(0)), ("chat/lives", at(9))):
        instance = Instance(redis, name)
        instance.now = moment
        instance.told.count("cache.hit")
        instance.send()
    redis.hset("instances", "chat/garbage", "{")
    retention.forget_old(at(10))
    assert list(redis.hgetall("instances")) == ["chat/lives"]


def test_everything_that_is_kept_expires_but_the_totals_and_what_retention_looks_after(redis: Redis) -> None:
    instance = Instance(redis)
    instance.told.request("POST /v1/chat", 200, 30)
    instance.told.present("u1")
    instance.send()
    counters.count(usage("e1", "upload.created", "u1"), NOON)
    roll.roll(at(1))
    lasting = {"tele:totals", "tele:tick", "funnels", "instances"}
    keys = set(redis.keys("*"))
    assert {key for key in keys if redis.ttl(key) == -1} == lasting
    assert len(keys) > len(lasting)


def test_operators_and_prometheus_see_the_same_figures(redis: Redis) -> None:
    instance = Instance(redis, "chat/a", {"cpu": 0.5, "memory": 0.25})
    for duration in (100, 200, 300):
        instance.told.request("POST /v1/chat", 200, duration)
    instance.told.timing("model.first", 250)
    instance.send()
    shown = view.as_json(NOON)
    (endpoint,) = shown["recent"]["endpoints"]
    assert (endpoint["endpoint"], endpoint["requests"], endpoint["perSecond"]) == ("POST /v1/chat", 3, 0.01)
    assert endpoint["p50Ms"] == pytest.approx(200, rel=0.02)
    assert shown["recent"]["timings"]["model.first"]["p50Ms"] == pytest.approx(250, rel=0.02)
    assert shown["instances"][0] | {"id": ""} == {
        "service": "chat", "id": "", "ageS": 0, "seenS": 0, "cpu": 0.5, "memory": 0.25
    }  # fmt: skip
    text = prometheus.exposition(NOON)
    assert 'prodai_requests_total{endpoint="POST /v1/chat",status="200"} 3\n' in text
    assert 'prodai_request_duration_seconds_bucket{endpoint="POST /v1/chat",le="0.25"} 2\n' in text


def test_without_redis_operators_and_prometheus_are_told_so_and_the_public_status_still_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with upstash.client("http://127.0.0.1:9", "t") as nothing_there:
        monkeypatch.setattr(clients, "redis", lambda: nothing_there)
        for ask in (view.cached, prometheus.exposition):
            with pytest.raises(Problem, match="Redis does not answer"):
                ask(NOON)
        assert status.as_json(NOON) == {"status": "degraded", "time": "2026-11-24T12:30:10+00:00", "parts": []}
