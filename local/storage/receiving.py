"""Bytes on their way to the disk: hashed as they pass, never a whole object in memory."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Protocol

import google_crc32c
from aiohttp import ClientError, StreamReader

from local.storage.errors import ApiError, invalid

BLOCK_BYTES = 1024 * 1024


class Body(Protocol):
    """A request's body; empty bytes at its end."""

    async def readany(self) -> bytes: ...


class Broken(Exception):  # noqa: N818  # the connection is what broke
    """The connection ended before the body did."""


class RequestBody:
    """The body of a request, to the last byte that arrived; where the connection breaks, Broken is raised after it."""

    def __init__(self, content: StreamReader) -> None:
        self._content = content

    async def readany(self) -> bytes:
        try:
            return await self._content.readany()
        except (ClientError, OSError) as error:
            # aiohttp withholds what it had received when the connection broke; there is no public way to it.
            rest = self._content._read_nowait(-1)
            if rest:
                return rest
            raise Broken from error


class CountedBody:
    """A body that counts, and has each count judged: `check` raises where the body is too long."""

    def __init__(self, body: Body, check: Callable[[int], None]) -> None:
        self.count = 0
        self._body = body
        self._check = check

    async def readany(self) -> bytes:
        piece = await self._body.readany()
        self.count += len(piece)
        self._check(self.count)
        return piece


class ByteFile:
    """A file that grows, with its size, MD5 and CRC32C."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc32c = 0

    @classmethod
    def recover(cls, path: Path, multiple_of: int) -> ByteFile:
        """What a killed process has left of a file, rounded down. Blocks: it reads the file."""
        kept = cls(path)
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // multiple_of * multiple_of)
            while block := file.read(BLOCK_BYTES):
                kept._count(block)
        return kept

    def append(self, block: bytes) -> None:
        """Blocks; the file exists. What an append that failed has left behind is overwritten by the next one."""
        with self.path.open("r+b", buffering=0) as file:
            file.truncate(self.size)
            file.seek(self.size)
            file.write(block)
        self._count(block)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    @property
    def md5(self) -> str:
        """Base64, as in a resource's `md5Hash`."""
        return base64.b64encode(self._md5.digest()).decode()

    @property
    def crc32c(self) -> str:
        """Base64 of the big-endian value, as in a resource's `crc32c`."""
        return base64.b64encode(self._crc32c.to_bytes(4, "big")).decode()

    def check(self, expected: Mapping[str, str]) -> None:
        """Compares with the client's checksums, `{"crc32c": base64, "md5": base64}`. Raises ApiError 400."""
        for kind, calculated in (("crc32c", self.crc32c), ("md5", self.md5)):
            provided = expected.get(kind, calculated)
            if provided != calculated:
                raise invalid(
                    f'Provided {kind.upper()} hash "{provided}" doesn\'t match calculated {kind.upper()} '
                    f'hash "{calculated}".'
                )

    def _count(self, block: bytes) -> None:
        self._md5.update(block)
        self._crc32c = google_crc32c.extend(self._crc32c, block)
        self.size += len(block)


async def blocks(body: Body, skip: int = 0) -> AsyncIterator[bytes]:
    """A body behind its first `skip` bytes, in blocks of at least BLOCK_BYTES, the rest last.

    Where the connection breaks, what has arrived is given, and Broken raised after it.
    """
    pieces: list[bytes] = []
    waiting, broken = 0, None
    while True:
        try:
            piece = await body.readany()
        except Broken as error:
            piece, broken = b"", error
        if piece:
            pieces.append(piece[skip:])
            waiting += len(pieces[-1])
            skip = max(0, skip - len(piece))
        if waiting and (not piece or waiting >= BLOCK_BYTES):
            yield b"".join(pieces)
            pieces, waiting = [], 0
        if broken is not None:
            raise broken
        if not piece:
            return


async def receive_whole(body: Body, path: Path, check_size: Callable[[int], None]) -> ByteFile:
    """A body in an empty file. Raises Broken, and what `check_size` raises for the size so far; no file is left."""
    file = ByteFile(path)
    try:
        async for block in blocks(CountedBody(body, check_size)):
            await asyncio.to_thread(file.append, block)
    except BaseException:
        file.remove()
        raise
    return file


def parse_hash_header(values: list[str]) -> dict[str, str]:
    """`x-goog-hash: crc32c=…,md5=…` (once or several times) as `{"crc32c": …, "md5": …}`. Raises ApiError 400."""
    found: dict[str, str] = {}
    for part in ",".join(values).split(","):
        kind, _, value = part.strip().partition("=")
        if not kind:
            continue
        if kind not in ("crc32c", "md5") or not _is_base64(value):
            raise ApiError(400, "invalid", f"Invalid x-goog-hash header: {part.strip()}")
        found[kind] = value
    return found


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except binascii.Error:
        return False
