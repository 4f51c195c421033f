"""What models cost: reserved at its worst before a call, settled to what it was after it, however it ended.

Two places: Redis holds the running sums of the day that the ceilings are judged by (one atomic script, so that they
hold exactly, however many ask at once); Firestore holds the ledger, a document per day, user and model. A reservation
has an id, and ends once, however often that is said: so what Redis may have counted is given back also where only its
answer was lost. An instance that dies before leaves its reservation counted: rather too much than too little.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from assistant.threads import in_thread
from shared import controls, observations, telemetry, upstash
from shared.settings import Settings

SCRIPT = Path(__file__).with_name("spend.lua").read_text(encoding="utf-8")
KEPT_S = 3 * 86_400
RESERVATION_KEPT_S = 900  # longer than any call
GIVE_BACK_WITHIN_S = 2.0  # nobody waits for it
GIVE_BACK_AFTER_S = (0.0, 2.0, 10.0)  # pauses before each try
MICRO = 1_000_000

Refusal = Literal["ceiling", "user-ceiling", "paid-before", "uncounted"]
_REFUSALS: dict[int, Refusal] = {1: "ceiling", 2: "user-ceiling", 3: "paid-before", 4: "uncounted"}


class Refused(Exception):  # noqa: N818  # what the ledger says to a call that may not be made
    def __init__(self, why: Refusal) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True)
class Tokens:
    prompt: int = 0
    completion: int = 0


@dataclass(frozen=True)
class Price:
    """USD per million tokens, which is micro-USD per token."""

    prompt: float
    completion: float

    def micro_usd(self, tokens: Tokens) -> int:
        return math.ceil(round(tokens.prompt * self.prompt + tokens.completion * self.completion, 6))


@dataclass(frozen=True)
class Payer:
    """Who pays: one run of answering one message. Another run of the same message does not pay again."""

    uid: str
    message_id: str
    run: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass(frozen=True)
class Reservation:
    payer: Payer
    model: str
    price: Price
    day: str
    micro_usd: int
    id: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass(frozen=True)
class Entry:
    """What one call adds to the ledger."""

    day: str
    uid: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    cost_microusd: int


class Redis(Protocol):
    def eval(self, script: str, keys: list[str], args: list[str]) -> Awaitable[object]: ...


class Ledger:
    """`redis` runs the script; `write` adds an entry to the durable ledger, in a thread."""

    def __init__(
        self,
        settings: Settings,
        redis: Callable[[], Redis],
        write: Callable[[Entry], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._redis = redis
        self._write = write
        self._now = now
        self._giving_back: set[asyncio.Task[None]] = set()

    async def reserve(self, payer: Payer, model: str, most: Tokens) -> Reservation:
        """Sets aside what a call costs at most. Raises Refused: above a ceiling, paid for before, or not countable."""
        price = Price(*self._settings.model_prices[model])
        reservation = Reservation(payer, model, price, f"{self._now():%Y%m%d}", price.micro_usd(most))
        limit_usd = controls.current().daily_cost_limit_usd
        limits = (
            self._settings.daily_cost_limit_usd if limit_usd is None else limit_usd,
            self._settings.user_daily_cost_limit_usd,
        )
        try:
            answer = await self._spend(reservation, reservation.micro_usd, *(round(usd * MICRO) for usd in limits))
        except Exception as error:  # what cannot be counted is not spent
            telemetry.warning("the ledger did not answer; no model is asked", error=type(error).__name__)
            self._give_back_later(reservation, -reservation.micro_usd)  # perhaps only its answer was lost
            raise Refused("uncounted") from error
        if answer != 0:
            raise Refused(_REFUSALS[answer])
        return reservation

    async def settle(self, reservation: Reservation, used: Tokens) -> int:
        """Replaces the reservation by what was used, and writes the ledger. Gives the micro-USD; never raises."""
        cost = reservation.price.micro_usd(used)
        if cost != reservation.micro_usd:
            await self._give_back(reservation, cost - reservation.micro_usd)
        observations.count("model.tokens.prompt", used.prompt)
        observations.count("model.tokens.completion", used.completion)
        observations.count("model.cost.microusd", cost)
        if used != Tokens():
            await self._note(reservation, used, cost)
        return cost

    async def _give_back(self, reservation: Reservation, amount: int) -> None:
        try:
            await self._spend(reservation, amount, -1, -1)
        except Exception:
            self._give_back_later(reservation, amount)

    def _give_back_later(self, reservation: Reservation, amount: int) -> None:
        giving = asyncio.get_running_loop().create_task(self._keep_giving_back(reservation, amount))
        self._giving_back.add(giving)
        giving.add_done_callback(self._giving_back.discard)

    async def _keep_giving_back(self, reservation: Reservation, amount: int) -> None:
        for pause_s in GIVE_BACK_AFTER_S:
            await asyncio.sleep(pause_s)
            try:
                with upstash.within(GIVE_BACK_WITHIN_S):
                    await self._spend(reservation, amount, -1, -1)
            except Exception as error:
                failure = type(error).__name__
            else:
                return
        telemetry.warning("a reservation stays counted in full", error=failure)

    async def close(self) -> None:
        """Waits for what is being given back."""
        await asyncio.gather(*self._giving_back)

    async def _note(self, reservation: Reservation, used: Tokens, cost: int) -> None:
        payer = reservation.payer
        entry = Entry(reservation.day, payer.uid, reservation.model, used.prompt, used.completion, cost)
        try:
            await in_thread(self._write, entry)
        except Exception as error:  # the log keeps what the ledger lacks
            telemetry.error("the ledger was not written", error=type(error).__name__, entry=vars(entry))

    async def _spend(self, reservation: Reservation, amount: int, day_limit: int, user_limit: int) -> int:
        day, payer = controls.cost_key(reservation.day), reservation.payer
        keys = [day, f"{day}:{payer.uid}", f"cost:message:{payer.message_id}"]
        keys.append(f"reservation:{reservation.id}")
        args = [str(amount), str(day_limit), str(user_limit), payer.run, str(KEPT_S), str(RESERVATION_KEPT_S)]
        return int(str(await self._redis().eval(SCRIPT, keys, args)))
