"""Usage events, counted once each: into the running minute, beside what the instances measure, and into the funnels.

One script counts an event, marked by its id, so that a repeated delivery counts once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitoring import funnels
from monitoring.funnels import ACTIONS, FUNNELS, STEPS, USER_TTL_S, user_key
from monitoring.store import minute_key, minute_of
from shared import clients
from shared.events import ACCOUNT_DELETED, Event, Passing
from shared.observations import MINUTES_KEPT_S, ONLY_DECLARED_KEYS
from shared.problems import Problem

SCRIPT = ONLY_DECLARED_KEYS + Path(__file__).with_name("count.lua").read_text(encoding="utf-8")
GAUGES = "metrics:gauges"
MARK_TTL_S = 86_400  # an event comes again for a day at most
SUMMED = ("durationMs", "audioS", "sizeBytes", "promptTokens", "completionTokens")
SUM_MOST = 10**12


@dataclass(frozen=True)
class Usage:
    """A thing that happened, and the values that are summed over all of its kind."""

    id: str  # of one that may come again; "" for one that is counted whenever it comes
    name: str
    uid: str
    values: Mapping[str, int] = field(default_factory=dict)
    action: bool = False  # of the user, and not of the service on its own


def count(event: Event, now: datetime) -> bool:
    """Counts a usage event; False where it was counted before. Raises Passing where Redis does not answer."""
    name, uid = event.data.get("name"), event.data.get("uid")
    if not isinstance(name, str) or "|" in name:
        raise Problem("invalid-request", "A usage event without a name.")
    values = {key: summand for key in SUMMED if (summand := _summand(event.data.get(key))) is not None}
    usage = Usage(event.id, name, uid if isinstance(uid, str) else "", values, name in ACTIONS)
    counted = count_all([usage], now) == 1
    if name == ACCOUNT_DELETED and usage.uid:
        funnels.forget(usage.uid)
    return counted


def count_all(usages: Sequence[Usage], now: datetime) -> int:
    """Counts what was not counted before, in one round trip; gives how many. Raises Passing."""
    pipeline = clients.redis().pipeline()
    for usage in usages:
        increments = {f"u|{usage.name}": 1} | {f"v|{usage.name}|{key}": value for key, value in usage.values.items()}
        minute = minute_key(minute_of(now))
        mark, mark_ttl_s = (f"metrics:seen:{usage.id}", str(MARK_TTL_S)) if usage.id else (minute, "")
        keys = [mark, minute, user_key(usage.uid), FUNNELS]
        args = [mark_ttl_s, str(MINUTES_KEPT_S), str(USER_TTL_S)]
        args += [
            f"{now.astimezone(UTC):%Y%m%d}",
            STEPS.get(usage.name, "") if usage.uid else "",
            str(int(usage.action)),
        ]
        for counter, increment in increments.items():
            args += [counter, str(increment)]
        pipeline.eval(SCRIPT, keys=keys, args=args)
    try:
        answers: list[Any] = pipeline.exec()
    except Exception as error:
        raise Passing(f"the counters do not answer ({type(error).__name__})") from error
    return sum(int(answer) for answer in answers)


def _summand(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return round(min(max(value, 0), SUM_MOST))


def set_gauges(gauges: Mapping[str, float]) -> None:
    clients.redis().hset(GAUGES, values=dict(gauges))


def gauges() -> dict[str, float]:
    raw: Mapping[str, str] = clients.redis().hgetall(GAUGES) or {}
    return {name: float(value) for name, value in sorted(raw.items())}
