"""What models cost: counted to the token however an answer ends, and never above the day's ceiling."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Set
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import pytest

from assistant import answering
from assistant.models.completions import Deadlines
from assistant.models.ledger import Entry, Ledger, Payer, Refused, Tokens
from assistant.pieces import Text
from shared import controls, settings, upstash
from shared.breaker import Breaker
from shared.plans import plans
from tests.contract.chat_with_models import ENVIRONMENT, GOOD, Bench, OnRedis, answer, asked, bench
from tests.contract.conftest import UPSTASH_TOKEN
from tests.contract.scripted_model import Script, said
from tests.contract.test_models import with_bench

REQUESTS = int(os.environ.get("PRODAI_MIXED_REQUESTS", "60"))  # 1000 in `make bench-models`
PATIENT = Deadlines(connect_s=5, first_token_s=1.5, silence_s=1.5, whole_s=60)  # a stall is a stall, load is none
MOST = Tokens(1_000, 600)  # 510 micro-USD of the first model


async def reserved(made: Bench, number: int, uid: str = "ana") -> str:
    try:
        await made.models.ledger.reserve(Payer(uid, f"message-{number}"), "first", MOST)
    except Refused as refused:
        return refused.why
    return "reserved"


@with_bench(DAILY_COST_LIMIT_USD="0.0051", USER_DAILY_COST_LIMIT_USD="1")
async def test_fifty_at_once_on_the_edge_of_the_ceiling_get_exactly_what_is_left(made: Bench) -> None:
    outcomes = await asyncio.gather(*(reserved(made, number, f"user-{number}") for number in range(50)))
    assert outcomes.count("reserved") == 10
    assert outcomes.count("ceiling") == 40
    assert await made.spent_microusd() == 5_100


@with_bench(DAILY_COST_LIMIT_USD="0.02")
async def test_fifty_answers_at_once_never_pass_the_ceiling_and_all_are_answered(made: Bench) -> None:
    made.model.play(said(GOOD))
    questions = [asked(f"How loud is it, number {n}?", uid=f"user-{n}") for n in range(50)]
    outcomes = await asyncio.gather(*map(answer, questions))
    assert all("LUFS" in text for text, _ in outcomes)
    by_model = [usage.model for _, usage in outcomes]
    assert {usage.reason for _, usage in outcomes if usage.model == "advisor"} == {"ceiling"}
    assert 0 < by_model.count("first") < 50
    assert await made.spent_microusd() == sum(usage.costMicroUsd for _, usage in outcomes) <= 20_000


@with_bench(USER_DAILY_COST_LIMIT_USD="0.00102")
async def test_one_users_ceiling_is_not_anothers(made: Bench) -> None:
    assert [await reserved(made, n, "ana") for n in range(3)] == ["reserved", "reserved", "user-ceiling"]
    assert await reserved(made, 9, "bob") == "reserved"


@with_bench(DAILY_COST_LIMIT_USD="100")
async def test_the_operators_ceiling_counts_before_the_setting(made: Bench) -> None:
    controls.saw('{"dailyCostLimitUsd": 0.0006}', None)
    try:
        assert [await reserved(made, n) for n in range(2)] == ["reserved", "ceiling"]
    finally:
        controls.saw(None, None)


@with_bench(redis_gone=True)
async def test_without_redis_nothing_is_spent_uncounted(made: Bench) -> None:
    made.model.play(said(GOOD))
    text, usage = await answer(asked())
    assert (usage.model, usage.reason) == ("advisor", "uncounted")
    assert "LUFS" in text
    assert made.model.requests == []


class Forgetful:
    """A Redis whose answers to these calls are lost, though it has done what they asked, or does it later."""

    def __init__(self, redis: Any, lost: Set[int], late: Set[int] = frozenset()) -> None:
        self._redis = OnRedis(redis)
        self._lost, self._late = lost, late
        self._calls = 0
        self.on_its_way: list[tuple[str, list[str], list[str]]] = []

    async def eval(self, script: str, keys: list[str], args: list[str]) -> object:
        self._calls += 1
        if self._calls in self._late:
            self.on_its_way.append((script, keys, args))
            raise TimeoutError
        answer = await self._redis.eval(script, keys, args)
        if self._calls in self._lost:
            raise TimeoutError
        return answer

    async def arrives(self) -> list[object]:
        return [await self._redis.eval(*call) for call in self.on_its_way]


@with_bench()
async def test_a_reservation_whose_answer_was_lost_is_given_back_once_also_where_that_answer_is_lost(
    made: Bench,
) -> None:
    forgetful = Forgetful(made.redis, lost={2, 3, 4})
    made.models.ledger._redis = lambda: forgetful
    assert await reserved(made, 1) == "reserved"
    assert await reserved(made, 2) == "uncounted"
    await made.models.ledger.close()
    assert await made.spent_microusd() == await made.spent_microusd("ana") == 510, "the first one's, and no more"


@with_bench()
async def test_a_reservation_that_comes_after_it_was_given_up_counts_nothing(made: Bench) -> None:
    forgetful = Forgetful(made.redis, lost=set(), late={1})
    made.models.ledger._redis = lambda: forgetful
    assert await reserved(made, 1) == "uncounted"
    await made.models.ledger.close()
    assert await forgetful.arrives() == [4]
    assert await made.spent_microusd() == 0


@with_bench()
async def test_what_was_used_is_counted_once_where_the_answer_to_that_is_lost(
    made: Bench,
) -> None:
    forgetful = Forgetful(made.redis, lost={2, 3})
    made.models.ledger._redis = lambda: forgetful
    reservation = await made.models.ledger.reserve(Payer("ana", "m"), "first", MOST)
    assert await made.models.ledger.settle(reservation, Tokens(100, 10)) == 21
    await made.models.ledger.close()
    assert await made.spent_microusd() == 21


@with_bench()
async def test_a_message_is_paid_once_however_often_it_is_asked(made: Bench) -> None:
    made.model.play(said(GOOD[:110], end="drop"), said(GOOD))
    question = asked()
    await answer(question)
    _, usage = await answer(question)
    assert (usage.model, usage.reason) == ("advisor", "paid-before")
    made.model.play(said(GOOD))
    again = asked("How loud is it?")
    outcomes = await asyncio.gather(*(answer(again) for _ in range(5)))
    assert sorted(usage.model for _, usage in outcomes) == ["advisor"] * 4 + ["first"]
    assert len(made.model.requests) == 2


@with_bench()
async def test_what_was_reserved_is_given_back_to_the_day_it_was_taken_from(made: Bench) -> None:
    moments = [datetime(2026, 11, 24, 23, 59, 59, tzinfo=UTC)]
    ledger = made.models.ledger
    ledger._now = lambda: moments[0]
    reservation = await ledger.reserve(Payer("ana", "m"), "first", MOST)
    moments[0] = datetime(2026, 11, 25, 0, 0, 1, tzinfo=UTC)
    assert await ledger.settle(reservation, Tokens(100, 10)) == 21
    assert await made.redis.get("cost:20261124") == b"21"
    assert await made.redis.get("cost:20261125") is None
    assert made.entries[0].day == "20261124"
    assert 0 < await made.redis.ttl("cost:20261124") <= 3 * 86_400


def test_the_ledger_equals_the_services_own_count_after_mixed_requests(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole answers, disconnects at random points, stalls, broken lines, garbage, refusals, on two models."""
    asyncio.run(mixed(server.port, monkeypatch, REQUESTS))


async def mixed(port: int, patch: pytest.MonkeyPatch, requests: int) -> int:
    """Makes the requests, compares both counts, and gives how many calls the service has seen."""
    drawn = random.Random(7)
    async with bench(port, patch, PATIENT, DAILY_COST_LIMIT_USD="1000", USER_DAILY_COST_LIMIT_USD="1000") as made:
        made.models._breakers = {name: Breaker(10**9, 1.0) for name in ("first", "second")}  # all of them get there
        made.model.play(*(_script(drawn) for _ in range(2 * requests)), said(GOOD))
        line = asyncio.Semaphore(30)

        async def one(number: int) -> None:
            async with line:
                await _heard(number, leaves_after=drawn.choice([None, None, 0, 1, 2]))

        await asyncio.gather(*map(one, range(requests)))
        while made.model.open:  # noqa: ASYNC110  # the service may still be finding out
            await asyncio.sleep(0.002)
        assert len(made.model.requests) >= requests
        written = made.written()
        assert written["prompt"] == made.model.prompt_tokens
        assert written["completion"] == made.model.completion_tokens
        assert sum(written["cost"].values()) == await made.spent_microusd()
        return len(made.model.requests)


def _script(drawn: random.Random) -> Script:
    kind = drawn.choice(["whole", "whole", "slow", "slow", "hang", "drop", "garbage", "500", "429", "stall"])
    if kind == "garbage":
        return said(GOOD[: drawn.randint(0, 150)], then=b"data: {nonsense\n\n", end="raw")
    if kind in ("500", "429"):
        return Script(status=int(kind))
    if kind == "stall":
        return Script(stall=True)
    every = drawn.random() < 0.5
    length = drawn.randint(0, len(GOOD)) if kind in ("hang", "drop") else len(GOOD)
    gap_s = 0.001 if kind == "slow" else 0.0
    end = kind if kind in ("hang", "drop") else "whole"
    return said(GOOD[:length], gap_s=gap_s, end=end, usage_with_every_piece=every)


async def _heard(number: int, leaves_after: int | None) -> None:
    question = asked(f"How loud is it, number {number}?", uid=f"user-{number % 7}")
    heard = 0
    async with aclosing(answering.pieces(question, plans()["pro"])) as pieces:
        async for piece in pieces:
            heard += isinstance(piece, Text)
            if leaves_after is not None and heard > leaves_after:
                return


def test_upstashs_client_runs_the_ledgers_script(upstash_url: str) -> None:
    """As the function does: over REST, with the asynchronous client."""

    async def reserve() -> list[str]:
        loaded = settings.parse({**ENVIRONMENT, "MODEL_BASE_URL": "http://model", "DAILY_COST_LIMIT_USD": "0.0009"})
        client = upstash.async_client(upstash_url, UPSTASH_TOKEN)
        await client.flushall()
        entries: list[Entry] = []
        ledger = Ledger(loaded, lambda: client, entries.append)
        outcomes = []
        with upstash.within(20):
            for number in range(3):
                try:
                    taken = await ledger.reserve(Payer("ana", f"m{number}"), "first", MOST)
                    outcomes.append(str(await ledger.settle(taken, Tokens(1_000, 500))))
                except Refused as refused:
                    outcomes.append(refused.why)
        await client.close()
        return [*outcomes, *(str(entry.cost_microusd) for entry in entries)]

    assert asyncio.run(reserve()) == ["450", "ceiling", "ceiling", "450"]
