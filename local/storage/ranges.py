"""`Content-Range` of uploads and `Range` of downloads: read and judged, without any bytes at hand.

Uploads: https://cloud.google.com/storage/docs/performing-resumable-uploads. The answers to what clients get wrong are
those that googleapis/java-storage recorded from the service (ITJsonResumableSessionPutTaskTest, 2023).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from local.storage.errors import ApiError, invalid

QUANTUM_BYTES = 256 * 1024

_QUERY = re.compile(r"bytes \*/(\d+|\*)")
_CHUNK = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True)
class Query:
    """`bytes */TOTAL`: how far is the upload, and is it whole if it has `total` bytes?"""

    total: int | None


@dataclass(frozen=True)
class Chunk:
    """Bytes `start` to `end` (exclusive) of `total`; `end` is None for a body that tells no length."""

    start: int
    end: int | None
    total: int | None
    whole: bool = False  # a PUT without Content-Range: the object from its first byte to its last


class SizeViolation(ApiError):  # noqa: N818  # one of its kind, named for what happened
    """The upload is not of the size that its session was opened for: the session ends."""

    def __init__(self, declared: int, got: str) -> None:
        super().__init__(400, "invalid", f"X-Upload-Content-Length said {declared} byte(s), but the request has {got}.")


def parse_content_range(header: str | None, content_length: int | None) -> Query | Chunk:
    """Raises ApiError 400 for a header of another form or a range that is none."""
    if header is None:
        return Chunk(0, content_length, content_length, whole=True)
    if match := _QUERY.fullmatch(header.strip()):
        return Query(_total(match[1]))
    match = _CHUNK.fullmatch(header.strip())
    if match is None or int(match[1]) > int(match[2]):
        raise invalid("Failed to parse Content-Range header.")
    chunk = Chunk(int(match[1]), int(match[2]) + 1, _total(match[3]))
    if chunk.total is not None and int(match[2]) >= chunk.total:
        raise invalid("Failed to parse Content-Range header.")
    return chunk


def is_final(chunk: Chunk, declared: int | None) -> bool:
    """Whether the upload is whole once the chunk has arrived."""
    return chunk.whole or (chunk.end is not None and chunk.end in (chunk.total, declared))


def check_chunk(chunk: Chunk, content_length: int | None, persisted: int, declared: int | None) -> None:
    """Judges a chunk before its bytes are read. Raises ApiError, SizeViolation where the session must end."""
    if chunk.end is None:
        return
    length = chunk.end - chunk.start
    if content_length is not None and content_length != length:
        raise length_mismatch(chunk, content_length)
    if declared is not None and chunk.total is not None and chunk.total != declared:
        raise SizeViolation(declared, f"a total of {chunk.total}")
    if declared is not None and chunk.end > declared:
        raise SizeViolation(declared, f"bytes up to {chunk.end}")
    if chunk.start > persisted:
        raise ApiError(
            503,
            "backendError",
            f"Invalid request. According to the Content-Range header, the upload offset is {chunk.start} byte(s), "
            f"which exceeds already uploaded size of {persisted} byte(s).",
        )
    if length < QUANTUM_BYTES and not is_final(chunk, declared):
        raise invalid(
            f"Invalid request. The number of bytes uploaded is required to be equal or greater than {QUANTUM_BYTES}, "
            "except for the final request (it's recommended to be the exact multiple of "
            f"{QUANTUM_BYTES}). The received request contained {length} bytes, which does not meet this requirement."
        )


def length_mismatch(chunk: Chunk, received: int) -> ApiError:
    end = chunk.start + received if chunk.end is None else chunk.end
    return invalid(
        f"Invalid request. There were {received} byte(s) in the request body. There should have been "
        f"{end - chunk.start} byte(s) (starting at offset {chunk.start} and ending at offset {end - 1}) "
        "according to the Content-Range header."
    )


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The bytes to send, `start` to `end` (exclusive); None for all of them, also where the header is no single range.

    Raises ApiError 416 for a range that begins beyond the end (RFC 9110, 14.2).
    """
    match = _RANGE.fullmatch((header or "").strip())
    if match is None or (not match[1] and not match[2]):
        return None
    if not match[1]:
        start, end = max(0, size - int(match[2])), size
    else:
        start, end = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    if start >= size or start == end:
        raise ApiError(416, "requestedRangeNotSatisfiable", "Request range not satisfiable")
    return start, end


def _total(text: str) -> int | None:
    return None if text == "*" else int(text)
