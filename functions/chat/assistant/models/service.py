"""The models of this product: which one serves a plan, whether it may be asked now, and one call of it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assistant.models.completions import Completion, Deadlines, ModelError, Service, open_session
from assistant.models.ledger import Entry, Ledger, Payer, Reservation, Tokens
from assistant.prompt import Messages, prompt_tokens, prompt_tokens_at_most
from shared import observations, telemetry
from shared.breaker import Breaker
from shared.settings import Settings

if TYPE_CHECKING:
    from aiohttp import ClientSession

FAILURES_MOST = 5
PROBE_AFTER_S = 15.0
NEWER_NAME = "max_completion_tokens"  # of `max_tokens`; services that want it say so
TRIES = 2  # of one model, before its first token
WORTH_ASKING_S = 2.0  # with less time left the advisor answers
AGAIN_WITHIN_S = 2.0  # a service that wants a longer wait gets none: the next one is asked


@dataclass
class Spent:
    """What the calls for one answer used together."""

    tokens: Tokens = field(default_factory=Tokens)
    micro_usd: int = 0

    def add(self, tokens: Tokens, micro_usd: int) -> None:
        self.tokens = Tokens(self.tokens.prompt + tokens.prompt, self.tokens.completion + tokens.completion)
        self.micro_usd += micro_usd


class Models:
    """The models of the settings. One per process, whose event loop is one."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        deadlines: Deadlines = Deadlines(),  # noqa: B008  # frozen
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._service = Service(settings.model_base_url, settings.model_api_key)
        self.ledger = ledger
        self._deadlines = deadlines
        self._now = now
        self._breakers = {name: Breaker(FAILURES_MOST, PROBE_AFTER_S, now) for name in settings.models}
        self._length_names: dict[str, str] = {}
        self._session: ClientSession | None = None
        self._settling: set[asyncio.Future[None]] = set()

    def of_plan(self, plan: str) -> Sequence[str]:
        """The model of a plan, then the one that stands in for it; empty where the plan has none."""
        first = self._settings.model_names.get(plan)
        if first is None:
            return ()
        return tuple(dict.fromkeys(name for name in (first, self._settings.model_fallback) if name))

    def sees(self, name: str) -> bool:
        return name in self._settings.model_vision

    async def texts(
        self, name: str, prompt: Messages, reply_tokens: int, payer: Payer, spent: Spent, ends_at: float = math.inf
    ) -> AsyncGenerator[str, None]:
        """A model's answer as it comes. Before the first text it is tried twice, after it never.

        `ends_at`, by the monotonic clock, holds for all tries and all models of an answer together. Raises ModelError,
        or Refused by the ledger. However it ends, what was used is in `spent` and in the ledger.
        """
        breaker = self._breakers[name]
        for attempt in range(1, TRIES + 1):
            if ends_at - self._now() < WORTH_ASKING_S:
                raise ModelError("timeout", "too little time is left for it")
            if not breaker.allows():
                raise ModelError("server", "it failed too often; its breaker is open")
            shown = False
            try:
                async with aclosing(self._call(name, prompt, reply_tokens, payer, spent, ends_at)) as texts:
                    async for text in texts:
                        if not shown:
                            breaker.succeeded()
                        shown = True
                        yield text
            except ModelError as error:
                self._failed(name, breaker, error)
                if shown or attempt == TRIES or error.again_after_s is None or error.again_after_s > AGAIN_WITHIN_S:
                    raise
                await asyncio.sleep(error.again_after_s)
            else:
                return

    def _failed(self, name: str, breaker: Breaker, error: ModelError) -> None:
        if error.kind == "refused":  # of this one request; the service itself answers
            breaker.succeeded()
        else:
            breaker.failed()
        observations.count("model.failed")
        telemetry.warning("a model failed", model=name, error=str(error))

    async def _call(
        self, name: str, prompt: Messages, reply_tokens: int, payer: Payer, spent: Spent, ends_at: float
    ) -> AsyncGenerator[str, None]:
        most = Tokens(prompt_tokens_at_most(prompt), reply_tokens)
        reservation = await self.ledger.reserve(payer, name, most)
        body = self._body(name, prompt, reply_tokens)
        call = Completion(self._service, body, prompt_tokens(prompt), self._deadlines, ends_at)
        observations.count("model.calls")
        started, first = time.monotonic(), True
        try:
            async with aclosing(call.texts(self._opened())) as texts:
                async for text in texts:
                    if first:
                        observations.timing("model.first", (time.monotonic() - started) * 1000)
                    first = False
                    yield text
        except ModelError as error:
            if NEWER_NAME in str(error):
                self._length_names[name] = NEWER_NAME
            raise
        finally:
            settling = asyncio.ensure_future(self._settled(call, reservation, spent))
            self._settling.add(settling)
            settling.add_done_callback(self._settling.discard)
            await asyncio.shield(settling)  # whoever has left, the line is closed and the call is counted

    async def _settled(self, call: Completion, reservation: Reservation, spent: Spent) -> None:
        await call.close()
        spent.add(call.used, await self.ledger.settle(reservation, call.used))

    def _body(self, name: str, prompt: Messages, reply_tokens: int) -> dict[str, Any]:
        return {
            "model": name,
            "messages": prompt,
            "stream": True,
            "stream_options": {"include_usage": True},
            self._length_names.get(name, "max_tokens"): reply_tokens,
        }

    def _opened(self) -> ClientSession:
        if self._session is None:
            self._session = open_session(self._deadlines)
        return self._session

    async def close(self) -> None:
        await asyncio.gather(*self._settling)
        await self.ledger.close()
        if self._session is not None:
            await self._session.close()


def from_settings(settings: Settings) -> Models | None:
    """The models of the settings; None without a service."""
    if not settings.model_base_url:
        return None
    from shared import clients

    return Models(settings, Ledger(settings, clients.redis_async, _write))


def _write(entry: Entry) -> None:
    from shared.documents import as_service

    as_service.add_to_ledger(
        entry.day, entry.uid, entry.model, entry.prompt_tokens, entry.completion_tokens, entry.cost_microusd
    )
