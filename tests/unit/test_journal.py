"""What instances tell each other of answers under way: lines that may come twice, and from two producers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from assistant.journal import LEASE_S, Journal, Line, seen
from assistant.pieces import TokenUsage


def lines_of(producer: str, pieces: Sequence[str]) -> list[str]:
    starts = [len("".join(pieces[:number])) for number in range(len(pieces))]
    return [Line(producer, at, piece).as_json() for at, piece in zip(starts, pieces, strict=True)]


@given(st.lists(st.text(max_size=5), min_size=1), st.data())
def test_lines_that_came_twice_tell_the_text_once(pieces: list[str], data: st.DataObject) -> None:
    raw = lines_of("p", pieces)
    repeated = [line for line in raw for _ in range(data.draw(st.integers(1, 3)))]
    assert seen(repeated).text == "".join(pieces)


def test_of_two_producers_the_later_one_counts() -> None:
    first, second = lines_of("p", ["an old ", "answer"]), lines_of("q", ["a new ", "one"])
    found = seen([first[0], second[0], first[1], second[1]])
    assert (found.text, found.producers) == ("a new one", 2)


def test_a_producer_is_alive_until_it_ends_or_is_silent_for_longer_than_its_lease() -> None:
    lines = lines_of("p", ["text"])
    assert seen(lines, age_s=1.0).alive
    assert not seen(lines, age_s=LEASE_S).alive
    ended = Line("p", 4, "", "done", {"model": "m", "promptTokens": 3}).as_json()
    found = seen([*lines, ended], age_s=0.1)
    assert (found.alive, found.end, found.text, found.usage) == (False, "done", "text", TokenUsage("m", 3))
    assert not seen([]).alive


class Answer:
    """A producer whose answer is what the test says."""

    def __init__(self, age_s: float) -> None:
        self.key = f"answer:{age_s}"
        self.started = time.monotonic() - age_s
        self.text = ""
        self.ended = False
        self._at = 0

    def line(self) -> Line:
        return Line("p", self._at, self.text[self._at :], "done" if self.ended else None)

    def written(self, line: Line) -> None:
        self._at = line.at + len(line.text)


def test_one_call_a_tick_carries_what_is_new_of_every_answer_older_than_a_tick() -> None:
    calls: list[list[tuple[str, Line]]] = []

    written = asyncio.Event()

    async def append(lines: Sequence[tuple[str, Line]]) -> None:
        calls.append(list(lines))
        written.set()

    async def run() -> None:
        journal = Journal(append, tick_s=0.02)
        old, older, young = Answer(5), Answer(6), Answer(-60)
        for producer in (old, older, young):
            producer.text = "some"
            journal.watch(producer)
        await written.wait()
        old.text, old.ended, older.ended = "something", True, True
        journal.forget(young)
        await journal._writing  # type: ignore[misc]  # it ends with the last producer

    asyncio.run(run())
    assert sorted(name for name, _ in calls[0]) == ["answer:5", "answer:6"]
    assert all(line.text == "some" for _, line in calls[0])
    assert ("answer:5", Line("p", 4, "thing", "done")) in calls[-1]


def test_without_redis_nothing_is_raised_and_what_was_not_written_is_written_later() -> None:
    calls: list[list[tuple[str, Line]]] = []

    async def append(lines: Sequence[tuple[str, Line]]) -> None:
        calls.append(list(lines))
        if len(calls) == 1:
            raise TimeoutError

    async def run() -> None:
        journal, answer = Journal(append), Answer(5)
        answer.text = "some"
        await journal.write([answer])
        answer.text = "something"
        await journal.write([answer])

    asyncio.run(run())
    assert [line.text for ((_, line),) in calls] == ["some", "something"]
