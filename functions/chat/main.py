"""chat: `POST /v1/chat`, streamed or as JSON, and the opening message after each analysis.

Asynchronous: a stream holds a task, no thread. Firestore's and Pub/Sub's clients are synchronous and run in threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import functions_framework
import functions_framework.aio

from assistant import answers, conversations, journal
from assistant.bodies import Bodies
from assistant.production import Productions, Work
from assistant.streaming import OpenStream, StreamedResponse, wants_json
from shared import collector, events, http
from shared.http import Answer, Endpoint, Incoming
from shared.settings import settings_or_exit

settings_or_exit()
collector.spare_the_living()

OPENS_AFTER_S = 0.25  # a refusal known by then is told by the status, a later one by the stream's `error` event
CLIENT_LEFT = 499  # what proxies log for it; nobody receives it
WORK = Work(conversations.ask, answers.pieces, conversations.keep, conversations.stored, journal.read)
PRODUCTIONS = Productions(WORK, journal.Journal(journal.append))
BODIES = Bodies()


async def _ask(request: Incoming) -> Answer:
    caller, headers = await http.admit_async(request, "chat")
    asked = await BODIES.question(request)
    listener = PRODUCTIONS.listen(conversations.named(caller, asked, request.headers, request.arrived))
    try:
        await (listener.ended() if wants_json(request) else listener.accepted(OPENS_AFTER_S))
    except BaseException:
        listener.close()
        raise
    if not wants_json(request):
        return OpenStream(listener, headers)
    listener.close()
    listener.answered()
    return http.json_answer(200, listener.draft.as_json(), headers)


ENDPOINTS = (Endpoint("POST", "/v1/chat", _ask),)


@functions_framework.aio.http
async def chat(request: Any) -> Any:
    incoming = http.from_starlette(request)
    responding = asyncio.ensure_future(http.respond_async(incoming, ENDPOINTS))
    gone = asyncio.ensure_future(_gone(incoming.whole, request.receive))
    await asyncio.wait({responding, gone}, return_when=asyncio.FIRST_COMPLETED)
    if not responding.done():
        responding.cancel()
        return http.to_starlette(Answer(CLIENT_LEFT, ""))
    answer = responding.result()
    if isinstance(answer, OpenStream):
        return StreamedResponse(answer, gone)
    gone.cancel()
    return http.to_starlette(answer)


async def _gone(whole: asyncio.Event, receive: Callable[[], Awaitable[Any]]) -> None:
    """Ends when the client has left. Until the body is whole, whoever reads it notices."""
    await whole.wait()
    while (await receive())["type"] != "http.disconnect":
        pass


@functions_framework.cloud_event
def chat_opening(cloud_event: Any) -> None:
    events.handle(cloud_event, conversations.open_after_analysis)
