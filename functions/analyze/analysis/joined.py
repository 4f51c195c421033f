"""Two tracks in one file, one behind the other: libsndfile reads the first and is silent about the second, or refuses.

Only what begins like a track counts: tags, padding and text behind one are common, and nothing is missed with them.
"""

from __future__ import annotations

import io
import re
from io import FileIO
from typing import NamedTuple

from analysis.container import chunks

_BEGINNINGS = (b"RIFF", b"RIFX", b"RF64", b"FORM", b"fLaC", b"OggS")
_OGG_PAGE = rb"OggS\x00([\x00-\x07])"
_OGG_PAGE_HEAD = 6
_OGG_BEGINS = 0x02
_READ_BYTES = 1 << 20
_FIRST_FRAMES = 4096  # bytes; the longest MP3 frame has 2,881
_MP3_FRAME_MOST = 2881
_MARK_IN_FRAME = (36, 21, 13)  # behind the header and the side information, by version and channels
_BYTES_KNOWN, _FRAMES_KNOWN = 2, 1


class FirstPart:
    """The first `size` bytes of a file, as if they were all: as much of a file as soundfile asks for."""

    def __init__(self, file: FileIO, size: int) -> None:
        self._file, self._size, self._at = file, size, 0

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self._size - self._at)
        self._file.seek(self._at)
        got = self._file.read(left if size < 0 else min(size, left))
        self._at += len(got)
        return got


def first_part_bytes(file: FileIO) -> int | None:
    """Where a second track begins behind a WAV or AIFF: on the place of a chunk; None where none does."""
    found = (chunk.header_at for chunk in chunks(file) if chunk.header_at and chunk.name in _BEGINNINGS)
    return next(found, None)


def another_follows(file: FileIO, size: int, file_format: str) -> bool:
    """Whether another track stands behind an OGG or MP3. FLAC shows it when read."""
    if file_format == "OGG":
        return _ogg_begins_again(file)
    return file_format == "MP3" and _follows_mp3(file, size)


def _ogg_begins_again(file: FileIO) -> bool:
    """Whether a stream begins after the others have gone on: all that sound together begin together (RFC 3533, 4)."""
    file.seek(0)
    gone_on, kept = False, b""
    while read := file.read(_READ_BYTES):
        for page in re.finditer(_OGG_PAGE, kept + read):
            begins = bool(page[1][0] & _OGG_BEGINS)
            if begins and gone_on:
                return True
            gone_on = gone_on or not begins
        kept = read[1 - _OGG_PAGE_HEAD :]
    return False


class Mp3Head(NamedTuple):
    """What the first frame says of the whole: a Xing, Info or VBRI header."""

    begins_at: int
    bytes_from_there: int | None


def mp3_head(file: FileIO) -> Mp3Head | None:
    """None where an MP3 does not say how long it is, so that no shortfall can be told."""
    start = _behind_id3(file, 0)
    file.seek(start)
    first_frames = file.read(_FIRST_FRAMES)
    mark = re.search(rb"Xing|Info|VBRI", first_frames)
    if mark is None:
        return None
    at = mark.start()
    begins = (at - distance for distance in _MARK_IN_FRAME if _is_mp3_frame(first_frames[max(0, at - distance) :]))
    return Mp3Head(start + next(begins, at), _mp3_bytes(first_frames[at:]))


def _mp3_bytes(header: bytes) -> int | None:
    """From the mark on: flags, then frames and bytes where the flags say so; VBRI has version, delay, quality first."""
    if header[:4] == b"VBRI":
        return int.from_bytes(header[10:14], "big") or None
    flags = header[7] if len(header) > 7 else 0
    if not flags & _BYTES_KNOWN:
        return None
    at = 12 if flags & _FRAMES_KNOWN else 8
    return int.from_bytes(header[at : at + 4], "big") or None


def _follows_mp3(file: FileIO, size: int) -> bool:
    """Some writers leave a frame out of their count: what is shorter than two is no track."""
    head = mp3_head(file)
    if head is None or head.bytes_from_there is None:
        return False
    end = head.begins_at + head.bytes_from_there
    if size - end <= 2 * _MP3_FRAME_MOST:
        return False
    file.seek(_behind_id3(file, end))
    following = file.read(4)
    return following in _BEGINNINGS or _is_mp3_frame(following)


def _behind_id3(file: FileIO, at: int) -> int:
    file.seek(at)
    head = file.read(10)
    if head[:3] != b"ID3" or len(head) < 10:
        return at
    length: int = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    return at + 10 + length


def _is_mp3_frame(head: bytes) -> bool:
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0
