"""One streamed chat completion of an OpenAI-compatible service: text as it comes, tokens as they are counted.

https://platform.openai.com/docs/api-reference/chat-streaming: `chat.completion.chunk` objects as server-sent events,
usage in a chunk of its own at the end (some services put it into every chunk), then `[DONE]`.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

from assistant.models.ledger import Tokens

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

Kind = Literal["connect", "timeout", "rate-limited", "server", "refused", "garbage", "cut"]
LONGEST_LINE = 256 * 1024
DRAIN_S = 0.3


@dataclass(frozen=True)
class Deadlines:
    connect_s: float = 2.0
    first_token_s: float = 10.0
    silence_s: float = 10.0  # between two pieces
    whole_s: float = 45.0


class ModelError(Exception):
    """A call that failed. `again_after_s`: whether asking once more makes sense, and when."""

    def __init__(self, kind: Kind, detail: str, again_after_s: float | None = None) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind: Kind = kind
        self.again_after_s = again_after_s


@dataclass(frozen=True)
class Service:
    base_url: str
    api_key: str = ""


class Completion:
    """A call under way. Whoever makes one closes it; `used` is what it cost so far, in tokens.

    What is cut off has no final count: then every piece counts as a token, and the prompt as it was estimated.
    """

    def __init__(
        self,
        service: Service,
        body: Mapping[str, Any],
        prompt_tokens: int,
        deadlines: Deadlines,
        ends_at: float = math.inf,  # by the monotonic clock, whatever the deadlines allow
    ) -> None:
        self._service = service
        self._body = body
        self._estimated = prompt_tokens
        self._deadlines = deadlines
        self._ends_at = min(time.monotonic() + deadlines.whole_s, ends_at)
        self._response: ClientResponse | None = None
        self._rest = b""
        self.sent = False  # from then on the prompt is paid for
        self._prompt: int | None = None
        self._completion = 0
        self._done = False
        self.finish: str | None = None  # "length": the reply's length was used up

    @property
    def used(self) -> Tokens:
        if not self.sent:
            return Tokens()
        return Tokens(self._estimated if self._prompt is None else self._prompt, self._completion)

    async def texts(self, session: ClientSession) -> AsyncGenerator[str, None]:
        """The answer's text in the pieces in which it comes. Raises ModelError."""
        within_s = self._deadlines.first_token_s
        response = self._response = await self._opened(session)
        while not self._done:
            line = await self._line(response, within_s)
            text = self._taken(line)
            if text:
                within_s = self._deadlines.silence_s
                yield text

    async def close(self) -> None:
        """Ends the call. One that is still running is told so by ending our side of the line, then what was already
        on its way is counted: a service counts what it sent."""
        response = self._response
        if response is None:
            return
        try:
            if self._done:
                async with asyncio.timeout(DRAIN_S):  # read to its end, the connection is kept for the next call
                    await response.content.read()
            else:
                await self._hang_up(response)
        except (TimeoutError, OSError, ModelError, _client_error()):
            return
        finally:
            response.close()

    async def _opened(self, session: ClientSession) -> ClientResponse:
        import aiohttp

        headers = {"Authorization": f"Bearer {self._service.api_key}"} if self._service.api_key else {}
        url = f"{self._service.base_url}/chat/completions"
        try:
            async with asyncio.timeout(self._within(self._deadlines.first_token_s)):
                response = await session.post(
                    url, json=self._body, headers=headers, allow_redirects=False, trace_request_ctx=self
                )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise ModelError("connect", type(error).__name__, 0.0) from error
        except TimeoutError as error:
            raise ModelError("timeout", "nothing came") from error
        except aiohttp.ClientError as error:
            raise ModelError("cut", type(error).__name__, 0.0) from error
        self.sent = response.status == 200
        if not self.sent:
            try:
                raise await _refusal(response)
            finally:
                response.close()
        return response

    async def _line(self, response: ClientResponse, within_s: float) -> bytes:
        """The next whole line. Nothing that was received is lost when the wait for it is cancelled."""
        import aiohttp

        while b"\n" not in self._rest:
            if len(self._rest) > LONGEST_LINE:
                raise ModelError("garbage", "an endless line")
            try:
                async with asyncio.timeout(self._within(within_s)):
                    received = await response.content.readany()
            except TimeoutError as error:
                raise ModelError("timeout", "it fell silent") from error
            except (aiohttp.ClientError, OSError) as error:
                raise ModelError("cut", type(error).__name__) from error
            if not received and self.finish is None:
                raise ModelError("cut", "the stream ended without its end")
            if not received:  # some services leave `[DONE]` out
                return b"data: [DONE]"
            self._rest += received
        line, _, self._rest = self._rest.partition(b"\n")
        return line.strip()

    def _within(self, seconds: float) -> float:
        return max(0.0, min(seconds, self._ends_at - time.monotonic()))

    def _taken(self, line: bytes) -> str:
        """The text of a line, its tokens counted. Raises ModelError for what is no event of such a stream."""
        if not line or line.startswith((b":", b"event:", b"id:", b"retry:")):
            return ""
        if not line.startswith(b"data:"):
            raise ModelError("garbage", "a line that is no event")
        data = line[5:].strip()
        if data == b"[DONE]":
            self._done = True
            return ""
        try:
            return self._chunk(json.loads(data))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ModelError("garbage", "an event that is no chunk") from error

    def _chunk(self, chunk: dict[str, Any]) -> str:
        if chunk.get("error"):
            raise ModelError("server", "an error within the stream")
        choices = chunk.get("choices") or [{}]
        delta = choices[0].get("delta") or {}
        text = delta.get("content") or ""
        if not isinstance(text, str):
            raise TypeError("a delta that is no text")
        self.finish = choices[0].get("finish_reason") or self.finish
        if text or delta.get("reasoning_content"):
            self._completion += 1
        usage = chunk.get("usage")
        if usage:
            self._prompt, self._completion = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
        return text

    async def _hang_up(self, response: ClientResponse) -> None:
        transport = response.connection.transport if response.connection is not None else None
        if transport is not None and not transport.can_write_eof():  # TLS ends with the connection
            return
        if transport is not None:
            transport.write_eof()
        async with asyncio.timeout(DRAIN_S):
            while not self._done:
                self._taken(await self._line(response, DRAIN_S))


def open_session(deadlines: Deadlines) -> ClientSession:
    """The session that calls are made in: it tells each of them the moment in which its request has gone out."""
    import aiohttp

    async def sent(_: object, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx.sent = True

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(sent)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=deadlines.connect_s)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=timeout, trace_configs=[trace], trust_env=False
    )


async def _refusal(response: ClientResponse) -> ModelError:
    detail = f"status {response.status}"
    if response.status == 429:
        return ModelError("rate-limited", detail, _seconds(response.headers.get("Retry-After")))
    if response.status >= 500:
        return ModelError("server", detail, 0.0)
    try:
        async with asyncio.timeout(DRAIN_S):
            told = await response.content.read(2_000)
    except (TimeoutError, OSError, _client_error()):
        told = b""
    if b"max_completion_tokens" in told:  # the newer name of `max_tokens`: asked again with it, it will answer
        return ModelError("refused", "it wants max_completion_tokens", 0.0)
    return ModelError("refused", detail)


def _client_error() -> type[Exception]:
    import aiohttp

    return aiohttp.ClientError


def _seconds(retry_after: str | None) -> float | None:
    """The wait that a service asks for; a date, or nothing, is not worth waiting for."""
    try:
        return max(0.0, float(retry_after or ""))
    except ValueError:
        return None
