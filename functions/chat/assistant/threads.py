"""The clients of the remote parts are synchronous: whatever calls one runs in a thread of this pool."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

# Few: whoever runs holds the interpreter's lock, and the event loop waits for its turn among them. With 16 of them, the
# first event of 200 new streams a second came a third sooner than with 64 (benchmarks/chat_streams.py).
POOL = ThreadPoolExecutor(max_workers=16, thread_name_prefix="chat")
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


# What unpacks pictures has a thread of its own, and only one: a picture takes up to 100 MB while it is unpacked.
PICTURES = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pictures")


async def in_thread(
    work: Callable[Parameters, Result], *arguments: Parameters.args, **named: Parameters.kwargs
) -> Result:
    """As asyncio.to_thread, whose pool has five threads on one CPU: these threads wait for the network."""
    call = functools.partial(contextvars.copy_context().run, work, *arguments, **named)
    return await asyncio.get_running_loop().run_in_executor(POOL, call)


async def in_pictures_thread(work: Callable[[], Result]) -> Result:
    return await asyncio.get_running_loop().run_in_executor(PICTURES, contextvars.copy_context().run, work)
