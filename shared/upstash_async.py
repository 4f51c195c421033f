"""The HTTP under Upstash's asynchronous client, for an instance that has hundreds of requests at once.

Each turn of its event loop is long then: an answer must not take many of them, and the loop's own delay must not pass
for Redis's. While a call is under way, the commands of one turn go together, as a pipeline, and where CALLS_MOST are
under way, further commands wait for one of them to end: the instance is to spend its time on answers instead of on
HTTP. Each keeps its own answer, error and deadline.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from upstash_redis.http import _format_command, format_response

from shared.http_line import Line, target
from shared.upstash import DEADLINE_S, deadline

CALLS_MOST = 8  # at once
TOGETHER_MOST = 64  # commands in a call
DEADLINE_PARTS = 3

_as_json = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(eq=False, slots=True)
class _Asked:
    """A command, or a pipeline of the caller's own, and who waits for its answer."""

    url: str
    headers: dict[str, str]
    body: str  # JSON
    alone: bool
    answer: asyncio.Future[Any]
    timer: asyncio.TimerHandle | None = None
    call: _Call | None = None


@dataclass(eq=False, slots=True)
class _Call:
    asked: Sequence[_Asked]
    line: Line
    over: bool = False

    def send(self, ended: Callable[[bytes | Exception], None]) -> None:
        first = self.asked[0]
        if len(self.asked) == 1:
            url, body = first.url, first.body
        else:
            url, body = f"{first.url}/pipeline", f"[{','.join([each.body for each in self.asked])}]"
        self.line.carry(target(url, *first.headers.items()), body, ended)

    def abort_unless_awaited(self) -> None:
        if not self.over and all(each.answer.done() for each in self.asked):
            self.line.abort()


class AsyncHttp:
    """Raises TimeoutError, OSError, ValueError for what brings no answer, UpstashError for one that is an error."""

    calls_most = CALLS_MOST
    together_most = TOGETHER_MOST

    def __init__(self) -> None:
        self._tls = ssl.create_default_context()  # takes longer than a call may, so not within the first one
        self._waiting: deque[_Asked] = deque()
        self._free = [Line(self._tls) for _ in range(self.calls_most)]

    async def execute(self, url: str, headers: dict[str, Any], command: list[Any], from_pipeline: bool = False) -> Any:
        until = deadline() or time.monotonic() + DEADLINE_S
        body = _as_json(_format_command(command, from_pipeline=from_pipeline))
        loop = asyncio.get_running_loop()
        asked = _Asked(url, headers, body, from_pipeline, loop.create_future())
        self._waiting.append(asked)
        if len(self._free) == self.calls_most:
            self._send()
        elif len(self._waiting) == 1:
            loop.call_soon(self._send)  # with what else is asked in this turn
        _wait(asked, (until - time.monotonic()) / DEADLINE_PARTS, DEADLINE_PARTS)
        try:
            answer = await asked.answer
        finally:
            if asked.timer is not None:
                asked.timer.cancel()
            if asked.call is not None:
                asked.call.abort_unless_awaited()
        return [format_response(part, None) for part in answer] if from_pipeline else format_response(answer, None)

    async def close(self) -> None:
        for line in self._free:
            line.abort()
        await asyncio.sleep(0)  # in which the connections end

    def _send(self) -> None:
        while self._free and (together := self._next()):
            line = self._free.pop()
            if line.spent:
                line.abort()
                line = Line(self._tls)
            call = _Call(together, line)
            for each in together:
                each.call = call
            call.send(partial(self._ended, call))

    def _next(self) -> list[_Asked]:
        """What goes out next; whoever has given up meanwhile is left out."""
        taken: list[_Asked] = []
        while self._waiting and len(taken) < self.together_most and not (taken and self._waiting[0].alone):
            asked = self._waiting.popleft()
            if not asked.answer.done():
                taken.append(asked)
                if asked.alone:
                    break
        return taken

    def _ended(self, call: _Call, outcome: bytes | Exception) -> None:
        call.over = True
        _tell(call.asked, outcome)
        self._free.append(call.line)
        self._send()


def _wait(asked: _Asked, part_s: float, parts: int) -> None:
    """Gives up after so many parts of the time. A loop that was busy for long has used up one of them, no more, and
    reads what has come meanwhile before it gives up."""
    if parts < 0:
        if not asked.answer.done():
            asked.answer.set_exception(TimeoutError("Redis did not answer in time"))
    else:
        loop = asked.answer.get_loop()
        asked.timer = loop.call_later(part_s if parts else 0, _wait, asked, part_s, parts - 1)


def _tell(together: Sequence[_Asked], outcome: bytes | Exception) -> None:
    """Gives each its answer; whatever is wrong with the call is wrong for all in it."""
    try:
        answers = _answers(outcome, len(together))
    except Exception as error:
        for asked in together:
            if not asked.answer.done():
                asked.answer.set_exception(error)
    else:
        for asked, answer in zip(together, answers, strict=True):
            if not asked.answer.done():
                asked.answer.set_result(answer)


def _answers(outcome: bytes | Exception, commands: int) -> list[Any]:
    if isinstance(outcome, Exception):
        raise outcome
    answers = json.loads(outcome)
    if commands == 1:
        return [answers]
    if not isinstance(answers, list):  # one error for all
        return [answers] * commands
    if len(answers) != commands:
        raise ValueError(f"Redis gave {len(answers)} answers to {commands} commands")
    return answers
