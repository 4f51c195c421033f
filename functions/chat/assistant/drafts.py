"""An answer while it comes to be, and what of it a client has not had yet, as server-sent events.

A client's position is the number of characters it has and their checksum, and the id of every event says it. So
whoever comes back, to whichever instance, goes on at the very character; and where the answer was made anew and no
longer begins with what the client has, it is told to begin anew too. Pure: no clock, no network.
"""

from __future__ import annotations

import json
import re
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from assistant.pieces import TokenUsage
from shared.problems import Problem

COME_BACK_AFTER_MS = 100  # the field `retry`: within the grace that a production left alone is given
_EVENT_ID = re.compile(r"([A-Za-z0-9_-]{20}):(\d{1,7}):([0-9a-f]{8})")


@dataclass(frozen=True)
class Position:
    """How far a client is: characters it has (beyond the text: 1 for `usage`, 2 for `done`), and their CRC-32."""

    offset: int = 0
    checksum: int = 0

    def fits(self, text: str) -> bool:
        """Whether `text` begins with what the client has."""
        return zlib.crc32(_bytes(text[: self.offset])) == self.checksum

    def after(self, piece: str) -> Position:
        return Position(self.offset + len(piece), zlib.crc32(_bytes(piece), self.checksum))


def event_id(message_id: str, position: Position) -> str:
    return f"{message_id}:{position.offset}:{position.checksum:08x}"


def position_of(last_event_id: str) -> tuple[str, Position]:
    """The message and the position in a `Last-Event-ID`. Raises Problem `invalid-request` for one not of ours."""
    match = _EVENT_ID.fullmatch(last_event_id.strip())
    if match is None:
        raise Problem("invalid-request", "Last-Event-ID must be the id of an event of an answer's stream.")
    return match[1], Position(int(match[2]), int(match[3], 16))


@dataclass
class Draft:
    """An answer as far as it is known. `run` counts how often it was begun."""

    conversation_id: str
    message_id: str
    text: str = ""
    ends: list[int] = field(default_factory=list)  # where each piece ends
    run: int = 0
    usage: TokenUsage | None = None
    complete: bool = False
    problem: Problem | None = None

    @property
    def ended(self) -> bool:
        return self.complete or self.problem is not None

    def add(self, piece: str) -> None:
        # Half a surrogate pair, which a model's JSON can hold, is no character that could be sent or stored.
        self.text += piece.encode("utf-8", "replace").decode()
        if piece:
            self.ends.append(len(self.text))

    def begin_anew(self) -> None:
        self.text, self.ends, self.run = "", [], self.run + 1

    def become(self, text: str) -> None:
        """Takes over a text from elsewhere: goes on where it begins with this one, and begins anew where not."""
        if not text.startswith(self.text):
            self.begin_anew()
        self.add(text[len(self.text) :])

    def finish(self, usage: TokenUsage) -> None:
        self.usage, self.complete = usage, True

    def as_json(self) -> dict[str, Any]:
        """The JSON of `POST /v1/chat`, of a complete answer."""
        return {
            "conversationId": self.conversation_id,
            "messageId": self.message_id,
            "answer": self.text,
            "usage": asdict(self.usage or TokenUsage()),
        }


class Cursor:
    """One client's reading of a draft."""

    def __init__(self, draft: Draft, position: Position | None) -> None:
        self._draft = draft
        self._position = position  # None: it has nothing, not even message.start
        self._run: int | None = None  # the run that is known to begin with what the client has

    def events(self) -> Iterator[str]:
        """The events that the client has not had, as far as the draft goes."""
        if self._position is None:
            yield self._start()
        if self._agrees() is False:
            yield self._start()
        if self._run == self._draft.run:
            yield from self._deltas()
            if self._draft.complete:
                yield from self._end()
        if self._draft.problem is not None:
            yield self._event("error", self._draft.problem.as_dict())

    def _agrees(self) -> bool | None:
        """Whether the draft begins with what the client has; None while it is too short to tell."""
        draft, position = self._draft, self._position or Position()
        if self._run == draft.run:
            return True
        if len(draft.text) < position.offset and not draft.complete:
            return None
        self._run = draft.run
        return position.fits(draft.text)

    def _start(self) -> str:
        self._position, self._run = Position(), self._draft.run
        ids = {"conversationId": self._draft.conversation_id, "messageId": self._draft.message_id}
        return f"retry: {COME_BACK_AFTER_MS}\n" + self._event("message.start", ids)

    def _deltas(self) -> Iterator[str]:
        position = self._position or Position()
        for end in self._draft.ends[bisect_right(self._draft.ends, position.offset) :]:
            piece = self._draft.text[position.offset : end]
            self._position = position = position.after(piece)
            yield self._event("delta", {"text": piece})

    def _end(self) -> Iterator[str]:
        answer, length = self._draft.as_json(), len(self._draft.text)
        for number, (name, data) in enumerate((("usage", answer["usage"]), ("done", answer)), start=1):
            position = self._position or Position()
            if position.offset < length + number:
                self._position = Position(length + number, position.checksum)
                yield self._event(name, data)

    def _event(self, name: str, data: Mapping[str, Any]) -> str:
        body = json.dumps(data, ensure_ascii=False)
        identity = event_id(self._draft.message_id, self._position or Position())
        return f"id: {identity}\nevent: {name}\ndata: {body}\n\n"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
