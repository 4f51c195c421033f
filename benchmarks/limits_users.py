"""Who asks in `benchmarks/limits.py`: connections that are always busy.

As cheap as can be, since whoever asks shares the machine with those who are asked: with 1000 connections aiohttp's
client takes one of two cores for itself.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import cast
from urllib.parse import urlsplit

import httptools

ANSWER_WITHIN_S = 20.0


class Run:
    """What was measured of one way."""

    def __init__(self) -> None:
        self.times_ms: list[float] = []
        self.local = 0
        self.failed = 0

    def p(self, q: int) -> float:
        """The percentile in ms; not a number where nothing was answered."""
        ordered = sorted(self.times_ms) or [math.nan]
        return ordered[min(len(ordered) - 1, len(ordered) * q // 100)]

    def rate(self, connections: int) -> float:
        """Answers a second, of connections that are always busy (Little's law)."""
        return connections * len(self.times_ms) * 1000 / sum(self.times_ms) if self.times_ms else 0.0


class User:
    """Asks one thing after another, on a connection that is opened again where the server closes it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), int(parts.port or 80)
        self._request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
        self._connection: _Connection | None = None

    async def ask(self, run: Run) -> None:
        loop, started = asyncio.get_running_loop(), time.monotonic()
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                if self._connection is None or self._connection.closed:
                    _, self._connection = await loop.create_connection(_Connection, self._host, self._port)
                status, local = await self._connection.exchange(self._request)
        except (OSError, TimeoutError):
            self.leave()
            run.failed += 1
            return
        run.times_ms.append((time.monotonic() - started) * 1000)
        run.failed += status != 200
        run.local += local

    def leave(self) -> None:
        if self._connection is not None:
            self._connection.close()


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.closed = False
        self._parser = httptools.HttpResponseParser(self)
        self._local = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def exchange(self, request: bytes) -> asyncio.Future[tuple[int, bool]]:
        """Gives the answer's status, and whether the limiter says that it judged without Redis."""
        self._answer = asyncio.get_running_loop().create_future()
        self._local = False
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._local = self._local or b"prodai-limiter: local" in data.lower()
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        if not self._parser.should_keep_alive():
            self.close()
        if not self._answer.done():
            self._answer.set_result((self._parser.get_status_code(), self._local))

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("the server hung up"))

    def close(self) -> None:
        self.closed = True
        self._transport.close()
