"""What benchmarks/chat_streams.py serves: the chat with a paced model, and a bare stream as the floor."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import functions_framework.aio

from assistant.pieces import Piece, Text, TokenUsage

ROOT = Path(__file__).resolve().parents[1]

PIECES = int(os.environ.get("PIECES", "20"))
LASTS_S = float(os.environ.get("LASTS_S", "10"))
TEXT = "The level of the bass is close to the target, so leave it as it is for now. "


async def _paced(*_: object) -> AsyncGenerator[Piece, None]:
    started = time.monotonic()
    for number in range(PIECES):
        await asyncio.sleep(max(0.0, started + LASTS_S * (number + 1) / PIECES - time.monotonic()))
        yield Text(f"{number + 1}. {TEXT}")
    yield TokenUsage("paced", 100, 20 * PIECES)


def _chat() -> Any:
    """The function of functions/chat/main.py itself, but for where its answers come from."""
    spec = importlib.util.spec_from_file_location("chat_main", ROOT / "functions" / "chat" / "main.py")
    assert spec is not None
    assert spec.loader is not None
    main = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(main)
    object.__setattr__(main.WORK, "pieces", _paced)
    return main.chat


if os.environ["FUNCTION_TARGET"] == "chat":
    chat = _chat()


@functions_framework.aio.http
async def floor(request: Any) -> Any:
    from starlette.responses import StreamingResponse

    await request.body()
    return StreamingResponse(_bare(), media_type="text/event-stream")


async def _bare() -> AsyncIterator[str]:
    yield "event: message.start\ndata: {}\n\n"
    started = time.monotonic()
    for number in range(PIECES):
        await asyncio.sleep(max(0.0, started + LASTS_S * (number + 1) / PIECES - time.monotonic()))
        yield f"event: delta\ndata: {json.dumps({'text': TEXT})}\n\n"
    yield "event: done\ndata: {}\n\n"
