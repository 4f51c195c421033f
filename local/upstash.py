"""Upstash's REST interface in front of a Redis-compatible server.

    python -m local.upstash --port PORT --redis-port PORT --token TOKEN

As documented at https://upstash.com/docs/redis/features/restapi: `POST /` (a command as a JSON array), `/pipeline`,
`/multi-exec`, and commands as paths (`GET /set/foo/bar`). `GET /stats` counts HTTP calls and Redis commands.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisSilent

from shared import telemetry

CONNECT_DEADLINE_S = 0.5
ANSWER_DEADLINE_S = 2.0
REQUEST_DEADLINE_S = 5.0
CONNECTIONS_MOST = 32
BODY_MOST_BYTES = 10 * 1024 * 1024  # Upstash's largest request on a paid plan

# upstash_ratelimit's scripts begin with this line, which plain Redis and Valkey refuse.
ONLY_UPSTASH = "#!lua flags=allow-key-locking\n"

Command = list[str]


class CommandError(ValueError):
    """What was sent is no command; the message says why."""


def command_from(value: object) -> Command:
    """A command as it goes to Redis, from its JSON form. Raises CommandError."""
    if not isinstance(value, list) or not value:
        raise CommandError("ERR failed to parse command: a command is a JSON array that is not empty")
    return [_argument(element) for element in value]


def commands_from(value: object) -> list[Command]:
    if not isinstance(value, list) or not value:
        raise CommandError("ERR failed to parse pipeline request: send a JSON array of commands")
    return [command_from(element) for element in value]


def command_from_path(raw_path: str, query: Sequence[tuple[str, str]], body: str) -> Command:
    """`/set/foo/bar?EX=100` is SET foo bar EX 100; the body of a POST is the last argument before the query's."""
    parts = [unquote(part) for part in raw_path.strip("/").split("/")]
    options = [part for name, value in query if name != "_token" for part in (name, value) if part]
    return command_from([*parts, *([body] if body else []), *options])


def _argument(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise CommandError(f"ERR failed to parse command: {json.dumps(value)[:100]} is neither a string nor a number")


def encoded(value: Any, in_base64: bool) -> Any:
    """A reply as JSON: bulk strings as text or in base64; `OK`, integers and nulls are left as they are."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode() if in_base64 and value != b"OK" else value.decode(errors="replace")
    if isinstance(value, list | tuple):
        return [encoded(element, in_base64) for element in value]
    if isinstance(value, RedisError):
        return error_text(value)
    return value


def error_text(error: RedisError) -> str:
    """The error as Redis words it: the client has taken the code (ERR, NOSCRIPT) off the front."""
    return f"{error.status_code} {error}" if error.status_code else str(error)


class Scripts:
    """Scripts with the line that only Upstash takes, and the digests under which their callers know them."""

    def __init__(self) -> None:
        self._digests: dict[str, str] = {}  # of the script as it was sent -> as Redis has it

    def for_redis(self, command: Command) -> Command:
        name = command[0].upper()
        if name == "EVALSHA" and len(command) > 1:
            return [command[0], self._digests.get(command[1], command[1]), *command[2:]]
        if name in {"EVAL", "SCRIPT"}:
            return [self._stripped(part) for part in command]
        return command

    def _stripped(self, part: str) -> str:
        if not part.startswith(ONLY_UPSTASH):
            return part
        script = part.removeprefix(ONLY_UPSTASH)
        self._digests[_digest(part)] = _digest(script)
        return script


def _digest(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


class Proxy:
    def __init__(self, redis: Redis, token: str) -> None:
        self._redis = redis
        self._scripts = Scripts()
        self._authorization = f"Bearer {token}".encode()
        self._calls = 0
        self._commands = 0
        self._away = False

    async def health(self, _: web.Request) -> web.Response:
        try:
            await self._redis.execute_command("PING")  # type: ignore[no-untyped-call]
        except RedisError as error:
            return self._unreachable(error)
        return web.json_response({"status": "ok"})

    async def stats(self, _: web.Request) -> web.Response:
        return web.json_response({"calls": self._calls, "commands": self._commands})

    async def handle(self, request: web.Request) -> web.Response:
        """Answers every other path: 401 without the token, 400 for a refused command, 503 where Redis is away."""
        given = request.headers.get("Authorization") or f"Bearer {request.query.get('_token', '')}"
        if not hmac.compare_digest(given.encode(), self._authorization):
            return _error(401, "WRONGPASS invalid or missing auth token")
        self._calls += 1
        try:
            async with asyncio.timeout(REQUEST_DEADLINE_S):
                answer = await self._answer(request)
        except CommandError as error:
            return _error(400, str(error))
        except (RedisAway, RedisSilent) as error:
            return self._unreachable(error)
        except RedisError as error:
            return _error(400, error_text(error))
        except TimeoutError:
            return _error(503, f"Redis took longer than {REQUEST_DEADLINE_S:g} s")
        if self._away:
            self._away = False
            telemetry.info("Redis answers again")
        return answer

    async def _answer(self, request: web.Request) -> web.Response:
        in_base64 = request.headers.get("Upstash-Encoding") == "base64"
        path = request.rel_url.raw_path
        body = await request.text()
        if path == "/pipeline":
            return _json(await self._together(commands_from(_parsed(body)), in_base64, transaction=False))
        if path == "/multi-exec":
            return _json(await self._together(commands_from(_parsed(body)), in_base64, transaction=True))
        if path == "/":
            command = command_from(_parsed(body))
        else:
            command = command_from_path(path, list(request.query.items()), body)
        return _json({"result": encoded(await self._execute(command), in_base64)})

    async def _execute(self, command: Command) -> Any:
        self._commands += 1
        return await self._redis.execute_command(*self._scripts.for_redis(command))  # type: ignore[no-untyped-call]

    async def _together(self, commands: list[Command], in_base64: bool, *, transaction: bool) -> list[dict[str, Any]]:
        self._commands += len(commands)
        async with self._redis.pipeline(transaction=transaction) as pipeline:
            for command in commands:
                pipeline.execute_command(*self._scripts.for_redis(command))
            replies = await pipeline.execute(raise_on_error=False)
        return [
            {"error": error_text(reply)} if isinstance(reply, RedisError) else {"result": encoded(reply, in_base64)}
            for reply in replies
        ]

    def _unreachable(self, error: RedisError) -> web.Response:
        if not self._away:
            self._away = True
            telemetry.warning("Redis cannot be reached; every call is answered 503 until it can", error=str(error))
        return _error(503, f"Redis cannot be reached: {error}")


def _parsed(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise CommandError(f"ERR failed to parse command: {error}") from None


def _json(content: Any) -> web.Response:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return web.Response(text=text, content_type="application/json")


def _error(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)


def connected(redis_port: int) -> Redis:
    """A client without retries (a repeated INCR counts twice) that leaves replies as the server sent them."""
    pool = BlockingConnectionPool(
        host="127.0.0.1",
        port=redis_port,
        protocol=2,
        max_connections=CONNECTIONS_MOST,
        timeout=None,  # a call waits for a connection as long as its own deadline lets it
        socket_timeout=ANSWER_DEADLINE_S,
        socket_connect_timeout=CONNECT_DEADLINE_S,
        retry=Retry(NoBackoff(), 0),
    )
    redis = Redis(connection_pool=pool)
    redis.response_callbacks.clear()
    return redis


def application(redis: Redis, token: str) -> web.Application:
    proxy = Proxy(redis, token)
    app = web.Application(client_max_size=BODY_MOST_BYTES)
    app.router.add_get("/health", proxy.health)
    app.router.add_get("/stats", proxy.stats)
    app.router.add_route("*", "/{path:.*}", proxy.handle)

    async def close(_: web.Application) -> None:
        await redis.aclose()

    app.on_cleanup.append(close)
    return app


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.upstash")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--redis-port", type=int, required=True)
    parser.add_argument("--token", required=True)
    options = parser.parse_args()

    async def made() -> web.Application:
        return application(connected(options.redis_port), options.token)

    web.run_app(made(), host="127.0.0.1", port=options.port, print=None, access_log=None, shutdown_timeout=1)


if __name__ == "__main__":
    main()
