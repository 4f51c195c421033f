"""Answers under way in this instance: each is produced once, whoever listens, and stops when nobody does.

A client that says goodbye (closes its line) stops the model: its production is given GRACE_S in which the client may
be back (an event stream tells it to come back after a tenth of a second), then it is cancelled, so that the model's
line is closed within one second of the client's leaving. A line that only goes dead stops nothing. Whoever comes back
gets what was missed: from this production, from the one in another instance, or from the stored answer, to the letter;
where the model was stopped, the question is answered anew (no model is paid twice for it), and the client is told to
begin anew where the text is another.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from assistant import journal
from assistant.conversations import Ask, Asked
from assistant.drafts import Cursor, Draft
from assistant.journal import Journal, Line, Seen
from assistant.pieces import Piece, TokenUsage
from shared import http, idempotency, observations
from shared.plans import Plan
from shared.problems import Problem

GRACE_S = 0.4  # the model's line is closed within 1 s of the client's leaving: this, and hanging up (0.3 s at most)
ANSWER_WITHIN_S = 55.0  # of the request's coming; the platform cuts off after 60 s, without a word
STORING_S = 3.0  # of them, at the end
POLL_S = 0.4


@dataclass(frozen=True)
class Work:
    """What an answer takes, and where it is kept."""

    ask: Callable[[Ask], Awaitable[Asked]]
    pieces: Callable[[Asked, Plan], AsyncGenerator[Piece, None]]
    keep: Callable[[Asked, str, TokenUsage], Awaitable[str]]  # gives the answer that stands
    stored: Callable[[Asked], Awaitable[str | None]]
    noted: Callable[[str], Awaitable[Seen | None]]


class Production:
    """One answer. Its draft grows; listeners are woken with every piece."""

    def __init__(self, ask: Ask, work: Work, journal_: Journal, on_end: Callable[[Production], None]) -> None:
        self.ask = ask
        self.key = journal.key(ask.caller.uid, ask.message_id)
        self.draft = Draft(ask.conversation_id, ask.message_id)
        self.started = time.monotonic()
        self._ends_at = ask.arrived + ANSWER_WITHIN_S
        self.accepted = False  # the question stands, and is being answered
        self.stopped = False
        self._work = work
        self._journal = journal_
        self._on_end = on_end
        self._listeners: set[Listener] = set()
        self._leaving: asyncio.TimerHandle | None = None
        self._storing = False
        self._name = secrets.token_hex(4)
        self._written = 0
        self._noted = False
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def heard(self) -> bool:
        return bool(self._listeners)

    @property
    def ended(self) -> bool:
        return self.draft.ended or self.stopped

    def line(self) -> Line:
        end = "stopped" if self.stopped else "failed" if self.draft.problem else "done" if self.draft.complete else None
        usage = asdict(self.draft.usage) if self.draft.usage else None
        return Line(self._name, self._written, self.draft.text[self._written :], end, usage)

    def written(self, line: Line) -> None:
        self._noted = True
        self._written = line.at + len(line.text)

    def join(self, listener: Listener) -> None:
        self._listeners.add(listener)
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)
        if not self._listeners and not self.ended and self._leaving is None:
            self._leaving = asyncio.get_running_loop().call_later(GRACE_S, self._stop)

    def _stop(self) -> None:
        if not self._storing:
            self.stopped = True
            self._on_end(self)  # before the task sees it: nobody may join any more
            self._task.cancel()

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(self._ends_at - time.monotonic()) as deadline:
                await self._produce()
        except asyncio.CancelledError:
            self.stopped = True  # also where the process ends
        except Exception as error:
            self.draft.problem = _too_long() if deadline.expired() else _problem(error)
        self._on_end(self)
        self._wake()
        if self.stopped:
            await self._journal.write([self])
        if self.stopped or not self._noted:
            self._journal.forget(self)

    async def _produce(self) -> None:
        asked = await self._work.ask(self.ask)
        if asked.earlier_answer is not None:
            self._take_over(asked.earlier_answer, TokenUsage())
        elif not asked.repeated or not await self._followed(asked):
            await self._answered(asked)

    async def _answered(self, asked: Asked) -> None:
        if self.draft.text:  # of a producer that has stopped
            self.draft.begin_anew()
        self._accept()
        self._journal.watch(self)
        usage = TokenUsage()
        asked = replace(asked, answer_by=self._ends_at - STORING_S)
        async with aclosing(self._work.pieces(asked, asked.plan)) as pieces:
            async for piece in pieces:
                if isinstance(piece, TokenUsage):
                    usage = piece
                else:
                    self.draft.add(piece.text)
                    self._wake()
        self._storing = True
        stands = await self._work.keep(asked, self.draft.text, usage)
        self._take_over(stands, usage)

    async def _followed(self, asked: Asked) -> bool:
        """Reads along while another instance is at it; False where nobody is any more and the answer is not there."""
        while True:
            noted = await self._work.noted(self.key)
            if noted is not None and noted.end == "done":
                self._take_over(noted.text, noted.usage or TokenUsage())
                return True
            if noted is None or not noted.alive:
                stored = await self._work.stored(asked)
                if stored is not None:
                    self._take_over(stored, TokenUsage())
                    return True
                if (noted is not None and noted.producers) or _age_s(asked) >= journal.LEASE_S:
                    return False
            if self.ask.after is None:
                raise idempotency.still_running()
            if noted is not None and not self.draft.text.startswith(noted.text):
                self.draft.become(noted.text)
            self._accept()
            await asyncio.sleep(POLL_S)

    def _take_over(self, text: str, usage: TokenUsage) -> None:
        """Ends with a whole answer, which whoever listens gets the rest of."""
        self.draft.become(text)
        self.draft.finish(usage)
        self._accept()

    def _accept(self) -> None:
        self.accepted = True
        self._wake()

    def _wake(self) -> None:
        for listener in self._listeners:
            listener.wake()


class Listener:
    """One client of a production. Whoever makes one closes it."""

    def __init__(self, production: Production, ask: Ask) -> None:
        self._production = production
        self._woken = asyncio.Event()
        self.draft = production.draft
        self.cursor = Cursor(production.draft, ask.after)
        self.gone = False
        self._waiting_since = ask.arrived if ask.after is None else None  # who comes back has had the first words
        production.join(self)

    async def accepted(self, within_s: float) -> None:
        """Waits until a stream may open, but no longer than this. Raises Problem where it is refused by then."""
        await self.until(lambda: self._production.accepted or self.draft.ended, within_s)
        self._raise_problem()

    async def ended(self) -> None:
        """Waits for the whole answer. Raises Problem where there is none."""
        await self.until(lambda: self.draft.ended)
        self._raise_problem()

    def _raise_problem(self) -> None:
        if self.draft.problem is not None:
            raise self.draft.problem

    async def until(self, condition: Callable[[], bool], within_s: float | None = None) -> bool:
        """Waits until a condition holds; False where it does not in time."""
        try:
            async with asyncio.timeout(within_s):
                while not condition():
                    self._woken.clear()
                    await self._woken.wait()
        except TimeoutError:
            return False
        return True

    async def news(self, within_s: float) -> bool:
        """Waits for whatever is new since the last wait; False where nothing is."""
        try:
            async with asyncio.timeout(within_s):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    def wake(self) -> None:
        self._woken.set()

    def answered(self) -> None:
        """The client gets words of the answer: the time to the first of them is told, whoever wrote them."""
        if self._waiting_since is not None:
            observations.timing("chat.first", (time.monotonic() - self._waiting_since) * 1000)
            self._waiting_since = None

    def leave(self) -> None:
        """The client is gone; whoever waits for news sees it."""
        self.gone = True
        self._production.leave(self)
        self._woken.set()

    def close(self) -> None:
        self._production.leave(self)


class Productions:
    """Those of this instance, by their answer."""

    def __init__(self, work: Work, journal_: Journal) -> None:
        self._work = work
        self._journal = journal_
        self._running: dict[str, Production] = {}

    def listen(self, ask: Ask) -> Listener:
        """A listener of the answer to a question: of the production under way, or of a new one.

        Raises Problem where a request with the same Idempotency-Key asked something else, or is being answered.
        """
        name = journal.key(ask.caller.uid, ask.message_id)
        running = self._running.get(name)
        if running is None:
            running = self._running[name] = Production(ask, self._work, self._journal, self._ended)
        elif running.ask.question.digest != ask.question.digest:
            raise idempotency.other_body()
        elif ask.after is None and running.heard:
            raise idempotency.still_running()
        return Listener(running, ask)

    def _ended(self, production: Production) -> None:
        if self._running.get(production.key) is production:
            del self._running[production.key]


def _age_s(asked: Asked) -> float:
    return (datetime.now(UTC) - asked.asked_at).total_seconds()


def _too_long() -> Problem:
    return Problem("unavailable", f"The answer took longer than {ANSWER_WITHIN_S:.0f} s; ask again.")


def _problem(error: Exception) -> Problem:
    return error if isinstance(error, Problem) else http.unexpected(error)
