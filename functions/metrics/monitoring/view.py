"""What operators see as JSON: how things stand, the last minutes and hours, the day's funnels."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from monitoring import counters, funnels, roll, store
from monitoring.histogram import Histogram
from monitoring.kept import Kept
from monitoring.store import Instance, State
from monitoring.windows import Minute, Window, together
from shared import controls, telemetry
from shared.documents import operations

MINUTES = 60
RECENT_MINUTES = 5
HOURS = 48


def as_json(now: datetime) -> dict[str, Any]:
    """Everything of `GET /v1/metrics`. Raises what Redis raises."""
    minutes = store.minutes_with_running(now, MINUTES)
    totals = roll.totals(now)
    return {
        "time": now.isoformat(),
        "totals": {**totals.events, **totals.values},
        "gauges": counters.gauges(),
        **standing(store.now_state(now), now),
        "controls": controls.fetch().as_dict(),
        "incidents": _incidents.get(now),
        "recent": summary(together(minutes[-RECENT_MINUTES:], minutes[-RECENT_MINUTES].start), RECENT_MINUTES * 60),
        "lastHour": summary(together(minutes, minutes[0].start), MINUTES * 60),
        "minutes": [brief(minute) | {"active": minute.active} for minute in minutes if happened(minute)],
        **_long_term.get(now),
    }


def _of_days(now: datetime) -> dict[str, Any]:
    hours = [hour for hour in store.hours(now, HOURS) if hour.statuses or hour.counts or hour.events]
    return {"hours": [brief(hour) for hour in hours], "funnels": funnels.read()}


def _open_incidents(_: datetime) -> list[dict[str, Any]] | None:
    """None where Firestore does not answer: the figures are shown all the same."""
    try:
        found = operations.open_incidents()
    except Exception as error:
        telemetry.warning("the incidents cannot be read", error=type(error).__name__)
        return None
    shown = [
        {"id": i, **{key: data.get(key) for key in ("title", "severity", "openedAt")}} for i, data in found.items()
    ]
    return sorted(shown, key=lambda incident: incident["id"])


_incidents = Kept(_open_incidents, ttl_s=5)
_long_term = Kept(_of_days, ttl_s=30)


def standing(state: State, now: datetime) -> dict[str, Any]:
    queue = state.queue
    return {
        "active": {"minute": state.active_minute, "fiveMinutes": state.active_5_minutes},
        "uploadsOpen": state.uploads_open,
        "queue": queue and {"waiting": queue.waiting, "running": queue.running, "oldestAgeS": queue.oldest_age_s},
        "costTodayUsd": state.cost_today_usd,
        "unhealthyRegions": sorted(state.unhealthy_regions),
        "instances": [_instance(instance, now) for instance in state.instances],
    }


def _instance(instance: Instance, now: datetime) -> dict[str, Any]:
    return {
        "service": instance.service,
        "id": instance.id,
        "ageS": round(now.timestamp() - instance.started_at),
        "seenS": round(now.timestamp() - instance.seen_at),
        **instance.gauges,
    }


def summary(window: Window, duration_s: float) -> dict[str, Any]:
    """Endpoints and timings with their percentiles in ms, and the counts, of a window of this length."""
    timings = sorted(set(window.histograms) - set(window.statuses))
    return {
        "durationS": duration_s,
        "endpoints": [_endpoint(window, endpoint, duration_s) for endpoint in window.endpoints],
        "timings": {name: _percentiles(window.histogram(name)) for name in timings},
        "counts": dict(sorted(window.counts.items())),
    }


def _endpoint(window: Window, endpoint: str, duration_s: float) -> dict[str, Any]:
    answers = window.requests(endpoint)
    return {
        "endpoint": endpoint,
        "requests": sum(answers.values()),
        "perSecond": round(sum(answers.values()) / duration_s, 3),
        "statuses": {str(status): count for status, count in sorted(answers.items())},
        "errorRate": _rounded(window.error_rate(endpoint), 5),
        **_percentiles(window.histogram(endpoint)),
    }


def brief(window: Window) -> dict[str, Any]:
    """A minute or an hour in one line."""
    return {
        "start": window.start.isoformat(),
        "requests": sum(window.requests().values()),
        "errorRate": _rounded(window.error_rate(), 5),
        **_percentiles(window.histogram()),
        "counts": {**window.counts, **window.events},
    }


def happened(minute: Minute) -> bool:
    return bool(minute.statuses or minute.counts or minute.events or minute.active)


def _percentiles(durations: Histogram) -> dict[str, Any]:
    return {
        "count": durations.count,
        **{f"p{q}Ms": _rounded(durations.percentile(q), 1) for q in (50, 95, 99)},
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


_answers = Kept(as_json, ttl_s=0.5)  # several who watch cost one


def cached(now: datetime) -> dict[str, Any]:
    """Raises Problem `unavailable` where Redis does not answer."""
    with store.needed():
        return _answers.get(now)
