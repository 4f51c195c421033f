"""What is accepted: the announced upload, and the first bytes of what arrives."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from shared.documents.records import Wanted, is_id
from shared.genres import GENRES
from shared.problems import Problem

ACCEPTED = "WAV, RF64, AIFF, FLAC, Ogg Vorbis, Ogg Opus and MP3"
START_BYTES = 64  # enough for every signature below
LONGEST_FILENAME = 255
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_CRC32C = re.compile(r"^[A-Za-z0-9+/]{6}==$")
_KNOWN_KEYS = {
    "filename", "sizeBytes", "contentType", "sha256", "crc32c", "mode", "genre", "referenceTrackId", "replacesTrackId"
}  # fmt: skip


def wanted(body: Mapping[str, Any]) -> Wanted:
    """The upload that a request's body announces. Raises Problem `invalid-request` that names every fault."""
    faults: list[str] = [f"{key} is not known" for key in sorted(set(body) - _KNOWN_KEYS)]

    def take(key: str, check: Any, hint: str, *, needed: bool = False) -> Any:
        value = body.get(key)
        if value is None and not needed:
            return None
        if value is None or not check(value):
            faults.append(f"{key} must be {hint}")
            return None
        return value

    filename = take("filename", _is_filename, f"a text of 1 to {LONGEST_FILENAME} characters", needed=True)
    size = take("sizeBytes", _is_count, "the file's size in bytes", needed=True)
    content_type = take("contentType", _is_content_type, "a media type such as audio/wav", needed=True)
    mode: Any = take("mode", lambda v: v in ("genre", "reference"), "genre or reference") or "genre"
    genre = take("genre", lambda v: v in GENRES, f"one of {', '.join(GENRES)}")
    reference = take("referenceTrackId", is_id, "a track's id")
    replaces = take("replacesTrackId", is_id, "a track's id")
    sha256 = take("sha256", lambda v: isinstance(v, str) and _SHA256.match(v), "64 hexadecimal digits")
    crc32c = take("crc32c", lambda v: isinstance(v, str) and _CRC32C.match(v), "the checksum in base64")
    if mode == "reference" and reference is None:
        faults.append("referenceTrackId is needed in the mode reference")
    if faults:
        raise Problem("invalid-request", "; ".join(faults) + ".", {"faults": faults})
    if size == 0:
        raise Problem("empty-file", "The file has no bytes; export it again and upload that.")
    filename = clean_filename(filename)
    return Wanted(filename, size, content_type, mode, genre, reference, replaces, sha256, crc32c)


def clean_filename(name: str) -> str:
    """The name as text to show: no folders, no control or formatting characters, at most 255 characters."""
    last = re.split(r"[/\\]", name)[-1]
    visible = "".join(c for c in last if unicodedata.category(c)[0] != "C")
    return visible.strip()[:LONGEST_FILENAME] or "untitled"


def audio_format(start: bytes) -> str | None:
    """The format that a file's first bytes tell of; None where it is none that is accepted."""
    if start[:4] in (b"RIFF", b"RF64") and start[8:12] == b"WAVE":
        return "wav"
    if start[:4] == b"FORM" and start[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if start[:4] == b"fLaC":
        return "flac"
    if start[:4] == b"OggS" and (b"\x01vorbis" in start[28:36] or b"OpusHead" in start[28:36]):
        return "ogg"
    if start[:3] == b"ID3" or _is_mpeg_layer_3(start):
        return "mp3"
    return None


def _is_mpeg_layer_3(start: bytes) -> bool:
    if len(start) < 4 or start[0] != 0xFF or start[1] & 0xE0 != 0xE0:
        return False
    version, layer = start[1] >> 3 & 3, start[1] >> 1 & 3
    bitrate, rate = start[2] >> 4, start[2] >> 2 & 3
    return version != 1 and layer == 1 and bitrate not in (0, 15) and rate != 3


def _is_filename(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_FILENAME


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_content_type(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[\w.+-]{1,60}/[\w.+-]{1,60}", value) is not None
