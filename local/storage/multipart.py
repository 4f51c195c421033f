"""`multipart/related` bodies of simple uploads: a JSON part, then the bytes, which are passed on as they come.

https://cloud.google.com/storage/docs/uploading-objects (multipart upload), RFC 2387
"""

from __future__ import annotations

import json
from email.message import Message
from email.parser import BytesParser
from typing import Any

from local.storage.errors import ApiError, invalid
from local.storage.receiving import Body

HEAD_BYTES_MOST = 256 * 1024


class RelatedParts:
    """The two parts of a body. First `read_properties`, then the object's bytes by `readany`."""

    def __init__(self, content_type: str, body: Body) -> None:
        """Raises ApiError 400 for a body that is not multipart/related."""
        header = Message()
        header["Content-Type"] = content_type
        boundary = header.get_param("boundary")
        if header.get_content_type() != "multipart/related" or not isinstance(boundary, str) or not boundary:
            raise invalid("A multipart upload needs Content-Type: multipart/related with a boundary.")
        self._separator = b"\r\n--" + boundary.encode()
        self._body = body
        self._waiting = b"\r\n"  # so that the first boundary looks like all others
        self._ended = False
        self.content_type: str | None = None

    async def read_properties(self) -> dict[str, Any]:
        """The JSON part, and after it `content_type` of the bytes. Raises ApiError 400."""
        preamble = await self._read_until(self._separator)
        if preamble.strip():
            raise _malformed()
        head, _, content = (await self._read_until(self._separator)).partition(b"\r\n\r\n")
        if BytesParser().parsebytes(head.lstrip() + b"\r\n\r\n").get_content_type() != "application/json":
            raise invalid("The first part of a multipart upload must be application/json.")
        try:
            properties = json.loads(content)
        except ValueError:
            raise invalid("Parse Error") from None
        if not isinstance(properties, dict):
            raise invalid("Parse Error")
        media_head = await self._read_until(b"\r\n\r\n")
        self.content_type = BytesParser().parsebytes(media_head.lstrip() + b"\r\n\r\n").get("Content-Type")
        return properties

    async def readany(self) -> bytes:
        """The next bytes of the object; empty at the end. Raises ApiError 400 where the closing boundary is missing."""
        closing = self._separator + b"--"
        while not self._ended:
            content, found, _ = self._waiting.partition(closing)
            if found:
                self._ended = True
                while await self._body.readany():  # an epilogue may follow, and has no meaning
                    pass
                return content
            sure = len(self._waiting) - len(closing)
            if sure > 0:
                content, self._waiting = self._waiting[:sure], self._waiting[sure:]
                return content
            await self._read_more()
        return b""

    async def _read_until(self, mark: bytes) -> bytes:
        while mark not in self._waiting:
            if len(self._waiting) > HEAD_BYTES_MOST:
                raise _malformed()
            await self._read_more()
        before, _, self._waiting = self._waiting.partition(mark)
        return before

    async def _read_more(self) -> None:
        piece = await self._body.readany()
        if not piece:
            raise _malformed()
        self._waiting += piece


def _malformed() -> ApiError:
    return invalid("Malformed multipart body.")
