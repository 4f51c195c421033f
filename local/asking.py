"""A question asked as an app would: the answer as a stream that goes on where it was after its line has broken."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import requests

from local.client import Event, Refused

CONNECT_DEADLINE_S = 5
SILENCE_S = 30  # the service writes a comment every 12 s
GIVE_UP_AFTER_S = 60.0  # without an event
LONGEST_PAUSE_S = 2.0
PASSING = {409, 429, 500, 502, 503, 504}  # after a broken line: ask again


def answer(http: requests.Session, address: str, body: Mapping[str, Any]) -> Iterator[Event]:
    """The events of an answer, however often the line breaks; `message.start` begins the text, also a second time.

    Raises Refused, and requests.ConnectionError where nothing came back for GIVE_UP_AFTER_S.
    """
    headers = {"Accept": "text/event-stream", "Idempotency-Key": f'"{secrets.token_urlsafe(15)}"'}
    moved_at, pause_s = time.monotonic(), 0.1
    while True:
        try:
            for event_id, name, data in _once(http, address, body, headers):
                headers["Last-Event-ID"], moved_at, pause_s = event_id, time.monotonic(), 0.1
                if name == "error":
                    raise Refused(data)
                yield name, data
                if name == "done":
                    return
        except requests.RequestException:
            pass  # goes on below
        if time.monotonic() - moved_at > GIVE_UP_AFTER_S:
            raise requests.ConnectionError("the line is broken, and the answer could not be gone on with")
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _once(
    http: requests.Session, address: str, body: Mapping[str, Any], headers: Mapping[str, str]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """One request. Raises RequestException for what is to be tried again."""
    deadlines = (CONNECT_DEADLINE_S, SILENCE_S)
    with http.post(address, json=body, headers=headers, timeout=deadlines, stream=True) as response:
        if response.status_code != 200:
            if "Last-Event-ID" in headers and response.status_code in PASSING:
                raise requests.HTTPError(f"the chat answered {response.status_code}")
            raise Refused(response.json())
        yield from identified_events(response.iter_lines(decode_unicode=False))


def identified_events(lines: Iterable[bytes]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Id, name and data of each event of a stream of lines."""
    event_id, name, data = "", "message", ""
    for raw in lines:
        field, _, value = raw.decode().partition(": ")
        if field == "id":
            event_id = value
        elif field == "event":
            name = value
        elif field == "data":
            data += value
        elif not raw and data:
            yield event_id, name, json.loads(data)
            name, data = "message", ""
