"""A kept HTTP/1.1 connection that carries one POST at a time, in as few turns of the event loop as can be.

What is sent is written in the turn that sends it, and its end is told in the turn that reads it. Parsing is httptools'.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, cast
from urllib.parse import urlsplit

IDLE_MOST_S = 60.0  # after that the other end may have forgotten the connection

Ended = Callable[[bytes | Exception], None]


class Target(NamedTuple):
    """Where a call goes, and its head but for the body's length."""

    host: str
    port: int
    secure: bool
    head: str


@lru_cache(maxsize=16)
def target(url: str, *headers: tuple[str, str]) -> Target:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    head = [f"POST {parts.path or '/'} HTTP/1.1", f"Host: {parts.netloc}", "User-Agent: prodai"]
    head += ["Content-Type: application/json"] + [f"{name}: {value}" for name, value in headers]
    return Target(parts.hostname or "", parts.port or (443 if secure else 80), secure, "\r\n".join(head))


class Line(asyncio.Protocol):
    """Opened with its first call. Each call is told its end once: the answer's body, whatever its status, or an error.

    The line has no deadline of its own: whoever has waited long enough aborts it.
    """

    def __init__(self, tls: ssl.SSLContext) -> None:
        import httptools  # only the asynchronous functions have it

        self._tls = tls
        self._ended: Ended | None = None  # of the call under way
        self._message = b""
        self._opening: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""
        self._used_at = 0.0

    @property
    def spent(self) -> bool:
        """Whether it can carry no further call."""
        if self._transport is None:
            return self._opening is not None
        return self._transport.is_closing() or time.monotonic() - self._used_at > IDLE_MOST_S

    def carry(self, to: Target, body: str, ended: Ended) -> None:
        content = body.encode()
        self._message = f"{to.head}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content
        self._ended = ended
        if self._transport is None:
            self._opening = asyncio.ensure_future(self._open(to))
        else:
            self._transport.write(self._message)

    def abort(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._end(ConnectionAbortedError("the call was given up"))

    async def _open(self, to: Target) -> None:
        tls = self._tls if to.secure else None
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, to.host, to.port, ssl=tls)
        except Exception as error:
            self._end(error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._message)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except Exception as error:
            cast(asyncio.Transport, self._transport).abort()
            self._end(ValueError(f"no HTTP: {error}"))

    def on_body(self, part: bytes) -> None:
        self._body += part

    def on_message_complete(self) -> None:
        body, self._body, self._used_at = self._body, b"", time.monotonic()
        if self._ended is None or not self._parser.should_keep_alive():
            cast(asyncio.Transport, self._transport).close()
        self._end(body)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error or ConnectionResetError("the other end hung up"))

    def _end(self, outcome: bytes | Exception) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(outcome)
