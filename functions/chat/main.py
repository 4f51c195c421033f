"""chat: `POST /v1/chat`, streamed or as JSON, and the opening message after each analysis.

The clients are synchronous, so whatever calls one runs in a thread; the streams themselves hold none.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import functions_framework
import functions_framework.aio

from assistant import conversations
from assistant.questions import question
from assistant.streaming import OpenStream, sentences, wants_json
from shared import events, http
from shared.http import Answer, Endpoint, Request
from shared.problems import Problem
from shared.settings import settings_or_exit

settings_or_exit()

THREADS = ThreadPoolExecutor(max_workers=64, thread_name_prefix="chat")


def _ask(request: Request) -> Answer:
    caller, headers = http.admit(request, "chat")
    asked = conversations.ask(caller, question(request.json()), request.headers)
    if wants_json(request):
        return http.json_answer(200, conversations.answer(asked), headers)
    return OpenStream(asked, headers)


ENDPOINTS = (Endpoint("POST", "/v1/chat", _ask),)


async def _in_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    """As asyncio.to_thread, whose pool has five threads on one CPU: these threads wait for the network."""
    call = functools.partial(contextvars.copy_context().run, work, *arguments)
    return await asyncio.get_running_loop().run_in_executor(THREADS, call)


@functions_framework.aio.http
async def chat(request: Any) -> Any:
    from starlette.responses import StreamingResponse

    answer = await _in_thread(http.respond, await http.from_starlette(request), ENDPOINTS)
    if isinstance(answer, OpenStream):
        return StreamingResponse(_events(answer), headers=answer.headers)
    return http.to_starlette(answer)


async def _events(stream: OpenStream) -> AsyncIterator[str]:
    asked = stream.asked
    yield stream.event("message.start", {"conversationId": asked.conversation_id, "messageId": asked.message_id})
    try:
        answered = await _in_thread(conversations.answer, asked)
    except Exception as error:
        problem = error if isinstance(error, Problem) else http.unexpected(error)
        yield stream.event("error", problem.as_dict())
        return
    for piece in sentences(answered["answer"]):
        yield stream.event("delta", {"text": piece})
    yield stream.event("usage", answered["usage"])
    yield stream.event("done", answered)


@functions_framework.cloud_event
def chat_opening(cloud_event: Any) -> None:
    events.handle(cloud_event, conversations.open_after_analysis)
