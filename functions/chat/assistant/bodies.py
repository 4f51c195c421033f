"""The bodies of questions, read so that no number of them can fill an instance's memory.

A question in words is small and read at once. One with pictures is up to 31 MB, and several times that while it is
taken apart: a few are read at once, unpacked one at a time, and a few more wait (their bytes with the sender: what is
not read is not sent). Beyond that an instance says that it is busy.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from assistant import images
from assistant.questions import Question, question
from assistant.threads import in_pictures_thread
from shared import http
from shared.http import Incoming, Request
from shared.problems import Problem

LARGE_AT_ONCE = 3
WAITING_MOST = 12
WAIT_S = 10.0
READ_WITHIN_S = 25.0  # 31 MB at 10 Mbit/s; the time for the answer runs meanwhile
BUSY_RETRY_S = 5


class Bodies:
    """One per process, whose event loop is one."""

    def __init__(self, at_once: int = LARGE_AT_ONCE, waiting_most: int = WAITING_MOST, wait_s: float = WAIT_S) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._waiting_most = waiting_most
        self._wait_s = wait_s
        self._waiting = 0

    async def question(self, request: Incoming) -> Question:
        """The question in a request's body. Raises Problem, also where it is too large, too slow or one too many."""
        announced = request.announced_bytes
        if announced is not None and announced <= http.LARGEST_BODY_BYTES:
            return _taken_apart(request, await _read(request, http.LARGEST_BODY_BYTES))
        if announced is not None and announced > images.LARGEST_BODY_BYTES:
            raise _too_large()
        async with self._place():
            chunks = await _read(request, images.LARGEST_BODY_BYTES)
            return await in_pictures_thread(lambda: _taken_apart(request, chunks))

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        if self._waiting >= self._waiting_most:
            raise _busy()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await self._places.acquire()
        except TimeoutError as error:
            raise _busy() from error
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()


async def _read(request: Incoming, largest_bytes: int) -> list[bytes]:
    from starlette.requests import ClientDisconnect

    try:
        async with asyncio.timeout(READ_WITHIN_S):
            return [chunk async for chunk in request.chunks(largest_bytes)]
    except TimeoutError as error:
        detail = f"The body did not come within {READ_WITHIN_S:.0f} s; send smaller pictures."
        raise Problem("invalid-request", detail) from error
    except ClientDisconnect as error:
        raise Problem("invalid-request", "The body broke off.") from error
    except Problem as error:
        raise _too_large() from error


def _taken_apart(request: Request, chunks: list[bytes]) -> Question:
    """The chunks are gone afterwards: a body is held once, not twice."""
    body = b"".join(chunks)
    chunks.clear()
    value = replace(request, body=body).json(images.LARGEST_BODY_BYTES)
    del body
    return question(value)


def _too_large() -> Problem:
    detail = f"At most {images.LARGEST_BODY_BYTES} bytes are taken: pictures of {images.TOGETHER}."
    return Problem("too-large", detail)


def _busy() -> Problem:
    detail = f"Too many pictures are being read; try again in {BUSY_RETRY_S} s."
    return Problem("unavailable", detail, headers={"Retry-After": str(BUSY_RETRY_S)})
