"""Server-sent events (WHATWG HTML, section 9.2): one answer as message.start, delta, usage, done, or error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from assistant.production import Listener
from shared.http import Answer, Request

CONTENT_TYPE = "text/event-stream; charset=utf-8"
KEEP_ALIVE_S = 12.0
KEEP_ALIVE = ": keep-alive\n\n"

Message = MutableMapping[str, Any]


class OpenStream(Answer):
    """An answer whose body is still to come, as events. Its listener is closed by whoever sends it."""

    def __init__(self, listener: Listener, headers: Mapping[str, str]) -> None:
        super().__init__(200, "", {"Content-Type": CONTENT_TYPE, "X-Accel-Buffering": "no", **headers})
        self.listener = listener


def wants_json(request: Request) -> bool:
    accepted = request.headers.get("accept", "")
    return "application/json" in accepted and "text/event-stream" not in accepted


async def events(listener: Listener, keep_alive_s: float = KEEP_ALIVE_S) -> AsyncIterator[str]:
    """The events of an answer as they come, several at once where they came at once, and comments in silence."""
    while not listener.gone:
        ended = listener.draft.ended
        text = "".join(listener.cursor.events())
        if text:
            if listener.draft.text:
                listener.answered()
            yield text
        if ended:
            return
        if not await listener.news(keep_alive_s):
            yield KEEP_ALIVE


class StreamedResponse:
    """An OpenStream as an ASGI application. It ends as soon as `gone` is done: the client has left.

    Starlette's StreamingResponse would do, with two tasks and a task group for each of 1000 streams.
    """

    def __init__(self, stream: OpenStream, gone: asyncio.Future[None]) -> None:
        self._stream = stream
        self._gone = gone

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        listener = self._stream.listener
        self._gone.add_done_callback(lambda _: listener.leave())
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self._stream.headers.items()
        ]
        try:
            await send({"type": "http.response.start", "status": self._stream.status, "headers": headers})
            async for text in events(listener):
                await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            listener.close()
            self._gone.cancel()
