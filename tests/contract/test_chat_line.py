"""The chat on a real socket, under functions-framework and uvicorn, with a model on another: what each end sees."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import uvicorn
from functions_framework.aio import _create_asgi_app_with_function

from assistant import answering, production
from assistant.conversations import Ask, Asked
from assistant.journal import Journal, Line
from assistant.models.completions import DRAIN_S
from assistant.pieces import TokenUsage
from assistant.production import Productions, Work
from assistant.streaming import KEEP_ALIVE_S
from local.client import server_sent_events
from shared import http, settings
from shared.identity import Caller
from shared.problems import Problem
from tests.contract.chat_with_models import ENVIRONMENT, GOOD, ROOT, TRACK, Bench, bench, until
from tests.contract.scripted_model import Script, said

BODY = json.dumps({"message": "Why does my master sound small?"})


class Documents:
    """Firestore, as far as an answer needs it."""

    def __init__(self) -> None:
        self.questions: set[str] = set()
        self.answers: dict[str, str] = {}

    async def ask(self, ask: Ask) -> Asked:
        asked = Asked(ask.caller.uid, "c", ask.message_id, ask.question.text, "en", analyses=(TRACK,))
        repeated = ask.message_id in self.questions
        self.questions.add(ask.message_id)
        return replace(asked, repeated=repeated, earlier_answer=self.answers.get(ask.message_id))

    async def keep(self, asked: Asked, text: str, usage: TokenUsage) -> str:
        return self.answers.setdefault(asked.message_id, text)

    async def stored(self, asked: Asked) -> str | None:
        return self.answers.get(asked.message_id)

    async def noted(self, key: str) -> None:
        return None

    async def append(self, lines: Sequence[tuple[str, Line]]) -> None:
        return None


@dataclass
class Service:
    port: int
    model: Bench
    documents: Documents

    @asynccontextmanager
    async def asked(self, **headers: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A client's line, with the question sent; left at the end of the block, wherever the answer is."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        sent = {"Host": "test", "Content-Length": str(len(BODY)), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        writer.write(f"POST /v1/chat HTTP/1.1\r\n{head}\r\n{BODY}".encode())
        try:
            yield reader, writer
        finally:
            writer.close()
            await writer.wait_closed()

    @asynccontextmanager
    async def headed(self, headers: dict[str, str], body: bytes = b"") -> AsyncIterator[asyncio.StreamReader]:
        """A client that has sent the head of a request, and of its body only this."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "test", **headers}.items())
        writer.write(f"POST /v1/chat HTTP/1.1\r\n{head}\r\n".encode() + body)
        try:
            yield reader
        finally:
            writer.transport.abort()


Test = Callable[[Service], Awaitable[None]]


def with_service(test: Test) -> Callable[..., None]:
    async def run(port: int, patch: pytest.MonkeyPatch) -> None:
        documents = Documents()
        async with bench(port, patch) as made, asyncio.timeout(30):
            chat = _loaded(documents, patch)
            app = _create_asgi_app_with_function(chat, "http", False)  # type: ignore[no-untyped-call]
            server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
            serving = asyncio.create_task(server.serve())
            await until(lambda: server.started)
            try:
                await test(Service(server.servers[0].sockets[0].getsockname()[1], made, documents))
            finally:
                server.should_exit = True
                await serving

    def runner(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        asyncio.run(run(server.port, monkeypatch))
        settings.settings.cache_clear()

    runner.__name__ = test.__name__
    return runner


def _loaded(documents: Documents, patch: pytest.MonkeyPatch) -> Any:
    """The function of main.py, whose documents, limits and users are stood in for."""
    for name, value in {**ENVIRONMENT, "MODEL_BASE_URL": "http://127.0.0.1:9/v1"}.items():
        patch.setenv(name, value)
    settings.settings.cache_clear()
    spec = importlib.util.spec_from_file_location("chat_main", ROOT / "functions" / "chat" / "main.py")
    assert spec is not None
    assert spec.loader is not None
    main: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(main)
    work = Work(documents.ask, answering.pieces, documents.keep, documents.stored, documents.noted)
    main.PRODUCTIONS = Productions(work, Journal(documents.append))

    async def admitted(*_: object) -> tuple[Caller, dict[str, str]]:
        return Caller("ana", "token"), {}

    patch.setattr(http, "admit_async", admitted)
    return main.chat


async def read_until(reader: asyncio.StreamReader, mark: bytes) -> bytes:
    seen = b""
    while mark not in seen:
        chunk = await reader.read(4096)
        assert chunk, seen
        seen += chunk
    return seen


def events(stream: bytes) -> list[tuple[str, dict[str, Any]]]:
    """The events of an HTTP/1.1 answer in chunks; what is left of a half one is dropped."""
    body = stream.partition(b"\r\n\r\n")[2]
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        whole, body = whole + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return list(server_sent_events(iter(whole.split(b"\n"))))


def last_event_id(stream: bytes) -> str:
    return [line[4:].decode() for line in stream.split(b"\n") if line.startswith(b"id: ")][-1]


@with_service
async def test_the_first_words_arrive_before_the_model_has_written_the_last(service: Service) -> None:
    last = asyncio.Event()
    pieces = said(GOOD).pieces
    service.model.model.play(replace(said(GOOD), wait_before={len(pieces) - 1: last}))
    async with service.asked() as (reader, _):
        seen = await read_until(reader, b"event: delta")
        last.set()
        seen += await read_until(reader, b"0\r\n\r\n")
    names = [name for name, _ in events(seen)]
    assert names[0] == "message.start"
    assert names[-2:] == ["usage", "done"]
    assert "".join(data["text"] for name, data in events(seen) if name == "delta") == GOOD


@with_service
async def test_who_is_not_let_in_is_told_so_before_the_body_is_read(service: Service) -> None:
    async def refused(*_: object) -> tuple[Caller, dict[str, str]]:
        raise Problem("unauthenticated", "Sign in.")

    http.admit_async = refused  # type: ignore[assignment]  # with_service has put its own there, and puts the true one back
    async with service.headed({"Content-Length": "30000000"}) as reader:
        assert b" 401 " in await read_until(reader, b"\r\n")


@with_service
async def test_a_body_that_is_too_large_is_refused_by_its_announced_length_or_as_soon_as_it_is(
    service: Service,
) -> None:
    async with service.headed({"Content-Length": "40000000"}) as reader:
        answer = await read_until(reader, b'"code": "too-large"')
    assert b" 413 " in answer
    chunk = b"100000\r\n" + bytes(0x100000) + b"\r\n"
    async with service.headed({"Transfer-Encoding": "chunked"}, chunk * 31) as reader:
        assert b" 413 " in await read_until(reader, b"\r\n")


@with_service
async def test_a_client_that_leaves_its_stream_closes_the_line_to_the_model(service: Service) -> None:
    service.model.model.play(replace(said(GOOD), end="hang"))
    async with service.asked() as (reader, _):
        await read_until(reader, b"event: delta")
        assert service.model.model.open == 1
    await service.model.model.left.wait()
    await until(lambda: service.model.model.open == 0)
    assert not service.documents.answers


@with_service
async def test_a_client_that_leaves_while_it_waits_for_json_closes_the_line_to_the_model(service: Service) -> None:
    service.model.model.play(replace(said(GOOD), end="hang"))
    async with service.asked(Accept="application/json"):
        await until(lambda: service.model.model.open == 1)
    await service.model.model.left.wait()
    await until(lambda: service.model.model.open == 0)


@with_service
async def test_a_client_back_at_once_goes_on_at_the_very_character_and_the_model_is_asked_once(
    service: Service,
) -> None:
    go_on = asyncio.Event()
    half = len(said(GOOD).pieces) // 2
    service.model.model.play(replace(said(GOOD), wait_before={half: go_on}))
    async with service.asked() as (reader, writer):
        first = await read_until(reader, b"event: delta")
        writer.transport.abort()
    first_text = "".join(data["text"] for name, data in events(first) if name == "delta")
    async with service.asked(**{"Last-Event-ID": last_event_id(first)}) as (reader, _):
        await read_until(reader, b"\r\n\r\n")
        go_on.set()
        second = b"HTTP\r\n\r\n" + await read_until(reader, b"0\r\n\r\n")
    rest = events(second)
    assert "message.start" not in [name for name, _ in rest]
    assert first_text + "".join(data["text"] for name, data in rest if name == "delta") == GOOD
    assert rest[-1][1]["answer"] == GOOD
    assert len(service.model.model.requests) == 1


@with_service
async def test_whoever_comes_back_after_the_end_gets_the_stored_answer_from_where_they_were(service: Service) -> None:
    service.model.model.play(said(GOOD), Script(status=500))
    async with service.asked() as (reader, _):
        whole = await read_until(reader, b"0\r\n\r\n")
    first = whole.split(b"event: delta")[0] + b"event: delta"
    async with service.asked(**{"Last-Event-ID": last_event_id(first)}) as (reader, _):
        again = await read_until(reader, b"0\r\n\r\n")
    assert "".join(data["text"] for name, data in events(again) if name == "delta") in GOOD
    assert events(again)[-1][1]["answer"] == GOOD
    assert len(service.model.model.requests) == 1


def test_the_grace_and_the_hanging_up_together_stay_below_a_second() -> None:
    assert production.GRACE_S + DRAIN_S < 1.0
    assert production.ANSWER_WITHIN_S < 60
    assert 10 <= KEEP_ALIVE_S <= 15
