"""What a file's own bytes say about itself, where libsndfile keeps silent: formats that are not accepted, and cuts."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from io import FileIO
from typing import NamedTuple

_UNKNOWN_SIZES = (0, 0xFFFFFFFF)  # written by programs that stream and never go back to fill in the size
_BIG_ENDIAN = (b"RIFX", b"FORM")
_SAMPLES = (b"data", b"SSND")
_CHUNKS_MOST = 1000  # a sound file has a dozen; a made one of 60 MB could have millions
_OGG_PAGE_MOST = 27 + 255 + 255 * 255
_OGG_END = 0x04


class Chunk(NamedTuple):
    name: bytes
    header_at: int
    size: int | None
    """Of its content, which stands 8 bytes behind `header_at`; None where the writer did not know it."""

    @property
    def end(self) -> int | None:
        return None if self.size is None else self.header_at + 8 + self.size


def refused_format(head: bytes) -> str | None:
    """The name of a known format that is not accepted; None where the first bytes say nothing of the kind."""
    if head[4:8] == b"ftyp":
        return "M4A/MP4 (AAC or ALAC)"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "AAC"
    if head[:4] == b"\x30\x26\xb2\x75":
        return "WMA"
    return None


def ends_early(file: FileIO, size: int, file_format: str) -> bool:
    """Whether the container promises more than the file has. Not for FLAC and MP3: they show it when read."""
    if file_format in {"WAV", "WAVEX", "RF64", "AIFF"}:
        return _chunks_end_early(file, size)
    if file_format == "OGG":
        file.seek(max(0, size - 2 * _OGG_PAGE_MOST))
        return not _ogg_ends(file.read())
    return False


def chunks(file: FileIO) -> Iterator[Chunk]:
    """The whole (RIFF, RIFX, RF64 or FORM) and the chunks in it, as far as their sizes are known; else nothing.

    RF64 has its sizes in its first chunk, `ds64`: of the whole, of the samples (EBU Tech 3306).
    """
    file_end = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(36)
    kind = head[:4]
    if len(head) < 36 or kind not in {b"RIFF", b"RIFX", b"RF64", b"FORM"}:
        return
    byte_order = ">" if kind in _BIG_ENDIAN else "<"
    long_sizes = struct.unpack("<QQ", head[20:36]) if kind == b"RF64" and head[12:16] == b"ds64" else None
    (whole,) = long_sizes[:1] if long_sizes else struct.unpack(f"{byte_order}I", head[4:8])
    yield Chunk(kind, 0, None if whole in _UNKNOWN_SIZES else whole)
    at = 12
    for _ in range(_CHUNKS_MOST):
        if at + 8 > file_end:
            return
        file.seek(at)
        head = file.read(8)
        (size,) = struct.unpack(f"{byte_order}I", head[4:])
        if long_sizes and head[:4] == b"data":
            size = long_sizes[1]
        known = not (head[:4] in _SAMPLES and size in _UNKNOWN_SIZES)
        yield Chunk(head[:4], at, size if known else None)
        if not known:
            return
        at += 8 + size + size % 2


def _chunks_end_early(file: FileIO, size: int) -> bool:
    """The whole's promise and that of the samples count; an odd last chunk's pad byte may be missing."""
    counted = (chunk for chunk in chunks(file) if chunk.header_at == 0 or chunk.name in _SAMPLES)
    return any(chunk.end is not None and chunk.end > size + (chunk.header_at == 0) for chunk in counted)


def _ogg_ends(tail: bytes) -> bool:
    """Whether the last page is whole and carries the end-of-stream flag (RFC 3533, section 6)."""
    at = tail.rfind(b"OggS")
    if at < 0 or len(tail) < at + 27:
        return False
    segments = tail[at + 27 : at + 27 + tail[at + 26]]
    whole = len(segments) == tail[at + 26] and at + 27 + len(segments) + sum(segments) <= len(tail)
    return whole and bool(tail[at + 5] & _OGG_END)
