"""What the alerts judge, worked out from what the functions measured. Pure.

Minutes that ended are judged each once, at their end, from what stands in Redis: a tick that was missed loses none, and
what comes late is judged with the next minute (late.py). How things stand can only be judged as of now.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from monitoring.alerts import Samples
from monitoring.late import Grown
from monitoring.store import Instance, State
from monitoring.windows import Window

MINUTE_S = 60
LEAST_REQUESTS = 5  # a minute in which an endpoint was asked less says nothing of it
LEAST_ERRORS = 5  # nor is a budget burnt by a single failure in a quiet hour
BUDGET = 0.001  # 99.9 %
STRUCK_MINUTES = 10
KEPT_MINUTES = 360
FIRST_WORD = {"POST /v1/chat": "chat.first"}  # a stream lasts as long as the answer: what counts is its first word
REFUSED = "refused.closed "  # and the endpoint: 503 by order, as shared/http.py counts them


@dataclass(frozen=True)
class Counted:
    """What the longer windows need of one minute."""

    requests: int
    errors: int
    struck: int


History = Mapping[int, Counted]  # by the epoch minute; minutes without requests are left out


def errors_in(window: Window, endpoint: str) -> int:
    """Answers that are 5xx, but for those that were refused because something is closed or a plan is shed."""
    failed = sum(count for status, count in window.requests(endpoint).items() if status >= 500)
    return max(0, failed - window.counts.get(REFUSED + endpoint, 0))


def counted(window: Window) -> Counted:
    requests = sum(window.requests().values())
    errors = sum(errors_in(window, endpoint) for endpoint in window.endpoints)
    return Counted(requests, errors, window.counts.get("model.struck", 0))


def remembered(history: History, windows: Iterable[Window]) -> dict[int, Counted]:
    """The history with these minutes, cut to the longest window that is judged."""
    found = {int(window.start.timestamp()) // MINUTE_S: counted(window) for window in windows}
    all_minutes = {**history, **found}
    first = max(all_minutes, default=0) - KEPT_MINUTES
    return {minute: c for minute, c in all_minutes.items() if minute > first and (c.requests or c.struck)}


def of_minute(window: Window, history: History) -> Samples:
    """What the minute says at its end; `history` holds it and those before."""
    end = int(window.start.timestamp()) // MINUTE_S + 1
    return {
        "errorRate": _error_rates(window),
        "responseTime": _response_times(window),
        "burnFast": {"": min(_burn(history, end, 60), _burn(history, end, 5))},
        "burnSlow": {"": min(_burn(history, end, 360), _burn(history, end, 30))},
        "struck": {"": sum(c.struck for minute, c in history.items() if end - STRUCK_MINUTES <= minute < end)},
    }


def _error_rates(window: Window) -> dict[str, float]:
    rates = {}
    for endpoint in window.endpoints:
        asked = sum(window.requests(endpoint).values())
        if asked >= LEAST_REQUESTS:
            rates[endpoint] = errors_in(window, endpoint) / asked
    return rates


def _response_times(window: Window) -> dict[str, float]:
    """p95 in seconds by endpoint."""
    times = {}
    for endpoint in window.endpoints:
        measured = window.histogram(FIRST_WORD.get(endpoint, endpoint))
        p95 = measured.percentile(95)
        if p95 is not None and measured.count >= LEAST_REQUESTS:
            times[endpoint] = p95 / 1000
    return times


def with_late(samples: Samples, grown: Iterable[Grown], above: Mapping[str, float]) -> Samples:
    """With the rates and times of earlier minutes that were judged too well: each counts once, in this minute.

    A minute that was above the threshold by what was known of it has counted already.
    """
    found = {signal: dict(values) for signal, values in samples.items()}
    for signal, values_of in (("errorRate", _error_rates), ("responseTime", _response_times)):
        for minute in grown:
            before = values_of(minute.before)
            for label, value in values_of(minute.whole).items():
                if before.get(label, 0.0) <= above.get(signal, math.inf) < value:
                    values = found.setdefault(signal, {})
                    values[label] = max(value, values.get(label, 0.0))
    return found


def _burn(history: History, end: int, minutes: int) -> float:
    """How many times faster than the budget allows errors came in the minutes before `end`."""
    window = [c for minute, c in history.items() if end - minutes <= minute < end]
    errors, requests = sum(c.errors for c in window), sum(c.requests for c in window)
    return errors / requests / BUDGET if errors >= LEAST_ERRORS else 0.0


def of_now(
    state: State | None,
    dead_letters: Mapping[str, int] | None,
    tick_gap_s: float | None,
    cost_limit_usd: float,
    now: float,
) -> Samples:
    """How things stand. `state` is None where Redis does not answer, `dead_letters` where Pub/Sub does not."""
    samples: dict[str, Mapping[str, float]] = {"redisAway": {"": float(state is None)}}
    if tick_gap_s is not None:
        samples["tickGap"] = {"": tick_gap_s}
    if dead_letters is not None:
        samples["deadLetters"] = dead_letters
    if state is None:
        return samples
    fresh = [instance for instance in state.instances if instance.fresh(now)]
    samples |= {
        "cpu": _by_service(fresh, "cpu"),
        "memory": _by_service(fresh, "memory"),
        "uploadsOpen": {"upload": state.uploads_open},
        "costShare": {"": state.cost_today_usd / cost_limit_usd} if cost_limit_usd > 0 else {},
        "regionUnhealthy": dict.fromkeys(state.unhealthy_regions, 1.0),
    }
    if state.queue is not None:
        samples["queueAge"] = {"analyze": state.queue.oldest_age_s}
    return samples


def _by_service(instances: Iterable[Instance], gauge: str) -> dict[str, float]:
    """CPU is what a function's instances have in common; of memory, the fullest instance dies."""
    found: dict[str, list[float]] = {}
    for instance in instances:
        if gauge in instance.gauges:
            service = instance.service.replace("_", "-")  # the local cloud tells the entry point
            found.setdefault(service, []).append(instance.gauges[gauge])
    return {
        service: max(values) if gauge == "memory" else sum(values) / len(values) for service, values in found.items()
    }
