"""Commands of an asynchronous function that is under load go to Redis together; each keeps its answer and deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from upstash_redis.errors import UpstashError

from shared import upstash
from shared.upstash_http import CALLS_MOST, TOGETHER_MOST, AsyncHttp


class Line(AsyncHttp):
    """Answers ["ECHO", x] with x, once it is let; what it was sent, call by call."""

    def __init__(self, broken: Callable[[Any], Any] | None = None) -> None:
        super().__init__()
        self.calls: list[Any] = []
        self.opened = asyncio.Event()
        self.broken = broken

    async def _post(self, url: str, headers: dict[str, Any], body: list[Any]) -> Any:
        self.calls.append(body)
        await self.opened.wait()
        if self.broken is not None and url.endswith("/pipeline"):
            return self.broken(body)
        return [answer(command) for command in body] if url.endswith("/pipeline") else answer(body)

    async def ask(self, word: str) -> Any:
        return await self.execute("http://redis", {}, ["ECHO", word])


def answer(command: list[Any]) -> dict[str, Any]:
    return {"error": "ERR bad"} if command[1] == "bad" else {"result": command[1]}


def run(play: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(play())


async def started(line: Line, words: list[str]) -> list[asyncio.Task[Any]]:
    tasks = [asyncio.create_task(line.ask(word)) for word in words]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


def test_few_commands_go_alone_and_at_once() -> None:
    async def play() -> None:
        line = Line()
        tasks = await started(line, [f"{number}" for number in range(CALLS_MOST)])
        assert line.calls == [["ECHO", f"{number}"] for number in range(CALLS_MOST)]
        line.opened.set()
        assert await asyncio.gather(*tasks) == [f"{number}" for number in range(CALLS_MOST)]

    run(play)


def test_what_comes_meanwhile_goes_together_and_each_gets_its_own_answer_or_error() -> None:
    async def play() -> None:
        line, many = Line(), CALLS_MOST + TOGETHER_MOST + 5
        words = ["bad" if number % 7 == 0 else f"{number}" for number in range(many)]
        tasks = await started(line, words)
        line.opened.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(
            isinstance(told, UpstashError) if word == "bad" else told == word
            for word, told in zip(words, answers, strict=True)
        )
        assert len(line.calls) == CALLS_MOST + 2
        assert len(line.calls[CALLS_MOST]) == TOGETHER_MOST

    run(play)


def test_whoever_gives_up_while_waiting_is_not_sent_and_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.upstash_http.DEADLINE_S", 5.0)

    async def play() -> None:
        line = Line()
        first = await started(line, ["first"] * CALLS_MOST)
        with upstash.within(0.02):
            hasty = [asyncio.create_task(line.ask("hasty")) for _ in range(TOGETHER_MOST)]
        patient = asyncio.create_task(line.ask("patient"))
        gone = await asyncio.gather(*hasty, return_exceptions=True)
        assert all(isinstance(told, TimeoutError) for told in gone)
        line.opened.set()
        assert await patient == "patient"
        assert await asyncio.gather(*first) == ["first"] * CALLS_MOST
        assert line.calls[CALLS_MOST:] == [[["ECHO", "patient"]]]

    run(play)


@pytest.mark.parametrize(
    "broken",
    [lambda _: {"error": "ERR too large"}, lambda _: "garbage", lambda body: [answer(body[0])], lambda _: 1 / 0],
    ids=["refused as a whole", "garbage", "too few answers", "the line breaks"],
)
def test_a_call_that_fails_fails_for_all_in_it_and_the_next_one_goes(broken: Callable[[Any], Any]) -> None:
    async def play() -> None:
        line = Line(broken)
        tasks = await started(line, ["alone"] * CALLS_MOST + ["together"] * 3)
        line.opened.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert answers[:CALLS_MOST] == ["alone"] * CALLS_MOST
        assert all(isinstance(told, Exception) for told in answers[CALLS_MOST:])
        assert await line.ask("later") == "later"

    run(play)


def test_a_call_that_is_cancelled_makes_room_for_the_next() -> None:
    async def play() -> None:
        line = Line()
        tasks = await started(line, ["gone"] * CALLS_MOST + ["waiting"])
        for task in tasks[:CALLS_MOST]:
            task.cancel()
        line.opened.set()
        assert await tasks[-1] == "waiting"

    run(play)
