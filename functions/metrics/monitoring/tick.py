"""At each tick: what was measured is judged; minutes become hours, old things are forgotten, tracks are counted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from monitoring import counters, retention, roll, watch
from shared import telemetry
from shared.documents import as_service
from shared.documents.records import State
from shared.events import Event

PASSING_STATES: tuple[State, ...] = ("awaiting-upload", "queued", "analysing")


def tick(_: Event) -> None:
    """Raises what the judgement raises, so that the tick comes again. What fails after it holds nothing up."""
    now = datetime.now(UTC)
    watch.run(now, scheduled=True)
    _try("the outbox", watch.tell)
    _try("housekeeping", lambda: measure(now))


def measure(now: datetime) -> None:
    roll.roll(now)
    retention.forget_old(now)
    counters.set_gauges({state: as_service.count_in(state) for state in PASSING_STATES})


def _try(what: str, work: Callable[[], None]) -> None:
    try:
        work()
    except Exception as error:
        telemetry.error(f"{what} failed; the next tick tries again", error=repr(error))
