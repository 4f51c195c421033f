"""A small real model, as `prodai up --model` serves it: real tokens stream, are checked, and stop with the reader."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
import requests

from assistant import answering, prompt
from assistant.guard import Guard
from assistant.models.completions import Deadlines
from assistant.pieces import Text
from assistant.sentence_stream import sentences
from local import model
from shared.plans import plans
from tests.contract import chat_with_models
from tests.contract.chat_with_models import TRACK, asked, bench
from tests.contract.part_process import eventually, running_part

PATIENT = Deadlines(connect_s=30, first_token_s=120, silence_s=120, whole_s=240)

FEW_TOKENS = 60  # of the 800 that the plan allows
SHORT_TOKENS = 120  # such a model on one thread of a busy machine takes its time


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    try:
        model.check()
    except model.MissingModel as missing:
        pytest.skip(str(missing))
    with running_part("model") as (address, _):
        yield address


def environment(url: str) -> dict[str, Any]:
    return {**model.settings(url), "MODEL_FALLBACK": "", "MODEL_VISION": ""}


def test_real_tokens_stream_and_whatever_figures_they_hold_only_measured_ones_are_shown(
    url: str, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with bench(server.port, monkeypatch, PATIENT, **environment(url)) as made:
            short = replace(plans()["free"], reply_tokens=SHORT_TOKENS)
            monkeypatch.setattr(chat_with_models, "plans", lambda: {"free": short})
            text, usage = await chat_with_models.answer(asked())
            guard = Guard([TRACK], "en", prompt.RULES)
            assert [sentence for sentence in sentences(text) if guard.invented(sentence)] == []
            (entry,) = made.entries
            assert entry.model == model.NAME
            assert entry.completion_tokens == usage.completionTokens > 1
            assert usage.model == model.NAME or usage.struck > 0 or usage.reason is not None

    asyncio.run(run())


def test_a_reader_who_leaves_stops_a_real_model_within_a_few_tokens(
    url: str, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken = asyncio.Event()

    async def run() -> None:
        async with bench(server.port, monkeypatch, PATIENT, **environment(url)) as made:
            texts = made.models.texts

            async def noticed(*arguments: Any) -> Any:
                async with aclosing(texts(*arguments)) as pieces:
                    async for piece in pieces:
                        spoken.set()
                        yield piece

            monkeypatch.setattr(made.models, "texts", noticed)
            hearing = asyncio.create_task(_heard())
            await spoken.wait()
            assert _busy(url)
            hearing.cancel()
            await asyncio.to_thread(eventually, lambda: not _busy(url))
            await asyncio.gather(hearing, return_exceptions=True)
            (entry,) = made.entries
            assert 0 < entry.completion_tokens < FEW_TOKENS, "a second has as many on an idle machine"

    async def _heard() -> None:
        async with aclosing(answering.pieces(asked("Explain all of it at length."), plans()["pro"])) as pieces:
            async for piece in pieces:
                assert not isinstance(piece, Text) or piece.text

    asyncio.run(run())


def _busy(url: str) -> bool:
    return any(slot["is_processing"] for slot in requests.get(f"{url}/slots", timeout=30).json())
