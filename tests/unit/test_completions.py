"""A stream of a completion: cut anywhere it reads the same, and whatever comes is text, an end, or a typed error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.models.completions import Completion, Deadlines, ModelError, Service
from assistant.models.ledger import Price, Tokens


class Content:
    def __init__(self, received: Sequence[bytes]) -> None:
        self._received = [part for part in received if part]

    async def readany(self) -> bytes:
        return self._received.pop(0) if self._received else b""

    async def read(self, size: int = -1) -> bytes:
        return b"".join(self._received)


class Response:
    status = 200
    connection = None

    def __init__(self, received: Sequence[bytes]) -> None:
        self.content = Content(received)
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Session:
    def __init__(self, received: Sequence[bytes]) -> None:
        self.response = Response(received)

    async def post(self, url: str, **how: Any) -> Response:
        return self.response


def heard(received: Sequence[bytes], *, leave_after: int | None = None) -> tuple[str, Tokens, str | None]:
    """The text, what was used, and the kind of the error, if any."""

    async def hear() -> tuple[str, Tokens, str | None]:
        session: Any = Session(received)
        call = Completion(Service("http://model"), {}, 100, Deadlines())
        text, kind = "", None
        texts = call.texts(session)
        try:
            async for piece in texts:
                text += piece
                if leave_after is not None and len(text) >= leave_after:
                    break
        except ModelError as error:
            kind = error.kind
        await texts.aclose()
        await call.close()
        assert session.response.closed
        return text, call.used, kind

    return asyncio.run(hear())


def event(chunk: object) -> bytes:
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\r\n\r\n"


def said(text: str) -> bytes:
    return event({"choices": [{"delta": {"content": text}}]})


USAGE = event({"choices": [], "usage": {"prompt_tokens": 70, "completion_tokens": 30}})
STREAM = (
    b": a comment\n\nevent: message\nid: 1\n"
    + event({"choices": [{"delta": {"role": "assistant"}}]})
    + said("Mais grave ")
    + said("não é melhor.")
    + event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
)


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), max_size=60))
def test_a_stream_reads_the_same_wherever_it_is_cut(lengths: list[int]) -> None:
    whole, received = STREAM + USAGE + b"data: [DONE]\n\n", []
    for length in lengths:
        received.append(whole[:length])
        whole = whole[length:]
    assert heard([*received, whole]) == ("Mais grave não é melhor.", Tokens(70, 30), None)


def test_without_the_services_count_every_piece_is_a_token_and_the_prompt_what_it_was_taken_for() -> None:
    assert heard([STREAM]) == ("Mais grave não é melhor.", Tokens(100, 2), None)
    assert heard([said("a") + said("b")]) == ("ab", Tokens(100, 2), "cut")


def test_thinking_is_paid_for_though_it_is_not_shown() -> None:
    thought = event({"choices": [{"delta": {"reasoning_content": "hm"}}]})
    assert heard([thought * 3 + STREAM])[1] == Tokens(100, 5)


def test_who_leaves_early_pays_what_had_come_by_then() -> None:
    assert heard([said("a") + said("b"), said("c"), STREAM], leave_after=1)[1] == Tokens(100, 5)


@pytest.mark.parametrize(
    ("garbage", "kind"),
    [
        (b"<html>\n", "garbage"),
        (b"data: {\n", "garbage"),
        (b"data: []\n", "garbage"),
        (b"data: " + b"[" * 50_000 + b"\n", "garbage"),
        (event({"choices": [{"delta": {"content": 7}}]}), "garbage"),
        (event({"usage": {"prompt_tokens": "many"}}), "garbage"),
        (event({"error": {"message": "overloaded"}}), "server"),
        (b"data: " + b"x" * 300_000, "garbage"),
        (b"", "cut"),
    ],
)
def test_garbage_is_a_typed_error(garbage: bytes, kind: str) -> None:
    assert heard([said("a"), garbage])[::2] == ("a", kind)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=40), max_size=10))
def test_any_bytes_are_text_an_end_or_a_typed_error(received: list[bytes]) -> None:
    _, used, kind = heard([*received, b"data: ", *received])
    assert kind in (None, "garbage", "cut", "server")
    assert used.prompt == 100


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_price_never_rounds_a_token_away(prompt: int, completion: int) -> None:
    cost = Price(0.15, 0.60).micro_usd(Tokens(prompt, completion))
    exact = prompt * 15 + completion * 60  # in hundredths
    assert exact <= cost * 100 < exact + 100
