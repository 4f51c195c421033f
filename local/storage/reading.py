"""An object's bytes on their way to a client: all of them or a range, in blocks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import BinaryIO

from aiohttp import web

from local.storage.errors import no_object
from local.storage.objects import Resource, StoredObject
from local.storage.ranges import parse_range

BLOCK_BYTES = 1024 * 1024


async def send(request: web.Request, found: StoredObject, overrides: Mapping[str, str]) -> web.StreamResponse:
    """200, or 206 for a range. Raises ApiError 416. `overrides` are headers that the reader may choose."""
    try:
        file = found.path.open("rb")  # before the first header: from now on an overwriting upload does not disturb
    except FileNotFoundError:
        raise no_object(found.resource["bucket"], found.resource["name"]) from None
    with file:
        part = parse_range(request.headers.get("Range"), found.size)
        start, end = part or (0, found.size)
        response = web.StreamResponse(status=206 if part else 200, headers={**headers(found.resource), **overrides})
        response.content_length = end - start
        if part:
            response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{found.size}"
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # a reader may go away
            if request.method != "HEAD":
                await _copy(file, start, end, response)
            await response.write_eof()
    return response


def headers(resource: Resource) -> dict[str, str]:
    updated = datetime.fromisoformat(resource["updated"].replace("Z", "+00:00"))
    known = {
        "Content-Type": resource["contentType"],
        "Cache-Control": resource.get("cacheControl"),
        "Content-Disposition": resource.get("contentDisposition"),
        "Content-Encoding": resource.get("contentEncoding"),
        "Content-Language": resource.get("contentLanguage"),
        "Accept-Ranges": "bytes",
        "ETag": resource["etag"],
        "Last-Modified": format_datetime(updated, usegmt=True),
        "x-goog-generation": resource["generation"],
        "x-goog-metageneration": resource["metageneration"],
        "x-goog-hash": f"crc32c={resource['crc32c']},md5={resource['md5Hash']}",
        "x-goog-storage-class": resource["storageClass"],
        "x-goog-stored-content-encoding": resource.get("contentEncoding", "identity"),
        "x-goog-stored-content-length": resource["size"],
    }
    return {name: value for name, value in known.items() if value}


async def _copy(file: BinaryIO, start: int, end: int, response: web.StreamResponse) -> None:
    file.seek(start)
    while start < end:
        block = await asyncio.to_thread(file.read, min(BLOCK_BYTES, end - start))
        await response.write(block)
        start += len(block)
