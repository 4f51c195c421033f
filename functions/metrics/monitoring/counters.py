"""Counters in Redis: totals since the beginning, and windows of one minute kept for an hour.

One script counts an event, marked by its id, so that a repeated delivery counts once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from shared import clients
from shared.events import Event, Passing
from shared.problems import Problem

SCRIPT = Path(__file__).with_name("count.lua").read_text(encoding="utf-8")
TOTALS = "metrics:totals"
GAUGES = "metrics:gauges"
MARK_TTL_S = 86_400  # an event comes again for a day at most
WINDOW_TTL_S = 3_600
SUMMED = ("durationMs", "audioS", "sizeBytes", "promptTokens", "completionTokens")


def count(event: Event, now: datetime) -> bool:
    """Counts a usage event; False where it was counted before. Raises Passing where Redis does not answer."""
    name = event.data.get("name")
    if not isinstance(name, str):
        raise Problem("invalid-request", "A usage event without a name.")
    increments = {name: 1.0} | {
        f"{name}.{key}": float(event.data[key]) for key in SUMMED if isinstance(event.data.get(key), int | float)
    }
    keys = [f"metrics:seen:{event.id}", TOTALS, window_key(now)]
    args = [str(MARK_TTL_S), str(WINDOW_TTL_S)]
    for counter, increment in increments.items():
        args += [counter, repr(increment)]
    try:
        return bool(clients.redis().eval(SCRIPT, keys=keys, args=args) == 1)
    except Exception as error:
        raise Passing(f"the counters do not answer ({type(error).__name__})") from error


def window_key(moment: datetime) -> str:
    return f"metrics:minute:{moment:%Y%m%d%H%M}"


def set_gauges(gauges: Mapping[str, float]) -> None:
    clients.redis().hset(GAUGES, values=dict(gauges))


def totals() -> dict[str, float]:
    return _numbers(clients.redis().hgetall(TOTALS))


def gauges() -> dict[str, float]:
    return _numbers(clients.redis().hgetall(GAUGES))


def last_minutes(now: datetime, minutes: int) -> list[tuple[datetime, dict[str, float]]]:
    """The windows of the last minutes, oldest first, in one round trip; a minute without events is empty."""
    moments = [now - timedelta(minutes=back) for back in range(minutes - 1, -1, -1)]
    pipeline = clients.redis().pipeline()
    for moment in moments:
        pipeline.hgetall(window_key(moment))
    answers: Sequence[Any] = pipeline.exec()
    starts = [moment.replace(second=0, microsecond=0) for moment in moments]
    return [(start, _numbers(answer)) for start, answer in zip(starts, answers, strict=True)]


def _numbers(raw: Mapping[str, str] | None) -> dict[str, float]:
    return {name: float(value) for name, value in sorted((raw or {}).items())}
