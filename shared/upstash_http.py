"""The HTTP under Upstash's clients, each call within the deadline that shared/upstash.py keeps.

A module of its own, since it is imported with the first call: httpx takes as long as all else of a small function.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx
from upstash_redis.http import _format_command, format_response

from shared.upstash import CONNECTIONS_MOST, DEADLINE_S, deadline, left, one_deadline

CALLS_MOST = 8  # of single commands at once
TOGETHER_MOST = 32  # commands in a pipeline


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> _Stream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> _Stream:
        """Tries the addresses of a name one after another, each with its part of what is left of the deadline."""
        addresses = _addresses(host, port)
        for untried in range(len(addresses), 1, -1):
            address = addresses[-untried]
            try:
                part = left(timeout) / untried
                return _Stream(super().connect_tcp(address, port, part, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return _Stream(super().connect_tcp(addresses[-1], port, left(timeout), local_address, socket_options))


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class SyncHttp(httpx.Client):
    """An httpx client whose calls end at their deadline."""

    def __init__(self) -> None:
        super().__init__(timeout=None, trust_env=False)
        self._transport = httpx.HTTPTransport(trust_env=False)
        self._transport._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=CONNECTIONS_MOST,
            max_keepalive_connections=CONNECTIONS_MOST,
            keepalive_expiry=60.0,
            network_backend=_Backend(),
        )

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        with one_deadline():
            request.extensions["timeout"] = {**request.extensions.get("timeout", {}), "pool": left(None)}
            return super().send(request, **options)


@dataclass(frozen=True)
class _Waiting:
    """A command that goes out with the next call, and who waits for its answer, until when."""

    command: list[Any]
    answer: asyncio.Future[Any]
    until: float


class AsyncHttp:
    """The HTTP part of the asynchronous client over aiohttp: at 100 calls at once httpx does a 16th as many.

    Where CALLS_MOST calls are under way, further commands wait for one of them to end and go together, as a pipeline:
    an instance under load spends its time on answers instead of on HTTP. Each keeps its own answer, error and deadline.
    """

    def __init__(self) -> None:
        import aiohttp  # noqa: F401  # it takes longer than a deadline, so not within the first call's

        self._session: Any = None
        self._calls = 0
        self._waiting: deque[_Waiting] = deque()
        self._pipelines: set[asyncio.Future[None]] = set()  # so that they are not forgotten while they run

    async def execute(self, url: str, headers: dict[str, Any], command: list[Any], from_pipeline: bool = False) -> Any:
        until = deadline() or time.monotonic() + DEADLINE_S
        formatted = _format_command(command, from_pipeline=from_pipeline)
        async with asyncio.timeout(until - time.monotonic()):
            if from_pipeline:
                return [format_response(part, None) for part in await self._post(url, headers, formatted)]
            if self._calls >= CALLS_MOST:
                waiting = _Waiting(formatted, asyncio.get_running_loop().create_future(), until)
                self._waiting.append(waiting)
                return format_response(await waiting.answer, None)
            self._calls += 1
            try:
                return format_response(await self._post(url, headers, formatted), None)
            finally:
                self._ended(url, headers)

    def _ended(self, url: str, headers: dict[str, Any]) -> None:
        self._calls -= 1
        together = self._taken()
        if together:
            self._calls += 1
            call = asyncio.ensure_future(self._pipeline(url, headers, together))
            self._pipelines.add(call)
            call.add_done_callback(self._pipelines.discard)

    def _taken(self) -> list[_Waiting]:
        """The next that wait; whoever has given up meanwhile is left out."""
        taken: list[_Waiting] = []
        while self._waiting and len(taken) < TOGETHER_MOST:
            waiting = self._waiting.popleft()
            if not waiting.answer.done():
                taken.append(waiting)
        return taken

    async def _pipeline(self, url: str, headers: dict[str, Any], together: Sequence[_Waiting]) -> None:
        """Raises nothing: whatever happens, those who wait are told."""
        try:
            async with asyncio.timeout(max(waiting.until for waiting in together) - time.monotonic()):
                answers = await self._post(f"{url}/pipeline", headers, [waiting.command for waiting in together])
            if not isinstance(answers, list):  # one error for all
                answers = [answers] * len(together)
            for waiting, answer in list(zip(together, answers, strict=True)):
                if not waiting.answer.done():
                    waiting.answer.set_result(answer)
        except Exception as error:
            for waiting in together:
                if not waiting.answer.done():
                    waiting.answer.set_exception(error)
        finally:
            self._ended(url, headers)

    async def _post(self, url: str, headers: dict[str, Any], body: list[Any]) -> Any:
        async with self._opened().post(url, headers=headers, json=body) as response:
            return await response.json()

    def _opened(self) -> Any:
        if self._session is None:
            import aiohttp

            connector = aiohttp.TCPConnector(limit=CONNECTIONS_MOST, keepalive_timeout=60)
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
