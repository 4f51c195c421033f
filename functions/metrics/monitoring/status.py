"""The public status: each part ok, degraded or down, since when, and how fast it answers.

Judged over the last five minutes from what the functions measured; nothing of any user, instance or cost is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from monitoring import store
from monitoring.histogram import Histogram, merged
from monitoring.kept import Kept
from monitoring.store import State
from monitoring.windows import Minute, Window, together
from shared import controls, telemetry
from shared.controls import Controls
from shared.settings import REGIONS

CACHED_S = 15
JUDGED_MINUTES = 5
LOOKED_BACK_MINUTES = 60
LEAST_SAMPLES = 5  # fewer answers say nothing of failures
LEAST_TIMED = 20  # and fewer durations nothing of p95: one cold start would be it
DEGRADED_RATE, DOWN_RATE = 0.05, 0.5
SLOW_MS = 2_000.0
QUEUE_DEGRADED_S, QUEUE_DOWN_S = 300.0, 1_800.0

Level = Literal["ok", "degraded", "down"]
LEVELS: tuple[Level, ...] = ("ok", "degraded", "down")


@dataclass(frozen=True)
class Part:
    """What is measured of a part: the answers of endpoints, or what was counted as done and failed."""

    name: str
    endpoints: tuple[str, ...] = ()
    succeeded: str = ""
    failed: str = ""
    timed: tuple[str, ...] = ()  # what its p95 is taken of
    slow_ms: float = float("inf")
    switch: str = ""  # the operators' control that closes it


UPLOADS = ("POST /v1/uploads", "GET /v1/uploads/{track_id}", "DELETE /v1/uploads/{track_id}")
PARTS = (
    Part("uploads", endpoints=UPLOADS, timed=UPLOADS, slow_ms=SLOW_MS, switch="upload"),
    Part("analysis", succeeded="analysis.done", failed="analysis.failed", timed=("analysis",)),
    Part("chat", endpoints=("POST /v1/chat",), timed=("chat.first",), slow_ms=SLOW_MS, switch="chat"),
    Part("model", succeeded="model.calls", failed="model.failed", timed=("model.first",), switch="model"),
    *(
        Part(f"storage-{region}", succeeded=f"storage.ok.{region}", failed=f"storage.failed.{region}")
        for region in REGIONS
    ),
)


def as_json(now: datetime) -> dict[str, Any]:
    """The answer of `GET /v1/status`, also while Redis is away: then nothing is known, and that is said."""
    try:
        minutes = store.minutes_with_running(now, LOOKED_BACK_MINUTES)
        return shown(minutes, store.now_state(now), controls.fetch(), now)
    except Exception as error:  # the status must answer when nothing else does
        telemetry.warning("the status cannot be worked out", error=type(error).__name__)
        return {"status": "degraded", "time": now.isoformat(timespec="seconds"), "parts": []}


def shown(minutes: Sequence[Minute], state: State, ordered: Controls, now: datetime) -> dict[str, Any]:
    parts = [_part(part, minutes, state, ordered) for part in PARTS]
    worst = max((part["status"] for part in parts), key=LEVELS.index)
    return {"status": worst, "time": now.isoformat(timespec="seconds"), "parts": parts}


def _part(part: Part, minutes: Sequence[Minute], state: State, ordered: Controls) -> dict[str, Any]:
    recent = together(minutes[-JUDGED_MINUTES:], minutes[-1].start)
    measured = measured_level(part, recent)
    level = max(measured, present_level(part, state, ordered), key=LEVELS.index)
    p95 = _durations(part, recent).percentile(95)
    return {
        "part": part.name,
        "status": level,
        "since": _since(part, measured, minutes) if level == measured else None,
        "p95Ms": None if p95 is None else round(p95),
    }


def measured_level(part: Part, window: Window) -> Level:
    """How a part stood in a window, by its errors and its durations."""
    if part.endpoints:
        answers = [(status, n) for e in part.endpoints for status, n in window.requests(e).items()]
        failures, total = sum(n for status, n in answers if status >= 500), sum(n for _, n in answers)
    else:
        failures = window.counts.get(part.failed, 0)
        total = failures + window.counts.get(part.succeeded, 0)
    if total < LEAST_SAMPLES:
        return "ok"
    if failures / total > DOWN_RATE:
        return "down"
    durations = _durations(part, window)
    slow = durations.count >= LEAST_TIMED and (durations.percentile(95) or 0.0) > part.slow_ms
    return "degraded" if failures / total > DEGRADED_RATE or slow else "ok"


def present_level(part: Part, state: State, ordered: Controls) -> Level:
    """What is known of now: switched off, the queue's age, a region that is avoided."""
    if part.switch and part.switch in ordered.closed:
        return "down"
    if part.name == "analysis" and state.queue is not None:
        age_s = state.queue.oldest_age_s
        return "down" if age_s > QUEUE_DOWN_S else "degraded" if age_s > QUEUE_DEGRADED_S else "ok"
    region = part.name.removeprefix("storage-")
    return "degraded" if region in state.unhealthy_regions else "ok"


def _durations(part: Part, window: Window) -> Histogram:
    return merged(window.histogram(name) for name in part.timed)


def _since(part: Part, level: Level, minutes: Sequence[Minute]) -> str | None:
    """When the part came to stand as it does; None where that is longer ago than is looked back."""
    for last in range(len(minutes) - 1, JUDGED_MINUTES - 1, -1):
        if measured_level(part, together(minutes[last - JUDGED_MINUTES : last], minutes[last - 1].start)) != level:
            return minutes[last].start.isoformat()
    return None


_answers = Kept(as_json, CACHED_S)


def cached(now: datetime) -> dict[str, Any]:
    return _answers.get(now)
