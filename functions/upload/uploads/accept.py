"""What is accepted: the announced upload, and the first bytes of what arrives."""

from __future__ import annotations

import base64
import binascii
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
_AUDIO_TYPES = re.compile(r"audio/.+|application/(octet-stream|ogg|x-ogg|x-flac)|binary/octet-stream|video/ogg")
# Types that say audio and mean what is not read.
_OTHER_AUDIO = re.compile(r"audio/(aac|aacp|x-aac|mp4|m4a|x-m4a|x-ms-wma|midi|x-midi|mid|webm|amr|3gpp|ac3|x-caf)")
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # Unicode's general categories, table 4-4 of the standard
_KNOWN_KEYS = {
    "filename", "sizeBytes", "contentType", "sha256", "crc32c", "mode", "genre", "referenceTrackId", "replacesTrackId"
}  # fmt: skip


def wanted(body: Mapping[str, Any]) -> Wanted:
    """The upload that a request's body announces.

    Raises Problem `invalid-request` that names every fault, `empty-file`, or `not-audio` for a type that says so.
    """
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
    sha256 = take("sha256", _is_sha256, "64 hexadecimal digits")
    crc32c = take("crc32c", _is_crc32c, "the checksum's 4 bytes, big-endian, in base64, such as AAAAAA==")
    if mode == "reference" and reference is None:
        faults.append("referenceTrackId is needed in the mode reference")
    if faults:
        raise Problem("invalid-request", "; ".join(faults) + ".", {"faults": faults})
    if size == 0:
        raise Problem("empty-file", "The file has no bytes; export it again and upload that.")
    _check_type(content_type)
    filename = clean_filename(filename)
    digits = sha256.lower() if sha256 else None
    return Wanted(filename, size, content_type, mode, genre, reference, replaces, digits, crc32c)


def clean_filename(name: str) -> str:
    """The name as text to show, and never anything else: no folders, in Unicode's form NFC, on one line.

    Control and formatting characters are taken out, such as those that reverse the reading direction
    (Unicode Technical Report 36, "Bidirectional text spoofing"). At most 255 UTF-16 units, as firestore.rules count.
    """
    last = re.split(r"[/\\]", name)[-1]
    visible = "".join(c for c in last if unicodedata.category(c) not in _INVISIBLE)
    composed = unicodedata.normalize("NFC", visible).strip().encode("utf-16-le")
    cleaned = composed[: 2 * LONGEST_FILENAME].decode("utf-16-le", "ignore").strip()  # no half of a pair at its end
    return "untitled" if cleaned in ("", ".", "..") else cleaned


def not_audio(detail: str) -> Problem:
    """The refusal of a file that is none of those accepted; it names those that are."""
    return Problem("not-audio", f"{detail} Accepted: {ACCEPTED}.", {"accepted": ACCEPTED})


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
    if _is_id3_tag(start) or _is_mpeg_layer_3(start):
        return "mp3"
    return None


def _is_id3_tag(start: bytes) -> bool:
    """ID3v2.4, section 3.1: version 2 to 4, flags, the size in four bytes of seven bits. The audio is behind it."""
    if len(start) < 10 or start[:3] != b"ID3":
        return False
    return start[3] in (2, 3, 4) and start[5] & 0x0F == 0 and max(start[6:10]) < 0x80


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


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F]{64}", value) is not None


def _is_crc32c(value: Any) -> bool:
    """Whether it is in the one form that Cloud Storage writes, so that both can be compared as texts."""
    try:
        checksum = base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError):
        return False
    return len(checksum) == 4 and base64.b64encode(checksum).decode() == value


def _check_type(content_type: str) -> None:
    """A type that cannot be right is refused before a byte is sent; what really arrives decides later."""
    kind = content_type.lower()
    if _OTHER_AUDIO.fullmatch(kind):
        raise not_audio(f"{content_type} is audio that is not read; export the track in another format.")
    if not _AUDIO_TYPES.fullmatch(kind):
        raise not_audio(f"{content_type} is not audio.")
