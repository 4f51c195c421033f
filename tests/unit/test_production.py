"""Answers under way: produced once, heard by many, stopped when nobody listens, found again by who comes back."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from assistant import production
from assistant.conversations import Ask, Asked
from assistant.drafts import Position
from assistant.journal import Journal, Line, Seen, seen
from assistant.pieces import Piece, Text, TokenUsage
from assistant.production import Listener, Productions, Work
from assistant.questions import Question
from assistant.streaming import KEEP_ALIVE, events
from shared import observations
from shared.identity import Caller
from shared.plans import Plan
from shared.problems import Problem

MESSAGE = "m" * 20
PIECES = ["Lower the ceiling. ", "Then raise ", "the loudness."]
WHOLE = "".join(PIECES)


class World:
    """What is outside of productions: documents, a model that speaks when told, and what instances note."""

    def __init__(self) -> None:
        self.stored: str | None = None
        self.lines: dict[str, list[str]] = {}
        self.asked_ago = timedelta(0)
        self.repeated = False
        self.refusal: Problem | None = None
        self.runs = 0
        self.closed = asyncio.Event()
        self.go = asyncio.Semaphore(0)
        self.written = asyncio.Event()
        self.pieces_of_run: list[Sequence[str]] = [PIECES]

    async def ask(self, ask: Ask) -> Asked:
        if self.refusal is not None:
            raise self.refusal
        asked = Asked(ask.caller.uid, ask.conversation_id, ask.message_id, ask.question.text, "en")
        at = datetime.now(UTC) - self.asked_ago
        return replace(asked, asked_at=at, repeated=self.repeated, earlier_answer=None)

    async def pieces(self, asked: Asked, plan: Plan) -> AsyncGenerator[Piece, None]:
        texts = self.pieces_of_run[min(self.runs, len(self.pieces_of_run) - 1)]
        self.runs += 1
        try:
            for text in texts:
                await self.go.acquire()
                yield Text(text)
            yield TokenUsage("model", 1, 2)
        finally:
            self.closed.set()

    async def keep(self, asked: Asked, text: str, usage: TokenUsage) -> str:
        self.stored = self.stored or text
        return self.stored

    async def answer(self, asked: Asked) -> str | None:
        return self.stored

    async def noted(self, key: str) -> Seen | None:
        return seen(self.lines.get(key, []))

    async def append(self, lines: Sequence[tuple[str, Line]]) -> None:
        for name, line in lines:
            self.lines.setdefault(name, []).append(line.as_json())
        self.written.set()

    def instance(self) -> Productions:
        return Productions(Work(self.ask, self.pieces, self.keep, self.answer, self.noted), Journal(self.append, 0.01))

    def say(self, pieces: int) -> None:
        for _ in range(pieces):
            self.go.release()


def request(after: Position | None = None, text: str = "Why?", *, repeats: bool = False, uid: str = "ana") -> Ask:
    return Ask(Caller(uid, "token"), Question(text, (), None, None), "c", MESSAGE, repeats or after is not None, after)


async def heard(listener: Listener) -> str:
    """The whole stream of a listener, which is closed at its end."""
    try:
        return "".join([text async for text in events(listener, 0.05) if text != KEEP_ALIVE])
    finally:
        listener.close()


Test = Callable[..., Awaitable[None]]


def in_a_world(test: Test) -> Callable[[pytest.MonkeyPatch], None]:
    def runner(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(production, "GRACE_S", 0.03)
        monkeypatch.setattr(production, "POLL_S", 0.01)

        async def run() -> None:
            async with asyncio.timeout(20):
                with_patch = "monkeypatch" in inspect.signature(test).parameters
                await (test(World(), monkeypatch) if with_patch else test(World()))

        asyncio.run(run())

    runner.__name__ = test.__name__
    return runner


@in_a_world
async def test_the_first_piece_is_heard_before_the_last_is_produced(world: World) -> None:
    listener = world.instance().listen(request())
    world.say(1)
    await listener.until(lambda: listener.draft.text == PIECES[0])
    assert PIECES[0] in "".join(listener.cursor.events())
    assert not listener.draft.ended
    world.say(2)
    assert '"answer": "Lower the ceiling. Then raise the loudness."' in await heard(listener)
    assert world.stored == WHOLE


@in_a_world
async def test_a_client_that_leaves_stops_the_model_after_a_short_grace(world: World) -> None:
    instance = world.instance()
    listener = instance.listen(request())
    world.say(1)
    await listener.until(lambda: listener.draft.text == PIECES[0])
    listener.leave()
    await world.closed.wait()
    assert world.stored is None
    assert seen(next(iter(world.lines.values()))).end == "stopped"


@in_a_world
async def test_a_client_back_within_the_grace_finds_the_model_still_speaking(world: World) -> None:
    instance = world.instance()
    listener = instance.listen(request())
    world.say(1)
    await listener.until(lambda: listener.draft.text == PIECES[0])
    listener.leave()
    again = instance.listen(request(Position().after(PIECES[0])))
    world.say(2)
    stream = await heard(again)
    assert "message.start" not in stream
    assert PIECES[0] not in stream.split("event: usage")[0]
    assert (world.runs, world.stored) == (1, WHOLE)


@in_a_world
async def test_two_listeners_hear_the_same_answer_and_one_leaving_stops_nothing(world: World) -> None:
    instance = world.instance()
    first, second = instance.listen(request()), instance.listen(request(Position()))
    world.say(1)
    first.leave()
    world.say(2)
    assert WHOLE in await heard(second)
    assert world.runs == 1


@in_a_world
async def test_a_model_that_was_stopped_is_not_lost_the_question_is_answered_anew_from_where_it_agrees(
    world: World,
) -> None:
    listener = world.instance().listen(request())
    world.say(1)
    await listener.until(lambda: listener.draft.text == PIECES[0])
    listener.leave()
    await world.closed.wait()
    world.repeated = True
    world.say(3)
    stream = await heard(world.instance().listen(request(Position().after(PIECES[0]))))
    assert "message.start" not in stream
    assert (world.runs, world.stored) == (2, WHOLE)


@in_a_world
async def test_where_the_new_answer_is_another_the_client_is_told_to_begin_anew(world: World) -> None:
    world.pieces_of_run = [PIECES, ["Quite another answer."]]
    listener = world.instance().listen(request())
    world.say(1)
    await listener.until(lambda: listener.draft.text == PIECES[0])
    listener.leave()
    await world.closed.wait()
    world.repeated = True
    world.say(1)
    stream = await heard(world.instance().listen(request(Position().after(PIECES[0]))))
    assert stream.index("message.start") < stream.index("Quite another answer.")


@in_a_world
async def test_on_another_instance_a_client_reads_along_to_the_letter_while_the_first_goes_on(world: World) -> None:
    first, second = world.instance(), world.instance()
    dark = first.listen(request())  # its line went dark: it never leaves
    dark._production.started -= 5  # as if it had begun some seconds ago
    world.say(1)
    await world.written.wait()
    world.repeated = True
    hearing = asyncio.create_task(heard(second.listen(request(Position()))))
    await asyncio.sleep(0.03)
    world.say(2)
    stream = await hearing
    assert WHOLE in stream
    assert "message.start" not in stream
    assert world.runs == 1
    await heard(dark)


@in_a_world
async def test_an_instance_that_died_is_waited_for_no_longer_than_its_lease(world: World) -> None:
    world.repeated, world.asked_ago = True, timedelta(seconds=8)  # and nothing was ever noted of it
    world.say(3)
    assert WHOLE in await heard(world.instance().listen(request(Position())))


@in_a_world
async def test_two_instances_that_both_answered_show_the_one_answer_that_stands(world: World) -> None:
    world.stored = "The answer that stands."
    listener = world.instance().listen(request())
    world.say(1)
    await listener.until(lambda: listener.draft.text == PIECES[0])
    shown = "".join(listener.cursor.events())
    world.say(2)
    stream = await heard(listener)
    assert PIECES[0] in shown
    assert stream.index("message.start") < stream.index("The answer that stands.")
    assert '"answer": "The answer that stands."' in stream


@in_a_world
async def test_the_same_key_while_the_first_is_heard_is_a_conflict_and_with_other_words_a_contradiction(
    world: World,
) -> None:
    instance = world.instance()
    listener = instance.listen(request(repeats=True))
    with pytest.raises(Problem, match="still running"):
        instance.listen(request(repeats=True))
    with pytest.raises(Problem, match="another request"):
        instance.listen(request(Position(), "What?"))
    for other in (
        Question("Why?", ("t",), None, None),
        Question("Why?", (), "c2", None),
        Question("Why?", (), None, "en"),
        Question("Why?", (), None, None, (), ("picture",)),
    ):
        with pytest.raises(Problem, match="another request"):
            instance.listen(replace(request(Position()), question=other))
    world.say(3)
    await heard(listener)


@in_a_world
async def test_nobody_hears_the_answer_to_another_user(world: World) -> None:
    instance = world.instance()
    listener = instance.listen(request())
    world.refusal = Problem("not-found", "There is no such conversation of yours.")
    stranger = instance.listen(request(Position(), uid="eve"))
    assert "not-found" in await heard(stranger)
    world.say(3)
    await heard(listener)


@in_a_world
async def test_a_refusal_and_an_error_are_told_and_leave_nothing_running(world: World) -> None:
    world.refusal = Problem("quota-used-up", "All messages are used.")
    instance = world.instance()
    listener = instance.listen(request())
    assert "event: error" in await heard(listener)
    assert not instance._running


@in_a_world
async def test_silence_is_filled_with_comments(world: World) -> None:
    listener = world.instance().listen(request())
    stream = events(listener, 0.01)
    assert "message.start" in await anext(stream)
    assert [await anext(stream), await anext(stream)] == [KEEP_ALIVE, KEEP_ALIVE]
    listener.close()
    await world.closed.wait()


@in_a_world
async def test_whatever_writes_the_answer_is_given_the_time_from_the_requests_coming_less_that_for_storing(
    world: World,
) -> None:
    given: list[float] = []
    say = world.pieces

    def pieces(asked: Asked, plan: Plan) -> AsyncGenerator[Piece, None]:
        given.append(asked.answer_by)
        return say(asked, plan)

    world.pieces = pieces  # type: ignore[method-assign]
    came = time.monotonic() - 20.0  # its body took so long
    world.say(3)
    await heard(world.instance().listen(replace(request(), arrived=came)))
    assert given == [came + production.ANSWER_WITHIN_S - production.STORING_S]


@in_a_world
async def test_the_wait_for_the_first_words_is_timed_from_the_requests_coming_once_for_each_who_asks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[tuple[str, float]] = []
    monkeypatch.setattr(observations, "timing", lambda name, ms: timed.append((name, ms)))
    listener = world.instance().listen(replace(request(), arrived=time.monotonic() - 7.0))
    stream = events(listener)
    assert "message.start" in await anext(stream)
    assert timed == [], "no word yet"
    world.say(3)
    assert WHOLE[:5] in "".join([text async for text in stream])
    ((name, waited_ms),) = timed
    assert name == "chat.first"
    assert waited_ms >= 7_000
    listener.close()
    world.repeated = True
    await heard(world.instance().listen(request(Position().after(PIECES[0]))))
    assert len(timed) == 1, "who comes back has had the first words"


def test_an_answer_that_takes_too_long_is_ended_before_the_platform_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(production, "ANSWER_WITHIN_S", 0.03)

    async def run() -> str:
        world = World()
        stream = await heard(world.instance().listen(request()))
        await world.closed.wait()
        return stream

    stream = asyncio.run(run())
    assert "event: error" in stream
    assert "took longer" in stream
