"""What clients tell by `POST /v1/events`: checked against a table, counted, and never more of a user than the id."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from monitoring import counters
from monitoring.counters import Usage
from shared.events import Passing
from shared.problems import Problem

EVENTS_MOST = 20
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@cache
def table() -> Mapping[str, Mapping[str, Any]]:
    """Event -> field -> its words, or the most that its number may be."""
    text = Path(__file__).with_name("client_events.json").read_text(encoding="utf-8")
    found: Mapping[str, Mapping[str, Any]] = json.loads(text)["events"]
    return found


def receive(body: Mapping[str, Any], uid: str, now: datetime) -> int:
    """Counts the events of a call that were not counted before; gives how many were told.

    Raises Problem `invalid-request` that names the fault, counting nothing, or `unavailable`.
    """
    events = body.get("events")
    if set(body) != {"events"} or not isinstance(events, list) or not 1 <= len(events) <= EVENTS_MOST:
        raise _fault(f'send {{"events": […]}} with 1 to {EVENTS_MOST} events')
    told = [_usage(event, uid, f"events[{i}]") for i, event in enumerate(events)]
    try:
        counters.count_all(told, now)
    except Passing as error:
        raise Problem("unavailable", "Events cannot be counted right now; send them again later.") from error
    return len(told)


def _usage(event: object, uid: str, where: str) -> Usage:
    if not isinstance(event, dict) or set(event) - {"name", "data", "id"}:
        raise _fault(f"{where} is an object of name, data and id")
    name, data, event_id = event.get("name"), event.get("data", {}), event.get("id")
    if not isinstance(name, str) or name not in table():
        raise _fault(f"{where}.name is one of {', '.join(table())}")
    if event_id is not None and not (isinstance(event_id, str) and ID.fullmatch(event_id)):
        raise _fault(f"{where}.id is up to 64 letters, digits, - and _")
    if not isinstance(data, dict):
        raise _fault(f"{where}.data is a flat object")
    values: dict[str, int] = {}
    for field, value in data.items():
        values |= _counted(field, value, table()[name], f"{where}.data")
    mark = f"{uid}/{event_id}" if event_id else ""
    return Usage(mark, f"client.{name}", uid, values, action=True)


def _counted(field: str, value: object, fields: Mapping[str, Any], where: str) -> dict[str, int]:
    """Numbers are summed, words counted."""
    kind = fields.get(field)
    if kind is None:
        raise _fault(f"{where} has no {_cut(field)}; it may have {', '.join(fields)}")
    if isinstance(kind, int):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= kind:
            raise _fault(f"{where}.{field} is a number from 0 to {kind}")
        return {field: round(value)}
    if not isinstance(value, str) or value not in kind:
        raise _fault(f"{where}.{field} is one of {', '.join(kind)}")
    return {f"{field}={value}": 1}


def _cut(text: str) -> str:
    return text[:32]


def _fault(detail: str) -> Problem:
    return Problem("invalid-request", f"Not counted: {detail}.")
