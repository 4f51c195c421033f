"""Upstash's clients with a deadline around the whole call: connecting, waiting for a connection, and every read.

`upstash_redis` has no timeout of its own, and httpx's are per step, so that an answer which trickles would never end.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import httpcore
import httpx
from upstash_redis import Redis

if TYPE_CHECKING:
    from upstash_redis.asyncio import Redis as AsyncRedis

DEADLINE_S = 0.15
CONNECTIONS_MOST = 100

_until: ContextVar[float | None] = ContextVar("redis_until", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """All calls inside have this long together; without it, each call has DEADLINE_S."""
    token = _until.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _until.reset(token)


def _left(timeout: float | None) -> float:
    """What is left of the deadline, as the timeout of one step."""
    until = _until.get()
    left = DEADLINE_S if until is None else until - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the deadline of the call has passed")
    return left if timeout is None else min(left, timeout)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> _Stream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, _left(timeout)))

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
        return _Stream(super().connect_tcp(host, port, _left(timeout), local_address, socket_options))


class _Client(httpx.Client):
    """An httpx client whose calls end at their deadline."""

    def __init__(self) -> None:
        super().__init__(timeout=httpx.Timeout(None, pool=DEADLINE_S), trust_env=False)
        self._transport = httpx.HTTPTransport(trust_env=False)
        self._transport._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=CONNECTIONS_MOST,
            max_keepalive_connections=CONNECTIONS_MOST,
            keepalive_expiry=60.0,
            network_backend=_Backend(),
        )

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        if _until.get() is not None:
            return super().send(request, **options)
        with within(DEADLINE_S):
            return super().send(request, **options)


def client(url: str, token: str) -> Redis:
    """The synchronous client: connections are kept, nothing is retried blindly."""
    redis = Redis(url, token, rest_encoding=None, rest_retries=0, allow_telemetry=False)
    redis._http._client = _Client()
    return redis


class _AsyncHttp:
    """The HTTP part of the asynchronous client over aiohttp: at 100 calls at once httpx does a 16th as many."""

    def __init__(self) -> None:
        self._session: Any = None

    async def execute(self, url: str, headers: dict[str, Any], command: list[Any], from_pipeline: bool = False) -> Any:
        import asyncio

        from upstash_redis.http import _format_command, format_response

        until = _until.get()
        async with asyncio.timeout(DEADLINE_S if until is None else until - time.monotonic()):
            body = _format_command(command, from_pipeline=from_pipeline)
            async with self._opened().post(url, headers=headers, json=body) as response:
                answer = await response.json()
        if not from_pipeline:
            return format_response(answer, None)
        return [format_response(part, None) for part in answer]

    def _opened(self) -> Any:
        if self._session is None:
            import aiohttp

            connector = aiohttp.TCPConnector(limit=CONNECTIONS_MOST, keepalive_timeout=60)
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def async_client(url: str, token: str) -> AsyncRedis:
    """The asynchronous client, for one event loop."""
    from upstash_redis.asyncio import Redis as AsyncRedis

    redis = AsyncRedis(url, token, rest_encoding=None, rest_retries=0, allow_telemetry=False)
    redis._http = _AsyncHttp()  # type: ignore[assignment]  # the part that it asks to execute commands
    return redis
