"""The functions that `benchmarks/limits.py` drives: one answer, behind no call, a bare one, ours, and the peer's.

`line` is the bare one over our transport, in a call of its own: the asynchronous one shares calls under load.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import functions_framework
import functions_framework.aio
from upstash_ratelimit import Ratelimit, SlidingWindow
from upstash_ratelimit.asyncio import Ratelimit as AsyncRatelimit
from upstash_redis import Redis
from upstash_redis.asyncio import Redis as AsyncRedis

from shared import collector, limits, upstash
from shared.policies import Policy, Route
from shared.upstash_async import AsyncHttp

ADDRESS = (os.environ["UPSTASH_REDIS_REST_URL"], os.environ["UPSTASH_REDIS_REST_TOKEN"])
QUOTA = 1_000_000  # nobody is refused: what is measured is judging
ROUTE = Route(
    "bench",
    (Policy("user", QUOTA, 60), Policy("address", QUOTA, 60, "address"), Policy("service", QUOTA, 60, "service")),
    Policy("local", QUOTA, 60),
)
collector.spare_the_living()  # as the chat, which is the asynchronous function
limits.routes = lambda: {"bench": ROUTE}  # type: ignore[attr-defined,assignment]


@functools.cache
def redis() -> Redis:
    return upstash.client(*ADDRESS)


@functools.cache
def redis_async() -> AsyncRedis:
    return upstash.async_client(*ADDRESS)


class Alone(AsyncHttp):
    """Each command in a call of its own, however many there are."""

    calls_most = 1_000
    together_most = 1


@functools.cache
def bare() -> Redis:
    return Redis(*ADDRESS, rest_retries=0, allow_telemetry=False)


@functools.cache
def bare_async() -> AsyncRedis:
    return AsyncRedis(*ADDRESS, rest_retries=0, allow_telemetry=False)


@functools.cache
def line_async() -> AsyncRedis:
    client = upstash.async_client(*ADDRESS)
    client._http = Alone()  # type: ignore[assignment]
    return client


@functools.cache
def limiter() -> limits.Limiter:
    return limits.Limiter(redis, async_runner=redis_async)


@functools.cache
def peer() -> Ratelimit:
    return Ratelimit(redis=bare(), limiter=SlidingWindow(QUOTA, 60), prefix="peer")


@functools.cache
def peer_async() -> AsyncRatelimit:
    return AsyncRatelimit(redis=bare_async(), limiter=SlidingWindow(QUOTA, 60), prefix="peer")


@functions_framework.http
def answer(request: Any) -> Any:
    way, user = request.path.strip("/").split("/")
    headers: dict[str, str] = {}
    if way == "bare":
        bare().get(user)
    elif way == "line":
        redis().get(user)
    elif way == "ours":
        decision = limiter().ask("bench", user, "203.0.113.7")
        headers = decision.headers
    elif way == "peer":
        peer().limit(user)
    return "ok", 200, headers


@functions_framework.aio.http
async def answer_async(request: Any) -> Any:
    from starlette.responses import PlainTextResponse

    way, user = request.url.path.strip("/").split("/")
    headers: dict[str, str] = {}
    if way == "bare":
        await bare_async().get(user)
    elif way == "line":
        await line_async().get(user)
    elif way == "ours":
        decision = await limiter().ask_async("bench", user, "203.0.113.7")
        headers = decision.headers
    elif way == "peer":
        await peer_async().limit(user)
    return PlainTextResponse("ok", 200, headers)
