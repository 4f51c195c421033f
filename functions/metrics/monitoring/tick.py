"""At each tick: how many tracks stand in each state that should not last."""

from __future__ import annotations

from monitoring import counters
from shared.documents import as_service
from shared.documents.records import State
from shared.events import Event

PASSING_STATES: tuple[State, ...] = ("awaiting-upload", "queued", "analysing")


def measure(_: Event) -> None:
    counters.set_gauges({state: as_service.count_in(state) for state in PASSING_STATES})
