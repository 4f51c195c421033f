"""Turns of an asynchronous instance: so many at once, the rest in the order in which they came, for a bounded time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


class NoTurnError(Exception):
    """So many were before this one that its time is over."""


@dataclass(eq=False, slots=True)
class _Turn:
    work: Callable[[], Coroutine[Any, Any, Any]]
    ended: asyncio.Future[Any]
    context: Context
    until: float  # by the loop's clock
    task: asyncio.Task[None] | None = None  # the loop itself keeps none


class Turns:
    """Whoever waits is woken once, when the work is done: waking a request goes through all that has called it."""

    def __init__(self, most: int, within_s: float) -> None:
        self._free = most
        self._within_s = within_s
        self._waiting: deque[_Turn] = deque()
        self._timer: asyncio.TimerHandle | None = None  # for the first that waits

    async def take(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Does the work when it is its turn. Raises NoTurnError where that is not within the time."""
        if self._free:
            self._free -= 1
            try:
                return await work()
            finally:
                self._pass_on()
        loop = asyncio.get_running_loop()
        turn = _Turn(work, loop.create_future(), copy_context(), loop.time() + self._within_s)
        self._waiting.append(turn)
        if self._timer is None:
            self._timer = loop.call_at(turn.until, self._give_up)
        result: T = await turn.ended
        return result

    def _give_up(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and self._waiting[0].until <= loop.time():
            turn = self._waiting.popleft()
            if not turn.ended.done():
                turn.ended.set_exception(NoTurnError)
        self._timer = loop.call_at(self._waiting[0].until, self._give_up) if self._waiting else None

    def _pass_on(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.ended.done():
                turn.task = asyncio.get_running_loop().create_task(self._do(turn), context=turn.context)
                return
        self._free += 1

    async def _do(self, turn: _Turn) -> None:
        try:
            result = await turn.work()
            if not turn.ended.done():
                turn.ended.set_result(result)
        except Exception as error:
            if not turn.ended.done():
                turn.ended.set_exception(error)
        finally:
            self._pass_on()
