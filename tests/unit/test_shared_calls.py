"""Commands of an asynchronous function that is under load go to Redis together; each keeps its answer and deadline."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from upstash_redis.errors import UpstashError

from shared import upstash, upstash_async
from shared.http_line import Ended, Target
from shared.upstash_async import CALLS_MOST, TOGETHER_MOST, AsyncHttp


class Server:
    """Answers ["ECHO", x] with x, once it is let; what it was sent, call by call."""

    def __init__(self, broken: Callable[[Any], Any] | None = None) -> None:
        self.calls: list[Any] = []
        self.open = False
        self.broken = broken
        self.silent: list[Line] = []

    def let(self) -> None:
        self.open = True
        while self.silent:
            self.silent.pop(0).answer()

    def outcome(self, path: str, body: Any) -> bytes | Exception:
        together = path == "/pipeline"
        try:
            if self.broken is not None and together:
                return json.dumps(self.broken(body)).encode()
        except ArithmeticError as error:
            return error
        return json.dumps([answer(command) for command in body] if together else answer(body)).encode()


class Line:
    """A line to that server."""

    spent = False

    def __init__(self, server: Server) -> None:
        self.server = server
        self.aborted = 0
        self.ended: Ended | None = None

    def carry(self, to: Target, body: str, ended: Ended) -> None:
        self.path, self.body, self.ended = to.head.split(" ")[1], json.loads(body), ended
        self.server.calls.append(self.body)
        if self.server.open:
            asyncio.get_running_loop().call_soon(self.answer)
        else:
            self.server.silent.append(self)

    def answer(self) -> None:
        ended, self.ended = self.ended, None
        if ended is not None:
            ended(self.server.outcome(self.path, self.body))

    def abort(self) -> None:
        self.aborted += 1
        ended, self.ended = self.ended, None
        if ended is not None:
            ended(ConnectionAbortedError("given up"))


def answer(command: list[Any]) -> dict[str, Any]:
    return {"error": "ERR bad"} if command[1] == "bad" else {"result": command[1]}


class Client:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, broken: Callable[[Any], Any] | None = None) -> None:
        self.server = Server(broken)
        monkeypatch.setattr(upstash_async, "Line", lambda _: Line(self.server))
        self.http = AsyncHttp()

    async def ask(self, word: str) -> Any:
        return await self.http.execute("http://redis", {}, ["ECHO", word])

    async def pipeline(self, *words: str) -> Any:
        commands = [["ECHO", word] for word in words]
        return await self.http.execute("http://redis/pipeline", {}, commands, from_pipeline=True)

    async def asking(self, words: list[str]) -> list[asyncio.Task[Any]]:
        """All in one turn of the loop."""
        tasks = [asyncio.create_task(self.ask(word)) for word in words]
        await turns()
        return tasks

    async def asking_in_turn(self, words: list[str]) -> list[asyncio.Task[Any]]:
        return [task for word in words for task in await self.asking([word])]


async def turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def run(play: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(play())


def test_few_commands_go_alone_and_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        client = Client(monkeypatch)
        words = [f"{number}" for number in range(CALLS_MOST)]
        tasks = await client.asking_in_turn(words)
        assert client.server.calls == [["ECHO", word] for word in words]
        client.server.let()
        assert await asyncio.gather(*tasks) == words

    run(play)


def test_of_one_turn_of_the_loop_the_first_goes_at_once_and_the_others_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play() -> None:
        client = Client(monkeypatch)
        words = [f"{number}" for number in range(TOGETHER_MOST + 6)]
        tasks = await client.asking(words)
        assert [len(call) for call in client.server.calls] == [2, TOGETHER_MOST, 5]
        assert client.server.calls[0] == ["ECHO", "0"]
        client.server.let()
        assert await asyncio.gather(*tasks) == words

    run(play)


def test_what_comes_while_all_lines_are_busy_goes_together_and_each_gets_its_own_answer_or_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play() -> None:
        client, many = Client(monkeypatch), CALLS_MOST + TOGETHER_MOST + 5
        words = ["bad" if number % 7 == 0 else f"{number}" for number in range(many)]
        tasks = await client.asking_in_turn(words)
        client.server.let()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(
            isinstance(told, UpstashError) if word == "bad" else told == word
            for word, told in zip(words, answers, strict=True)
        )
        assert len(client.server.calls) == CALLS_MOST + 2
        assert len(client.server.calls[CALLS_MOST]) == TOGETHER_MOST

    run(play)


def test_a_pipeline_of_the_callers_own_stays_one_call_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        client = Client(monkeypatch)
        first = await client.asking_in_turn(["first"] * CALLS_MOST)
        before = await client.asking(["a", "b"])
        own = asyncio.create_task(client.pipeline("x", "y"))
        await asyncio.sleep(0)
        after = await client.asking(["c"])
        client.server.let()
        assert await own == ["x", "y"]
        assert await asyncio.gather(*first, *before, *after) == ["first"] * CALLS_MOST + ["a", "b", "c"]
        together = [["ECHO", "a"], ["ECHO", "b"]], [["ECHO", "x"], ["ECHO", "y"]], ["ECHO", "c"]
        assert client.server.calls[CALLS_MOST:] == list(together)

    run(play)


def test_whoever_gives_up_while_waiting_is_not_sent_and_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstash_async, "DEADLINE_S", 5.0)

    async def play() -> None:
        client = Client(monkeypatch)
        first = await client.asking_in_turn(["first"] * CALLS_MOST)
        with upstash.within(0.02):
            hasty = [asyncio.create_task(client.ask("hasty")) for _ in range(TOGETHER_MOST)]
        patient = asyncio.create_task(client.ask("patient"))
        gone = await asyncio.gather(*hasty, return_exceptions=True)
        assert all(isinstance(told, TimeoutError) for told in gone)
        client.server.let()
        assert await patient == "patient"
        assert await asyncio.gather(*first) == ["first"] * CALLS_MOST
        assert client.server.calls[CALLS_MOST:] == [["ECHO", "patient"]]

    run(play)


def test_a_call_ends_when_nobody_waits_for_it_any_more_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstash_async, "DEADLINE_S", 5.0)

    async def play() -> None:
        client = Client(monkeypatch)
        alone = await client.asking_in_turn(["alone"] * CALLS_MOST)
        with upstash.within(0.02):
            hasty = await client.asking(["hasty"])
        patient = await client.asking(["patient"])
        client.server.silent[0].answer()  # makes room for the two, together
        line = client.server.silent[-1]
        assert line.body == [["ECHO", "hasty"], ["ECHO", "patient"]]
        assert isinstance((await asyncio.gather(*hasty, return_exceptions=True))[0], TimeoutError)
        assert line.aborted == 0
        patient[0].cancel()
        await asyncio.gather(*patient, return_exceptions=True)
        assert line.aborted == 1
        client.server.let()
        assert await asyncio.gather(*alone) == ["alone"] * CALLS_MOST

    run(play)


@pytest.mark.parametrize(
    "broken",
    [lambda _: {"error": "ERR too large"}, lambda _: "garbage", lambda body: [answer(body[0])], lambda _: 1 / 0],
    ids=["refused as a whole", "garbage", "too few answers", "the line breaks"],
)
def test_a_call_that_fails_fails_for_all_in_it_and_the_next_one_goes(
    monkeypatch: pytest.MonkeyPatch, broken: Callable[[Any], Any]
) -> None:
    async def play() -> None:
        client = Client(monkeypatch, broken)
        tasks = await client.asking_in_turn(["alone"] * CALLS_MOST + ["together"] * 3)
        client.server.let()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert answers[:CALLS_MOST] == ["alone"] * CALLS_MOST
        assert all(isinstance(told, Exception) for told in answers[CALLS_MOST:])
        assert await client.ask("later") == "later"

    run(play)


def test_a_call_that_is_cancelled_makes_room_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        client = Client(monkeypatch)
        tasks = await client.asking_in_turn(["gone"] * CALLS_MOST + ["waiting"])
        client.server.open = True
        for task in tasks[:CALLS_MOST]:
            task.cancel()
        assert await tasks[-1] == "waiting"

    run(play)


def test_a_delay_of_the_event_loop_is_not_taken_for_silence_of_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstash_async, "DEADLINE_S", 0.06)

    async def play() -> None:
        client = Client(monkeypatch)
        tasks = await client.asking(["slow"])
        for _ in range(2):
            time.sleep(0.07)  # noqa: ASYNC251  # something else holds the loop up, for longer than the deadline
            await asyncio.sleep(0)
        client.server.let()
        assert await tasks[0] == "slow"

    run(play)


def test_a_line_that_has_been_closed_meanwhile_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        client = Client(monkeypatch)
        client.server.open = True
        assert await client.ask("first") == "first"
        used = client.http._free[-1]
        used.spent = True  # type: ignore[misc]
        assert await client.ask("second") == "second"
        assert used not in client.http._free
        assert len(client.http._free) == CALLS_MOST

    run(play)
