"""What the functions measured, as it stands in Redis: the minutes of two hours, the hours of 30 days, and the present.

The write side is shared/observations.py; the layout is in windows.py. Whatever is asked for costs one round trip, and
the queue's depth one more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from monitoring.windows import Minute, Window
from shared import clients, telemetry
from shared.problems import Problem
from shared.upstash import within

PATIENCE_S = 3.0  # for a whole hour at once; no user waits for it
MINUTE_S = 60
HOUR_S = 3_600
INSTANCES = "instances"
UPLOADS = "uploads:open"
REGIONS = "region:health"
ALIVE_S = 180.0  # an instance that told nothing for longer counts as gone
FRESH_S = 75.0  # a tick and a little
ACTIVE_MINUTES = 5


@dataclass(frozen=True)
class Instance:
    service: str
    id: str
    seen_at: float  # seconds since 1970
    started_at: float
    gauges: Mapping[str, float] = field(default_factory=dict)  # cpu and memory as a share of what it may use, 0 to 1

    def fresh(self, now: float) -> bool:
        """Whether its gauges say how it stands now; older ones may be the last word of an instance that is gone."""
        return now - self.seen_at <= FRESH_S


@dataclass(frozen=True)
class Queue:
    waiting: int
    running: int
    oldest_age_s: float


@dataclass(frozen=True)
class State:
    """How things stand at a moment."""

    uploads_open: int
    queue: Queue | None  # None where nobody could tell
    cost_today_usd: float
    instances: tuple[Instance, ...]
    active_minute: int  # distinct users in the last minute that ended, and in the five up to now
    active_5_minutes: int
    unhealthy_regions: Mapping[str, float]  # region -> until when uploads avoid it, seconds since 1970


@contextmanager
def needed() -> Iterator[None]:
    """For what cannot be answered without Redis: Problem `unavailable` where that does not answer."""
    import httpx
    from upstash_redis.errors import UpstashError

    from shared.waiting import Unavailable

    try:
        yield
    except (httpx.HTTPError, UpstashError, Unavailable) as error:
        detail = "Redis does not answer, so nothing is known; `GET /v1/status` and the logs are what there is."
        raise Problem("unavailable", detail) from error


def minute_key(minute: int) -> str:
    return f"tele:{minute}"


def active_key(minute: int) -> str:
    return f"active:{minute}"


def hour_key(hour: int) -> str:
    return f"hour:{hour}"


def minute_of(moment: datetime) -> int:
    """Minutes since 1970."""
    return int(moment.timestamp()) // MINUTE_S


def minutes(now: datetime, n: int) -> list[Minute]:
    """The last n minutes that have ended, oldest first; one in which nothing happened is empty."""
    return _minutes(range(minute_of(now) - n, minute_of(now)))


def minutes_with_running(now: datetime, n: int) -> list[Minute]:
    """The running minute and the n - 1 before it, oldest first: for showing, not for judging."""
    return _minutes(range(minute_of(now) - n + 1, minute_of(now) + 1))


@within(PATIENCE_S)
def hours(now: datetime, n: int) -> list[Window]:
    """The last n hours, oldest first, the running one as far as its minutes have ended."""
    last = int(now.timestamp()) // HOUR_S
    wanted = range(last - n + 1, last + 1)
    pipeline = clients.redis().pipeline()
    for hour in wanted:
        pipeline.hgetall(hour_key(hour))
    answers: list[Any] = pipeline.exec()
    return [Window.of(moment_of(hour * HOUR_S), raw or {}) for hour, raw in zip(wanted, answers, strict=True)]


@within(PATIENCE_S)
def now_state(now: datetime) -> State:
    minute = minute_of(now)
    pipeline = clients.redis().pipeline()
    pipeline.zcount(UPLOADS, now.timestamp(), "+inf")
    pipeline.get(f"cost:{now.astimezone(UTC):%Y%m%d}")
    pipeline.hgetall(INSTANCES)
    pipeline.pfcount(active_key(minute - 1))
    pipeline.pfcount(*(active_key(minute - back) for back in range(ACTIVE_MINUTES)))
    pipeline.hgetall(REGIONS)
    answers: list[Any] = pipeline.exec()
    uploads, cost, instances, active_minute, active_5_minutes, regions = answers
    return State(
        uploads_open=int(uploads or 0),
        queue=queue(),
        cost_today_usd=int(cost or 0) / 1e6,
        instances=alive(instances or {}, now),
        active_minute=int(active_minute or 0),
        active_5_minutes=int(active_5_minutes or 0),
        unhealthy_regions=_unhealthy(regions or {}, now),
    )


@needed()
def ended_jobs() -> Mapping[str, Any]:
    """The analyses that ended last, `{done, failed}`, newest first. Raises Problem `unavailable`."""
    from shared import waiting

    return waiting.queue().ended()


def queue() -> Queue | None:
    try:
        from shared import waiting

        depth: Any = waiting.queue().depth()
    except Exception as error:  # not knowing the queue must not hide the rest
        telemetry.warning("the queue cannot be read", error=type(error).__name__)
        return None
    return Queue(depth.waiting, depth.running, depth.oldest_age_s or 0.0) if depth else None


def alive(raw: Mapping[str, str], now: datetime) -> tuple[Instance, ...]:
    """The instances that told of themselves lately, by service and id."""
    found = [instance for name, text in sorted(raw.items()) if (instance := _instance(name, text))]
    return tuple(instance for instance in found if instance.seen_at >= now.timestamp() - ALIVE_S)


def _instance(name: str, text: str) -> Instance | None:
    service, _, instance_id = name.partition("/")
    try:
        told = json.loads(text)
        gauges = {str(key): float(value) for key, value in told.get("gauges", {}).items()}
        return Instance(service, instance_id, float(told["at"]), float(told.get("started", told["at"])), gauges)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _unhealthy(raw: Mapping[str, str], now: datetime) -> dict[str, float]:
    until = {}
    for region, text in raw.items():
        try:
            until[region] = float(json.loads(text)["until"])
        except (ValueError, KeyError, TypeError):
            continue
    return {region: moment for region, moment in sorted(until.items()) if moment > now.timestamp()}


@within(PATIENCE_S)
def _minutes(wanted: range) -> list[Minute]:
    pipeline = clients.redis().pipeline()
    for minute in wanted:
        pipeline.hgetall(minute_key(minute))
        pipeline.pfcount(active_key(minute))
    answers: list[Any] = pipeline.exec()
    return [
        replace(Minute.of(moment_of(minute * MINUTE_S), fields or {}), active=int(active or 0))
        for minute, fields, active in zip(wanted, answers[::2], answers[1::2], strict=True)
    ]


def moment_of(epoch_s: int) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)
