"""What instances tell each other of answers under way: a list of lines in Redis for each, kept for 10 minutes.

An answer that is done at once (the advisor's) is never written here. One that takes longer is written from its third
second on, all of an instance's in one call every two seconds; so a client who comes back to another instance, while its
old line only seems to stand, reads on with that delay. Lines may come twice, and from two producers: each names its
producer and where its text begins. Without Redis nothing is written and nothing read, and that is all.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from assistant.pieces import TokenUsage
from shared import telemetry

KEPT_S = 600
TICK_S = 2.0
LEASE_S = 7.0  # a producer that has not written for this long is gone
LINES_A_CALL = 200
DEADLINE_S = 1.0


@dataclass(frozen=True)
class Line:
    """A piece of an answer, or only a sign of life; with `end`, the last line of its producer."""

    producer: str
    at: int  # where in the answer the text begins
    text: str
    end: str | None = None  # "done", "stopped" (nobody listened), "failed"
    usage: dict[str, Any] | None = None

    def as_json(self) -> str:
        members = {"p": self.producer, "at": self.at, "t": self.text, "end": self.end, "usage": self.usage}
        return json.dumps({name: value for name, value in members.items() if value is not None})


@dataclass(frozen=True)
class Seen:
    """What the lines tell: the text of the last producer, whether it is still at it, and how many there were."""

    text: str = ""
    end: str | None = None
    usage: TokenUsage | None = None
    producers: int = 0
    age_s: float = 0.0

    @property
    def alive(self) -> bool:
        return self.producers > 0 and self.end is None and self.age_s < LEASE_S


class Producer(Protocol):
    """Whose answer is written: `line` is what is not written yet, `written` says that it now is."""

    key: str
    started: float  # time.monotonic()

    @property
    def ended(self) -> bool: ...
    def line(self) -> Line: ...
    def written(self, line: Line) -> None: ...


def key(uid: str, message_id: str) -> str:
    return f"answer:{uid}:{message_id}"


def seen(raw_lines: Iterable[str], age_s: float = 0.0) -> Seen:
    """What raw lines tell, however often each came and in whatever order two producers wrote."""
    lines = [Line(m["p"], m["at"], m["t"], m.get("end"), m.get("usage")) for m in map(json.loads, raw_lines)]
    if not lines:
        return Seen()
    producers = list(dict.fromkeys(line.producer for line in lines))
    own = [line for line in lines if line.producer == producers[-1]]
    text = ""
    for line in own:
        if line.at <= len(text):
            text = text[: line.at] + line.text if line.at + len(line.text) > len(text) else text
    last = next((line for line in own if line.end is not None), own[-1])
    usage = TokenUsage(**last.usage) if last.usage is not None else None
    return Seen(text, last.end, usage, len(producers), age_s)


class Journal:
    """Writes the lines of this instance's producers, every tick those that are older than one."""

    def __init__(self, append: Callable[[Sequence[tuple[str, Line]]], Any], tick_s: float = TICK_S) -> None:
        self._append = append
        self._tick_s = tick_s
        self._producers: dict[str, Producer] = {}
        self._writing: asyncio.Task[None] | None = None
        self._silent = False

    def watch(self, producer: Producer) -> None:
        self._producers[producer.key] = producer
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_on())

    def forget(self, producer: Producer) -> None:
        if self._producers.get(producer.key) is producer:
            del self._producers[producer.key]

    async def write(self, producers: Sequence[Producer]) -> None:
        """Writes what these producers have now. Never raises: what was not written is written with the next line."""
        for start in range(0, len(producers), LINES_A_CALL):
            lines = [(producer, producer.line()) for producer in producers[start : start + LINES_A_CALL]]
            try:
                await self._append([(producer.key, line) for producer, line in lines])
            except Exception as error:  # an answer goes on without its journal
                if not self._silent:
                    telemetry.warning("answers under way cannot be noted", error=type(error).__name__)
                self._silent = True
                return
            self._silent = False
            for producer, line in lines:
                producer.written(line)

    async def _write_on(self) -> None:
        while self._producers:
            await asyncio.sleep(self._tick_s)
            old = time.monotonic() - self._tick_s
            due = [producer for producer in self._producers.values() if producer.started <= old]
            ending = [producer for producer in due if producer.ended]
            await self.write(due)
            for producer in ending:  # once is enough: without its last line, a producer's lease runs out
                self.forget(producer)


async def append(lines: Sequence[tuple[str, Line]]) -> None:
    """Appends lines to the lists of their keys, in one call."""
    from shared import clients, upstash

    pipeline = clients.redis_async().pipeline()
    for name, line in lines:
        pipeline.rpush(name, line.as_json())
        pipeline.pexpire(name, KEPT_S * 1000)
    with upstash.within(DEADLINE_S):
        await pipeline.exec()


async def read(name: str) -> Seen | None:
    """What other instances have told of an answer; None where Redis does not answer."""
    from shared import clients, upstash

    pipeline = clients.redis_async().pipeline()
    pipeline.lrange(name, 0, -1)
    pipeline.pttl(name)
    try:
        with upstash.within(DEADLINE_S):
            lines, left_ms = cast(tuple[list[str], int], await pipeline.exec())
        return seen(lines, KEPT_S - left_ms / 1000)
    except Exception as error:
        telemetry.warning("what is noted of an answer cannot be read", error=type(error).__name__)
        return None
