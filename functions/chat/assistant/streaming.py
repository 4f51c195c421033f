"""Server-sent events (WHATWG HTML, section 9.2): one answer as message.start, delta, usage, done."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from assistant.conversations import Asked
from shared.http import Answer, Request

CONTENT_TYPE = "text/event-stream; charset=utf-8"


class OpenStream(Answer):
    """An answer whose body is still to come, as events; each has an id, so that a client knows where it was."""

    def __init__(self, asked: Asked, headers: Mapping[str, str]) -> None:
        super().__init__(200, "", {"Content-Type": CONTENT_TYPE, "X-Accel-Buffering": "no", **headers})
        self.asked = asked
        self._number = 0

    def event(self, name: str, data: Mapping[str, Any]) -> str:
        self._number += 1
        body = json.dumps(data, ensure_ascii=False)
        return f"id: {self.asked.message_id}:{self._number}\nevent: {name}\ndata: {body}\n\n"


def wants_json(request: Request) -> bool:
    accepted = request.headers.get("accept", "")
    return "application/json" in accepted and "text/event-stream" not in accepted


def sentences(text: str) -> Iterator[str]:
    """A text in the pieces in which it is released; joined, they are the text."""
    yield from re.findall(r".+?(?:[.!?:]\s+|\n+|$)|\n+", text, flags=re.DOTALL)
