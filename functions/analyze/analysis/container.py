"""What a file's own bytes say about itself, where libsndfile keeps silent: formats that are not accepted, and cuts."""

from __future__ import annotations

import struct
from io import FileIO

_UNKNOWN_SIZES = (0, 0xFFFFFFFF)  # written by programs that stream and never go back to fill in the size
_OGG_PAGE_MOST = 27 + 255 + 255 * 255
_OGG_END = 0x04
_FIRST_FRAMES = 4096  # bytes; the longest MP3 frame has 2,881


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
    """Whether the container promises more than the file has. Only WAV, AIFF and OGG: FLAC and MP3 show it when read."""
    if file_format in {"WAV", "WAVEX", "AIFF"}:
        file.seek(0)
        return _chunks_end_early(file.read(12), size)
    if file_format == "OGG":
        file.seek(max(0, size - 2 * _OGG_PAGE_MOST))
        return not _ogg_ends(file.read())
    return False


def _chunks_end_early(head: bytes, size: int) -> bool:
    """RIFF and FORM: four letters, then the size of all that follows. An odd last chunk's pad byte may be missing."""
    if len(head) < 12 or head[:4] not in {b"RIFF", b"RIFX", b"FORM"}:
        return False
    (promised,) = struct.unpack("<I" if head[:4] == b"RIFF" else ">I", head[4:8])
    return promised not in _UNKNOWN_SIZES and promised + 8 > size + 1


def _ogg_ends(tail: bytes) -> bool:
    """Whether the last page is whole and carries the end-of-stream flag (RFC 3533, section 6)."""
    at = tail.rfind(b"OggS")
    if at < 0 or len(tail) < at + 27:
        return False
    segments = tail[at + 27 : at + 27 + tail[at + 26]]
    whole = len(segments) == tail[at + 26] and at + 27 + len(segments) + sum(segments) <= len(tail)
    return whole and bool(tail[at + 5] & _OGG_END)


def mp3_frames_known(file: FileIO) -> bool:
    """Whether an MP3 says how long it is (a Xing, Info or VBRI header), so that a shortfall can be told."""
    file.seek(0)
    head = file.read(10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    file.seek(start)
    first_frames = file.read(_FIRST_FRAMES)
    return any(mark in first_frames for mark in (b"Xing", b"Info", b"VBRI"))
