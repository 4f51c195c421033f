"""An OpenAI-compatible service that plays scripts: it invents, stalls, drops, sends garbage, refuses, and counts.

It counts tokens by itself, in the moment in which it sends them: a prompt as it stands in prompt.estimated_tokens,
and every piece as one. What it has counted is what a real service would write on its bill.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from assistant.prompt import prompt_tokens


@dataclass(frozen=True)
class Script:
    """What the service does with one request, in this order."""

    pieces: Sequence[str] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    refusal: str = ""
    stall: bool = False  # nothing comes, not even the headers of an answer
    gap_s: float = 0.0
    wait_before: Mapping[int, asyncio.Event] = field(default_factory=dict)  # piece number -> what it waits for
    then: bytes = b""  # sent after the pieces as it is
    end: str = (
        "whole"  # "whole", "drop" (the line breaks), "hang" (nothing more comes), "no-done", "raw" (then, and over)
    )
    usage_with_every_piece: bool = False
    counts_no_usage: bool = False


def said(text: str, **how: Any) -> Script:
    """A script that says a text in pieces such as a model's tokens."""
    return Script([text[i : i + 4] for i in range(0, len(text), 4)], **how)


class ScriptedModel:
    def __init__(self) -> None:
        self.scripts: list[Script] = []  # one a request; the last one is played again and again
        self.requests: list[dict[str, Any]] = []
        self.prompt_tokens: Counter[str] = Counter()
        self.completion_tokens: Counter[str] = Counter()
        self.open = 0
        self.left = asyncio.Event()  # a client has left in the midst of a stream
        self.url = ""

    def play(self, *scripts: Script) -> None:
        self.scripts = list(scripts)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ScriptedModel]:
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_post("/v1/chat/completions", self._answer)
        runner = web.AppRunner(application, handler_cancellation=False, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        if script.status != 200:
            return web.Response(status=script.status, headers=script.headers, text=script.refusal)
        self.prompt_tokens[body["model"]] += prompt_tokens(body["messages"])
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        self.open += 1
        try:
            if script.stall:
                await self._hang(request)
            await response.prepare(request)
            await self._play(script, body, request, response)
        except ConnectionError:
            self.left.set()
        finally:
            self.open -= 1
        return response

    async def _play(
        self, script: Script, body: dict[str, Any], request: web.Request, response: web.StreamResponse
    ) -> None:
        model, spoken = body["model"], 0
        for number, piece in enumerate(script.pieces):
            if number in script.wait_before:
                await self._until(script.wait_before[number], request)
            if spoken == body.get("max_tokens"):
                break
            chunk: dict[str, Any] = {"choices": [{"index": 0, "delta": {"content": piece}}]}
            if script.usage_with_every_piece:
                chunk["usage"] = self._usage(body, spoken + 1)
            await self._send(request, response, chunk)
            spoken += 1
            self.completion_tokens[model] += 1
            if script.gap_s:
                await asyncio.sleep(script.gap_s)
        if script.then:
            await response.write(script.then)
        if script.end == "drop":
            assert request.transport is not None
            request.transport.close()
        elif script.end == "hang":
            await self._hang(request)
        elif script.end in ("whole", "no-done"):
            finish = "length" if spoken == body.get("max_tokens") else "stop"
            await self._send(request, response, {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
            if not script.counts_no_usage:
                await self._send(request, response, {"choices": [], "usage": self._usage(body, spoken)})
            if script.end == "whole":
                await response.write(b"data: [DONE]\n\n")

    def _usage(self, body: dict[str, Any], spoken: int) -> dict[str, int]:
        return {"prompt_tokens": prompt_tokens(body["messages"]), "completion_tokens": spoken}

    async def _send(self, request: web.Request, response: web.StreamResponse, chunk: dict[str, Any]) -> None:
        if request.transport is None or request.transport.is_closing():
            raise ConnectionResetError
        await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")

    async def _until(self, event: asyncio.Event, request: web.Request) -> None:
        while not event.is_set():
            if request.transport is None or request.transport.is_closing():
                raise ConnectionResetError
            await asyncio.sleep(0.005)

    async def _hang(self, request: web.Request) -> None:
        await self._until(asyncio.Event(), request)
