"""Upstash's clients with a deadline around the whole call: connecting, waiting for a connection, and every read.

`upstash_redis` has no timeout of its own, and httpx's are per step, so that an answer which trickles would never end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upstash_redis import Redis
    from upstash_redis.asyncio import Redis as AsyncRedis

DEADLINE_S = 0.15
CONNECTIONS_MOST = 100

_until: ContextVar[float | None] = ContextVar("redis_until", default=None)


class _Deadline:
    """What every request of the limiter enters: a generator takes five times as long."""

    __slots__ = ("_seconds", "_token")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._token = _until.set(time.monotonic() + self._seconds)

    def __exit__(self, *_: object) -> None:
        _until.reset(self._token)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """All calls inside have this long together; without it, each call has DEADLINE_S."""
    with _Deadline(seconds):
        yield


def one_deadline() -> AbstractContextManager[None]:
    """All calls inside have DEADLINE_S together, or what is left of the deadline that is running already."""
    return _Deadline(DEADLINE_S) if deadline() is None else nullcontext()


def deadline() -> float | None:
    """When the calls inside `within` must have ended, by the monotonic clock."""
    return _until.get()


def left(timeout: float | None) -> float:
    """What is left of the deadline, as the timeout of one step."""
    until = _until.get()
    seconds = DEADLINE_S if until is None else until - time.monotonic()
    if seconds <= 0:
        import httpcore

        raise httpcore.ReadTimeout("the deadline of the call has passed")
    return seconds if timeout is None else min(seconds, timeout)


def client(url: str, token: str) -> Redis:
    """The synchronous client: connections are kept, nothing is retried blindly."""
    from upstash_redis import Redis

    from shared.upstash_http import SyncHttp

    redis = Redis(url, token, rest_encoding=None, rest_retries=0, allow_telemetry=False)
    redis._http._client = SyncHttp()
    return redis


def async_client(url: str, token: str) -> AsyncRedis:
    """The asynchronous client, for one event loop."""
    from upstash_redis.asyncio import Redis as AsyncRedis

    from shared.upstash_async import AsyncHttp

    redis = AsyncRedis(url, token, rest_encoding=None, rest_retries=0, allow_telemetry=False)
    redis._http = AsyncHttp()  # type: ignore[assignment]  # the part that it asks to execute commands
    return redis
