"""The HTTP under Upstash's clients, each call within the deadline that shared/upstash.py keeps.

A module of its own, since it is imported with the first call: httpx takes as long as all else of a small function.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from shared.upstash import CONNECTIONS_MOST, left, one_deadline


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
