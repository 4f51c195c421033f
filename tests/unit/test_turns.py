"""Turns: so many requests of an asynchronous instance at once, the others in order, none for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.turns import NoTurnError, Turns

who: ContextVar[str] = ContextVar("who")


def run(play: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(play())


class Works:
    """Works that last until they are let; who is at it, and in which order they began."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.at_once = self.most = 0
        self.began: list[int] = []

    def __call__(self, number: int) -> Callable[[], Coroutine[Any, Any, int]]:
        async def work() -> int:
            self.began.append(number)
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            try:
                await self.gate.wait()
                if number < 0:
                    raise ValueError(number)
                return number
            finally:
                self.at_once -= 1

        return work


@given(most=st.integers(1, 5), numbers=st.lists(st.integers(-3, 50), max_size=30))
def test_each_gets_its_own_result_in_the_order_of_coming_and_never_more_at_once(most: int, numbers: list[int]) -> None:
    async def play() -> None:
        works, turns = Works(), Turns(most, 5.0)
        tasks = [asyncio.create_task(turns.take(works(number))) for number in numbers]
        await asyncio.sleep(0)
        works.gate.set()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [str(result) for result in ended] == [str(number) for number in numbers]
        assert works.began == numbers
        assert works.most <= most

    run(play)


def test_whoever_has_no_turn_in_time_is_told_so_and_takes_none_later() -> None:
    async def play() -> None:
        works, turns = Works(), Turns(1, 0.01)
        first = asyncio.create_task(turns.take(works(1)))
        await asyncio.sleep(0)
        with pytest.raises(NoTurnError):
            await turns.take(works(2))
        works.gate.set()
        assert await first == 1
        assert await turns.take(works(3)) == 3
        assert works.began == [1, 3]

    run(play)


def test_work_that_has_begun_is_not_cut_off_by_the_time_to_wait() -> None:
    async def play() -> None:
        works, turns, short = Works(), Turns(1, 0.02), asyncio.Event()
        first = asyncio.create_task(turns.take(short.wait))
        await asyncio.sleep(0)
        second = asyncio.create_task(turns.take(works(2)))
        await asyncio.sleep(0)
        short.set()
        await asyncio.sleep(0.05)
        works.gate.set()
        assert await first
        assert await second == 2

    run(play)


def test_whoever_leaves_while_waiting_or_at_work_takes_nobodys_turn_away() -> None:
    async def play() -> None:
        works, turns = Works(), Turns(1, 5.0)
        tasks = [asyncio.create_task(turns.take(works(number))) for number in range(4)]
        await asyncio.sleep(0)
        for leaving in (tasks[1], tasks[0]):
            leaving.cancel()
        await asyncio.sleep(0)
        works.gate.set()
        assert await asyncio.gather(*tasks[2:]) == [2, 3]
        assert works.began == [0, 2, 3]
        assert await turns.take(works(5)) == 5

    run(play)


def test_waiting_work_runs_in_the_context_of_whoever_asked() -> None:
    async def named() -> str:
        return who.get()

    async def asks(turns: Turns, name: str) -> str:
        who.set(name)
        return await turns.take(named)

    async def play() -> None:
        works, turns = Works(), Turns(1, 5.0)
        first = asyncio.create_task(turns.take(works(1)))
        await asyncio.sleep(0)
        others = [asyncio.create_task(asks(turns, name)) for name in ("ana", "bia")]
        await asyncio.sleep(0)
        works.gate.set()
        assert await asyncio.gather(*others) == ["ana", "bia"]
        assert await first == 1

    run(play)
