"""What has arrived, judged by what storage says of it and by its first bytes: no whole file passes a function.

Of checksums storage knows crc32c (always) and md5, so crc32c is compared here. sha256 it does not know: analyze, which
reads the bytes anyway, compares it with `contentSha256`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared import objects
from shared.documents.records import Track
from shared.objects import Gone, ObjectVersion
from shared.problems import Problem
from uploads.accept import START_BYTES, audio_format, not_audio


def fault(track: Track, metadata: Mapping[str, Any]) -> Problem | None:
    """Why an object cannot be the track's audio; None for one that can.

    metadata: the object's resource, as the storage event carries it: bucket, name, generation, size, crc32c.
    Raises Passing where storage does not answer.
    """
    problem = _other_bytes(track, int(metadata["size"]), metadata.get("crc32c"))
    if problem is not None:
        return problem
    version = ObjectVersion(metadata["bucket"], metadata["name"], int(metadata["generation"]))
    try:
        start = objects.read_start(version, START_BYTES)
    except Gone:
        return Problem("upload-mismatch", "The uploaded file was removed before it could be read; upload it again.")
    if audio_format(start) is None:
        return not_audio("The file's content is not audio of a kind that is read, whatever its name says.")
    return None


def _other_bytes(track: Track, size_bytes: int, crc32c: str | None) -> Problem | None:
    if size_bytes == 0:
        return Problem("empty-file", "The uploaded file has no bytes; export it again and upload that.")
    if size_bytes != track.size_bytes:
        detail = f"{size_bytes} bytes arrived, {track.size_bytes} were announced; upload the file again."
        return Problem("upload-mismatch", detail)
    if track.crc32c is not None and crc32c != track.crc32c:
        detail = (
            f"The bytes that arrived have the CRC32C {crc32c}, announced was {track.crc32c}; upload the file again."
        )
        return Problem("upload-mismatch", detail)
    return None
