"""Objects in Cloud Storage: looked at, read, deleted. Uploading is the client's, through a session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared import clients
from shared.events import Passing

DEADLINE_S = 20.0
BRIEF_DEADLINE_S = 5.0  # repetitions included
CHUNK_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class ObjectVersion:
    bucket: str
    name: str
    generation: int


class Gone(Exception):  # noqa: N818
    """The object, or this generation of it, is not there (any more)."""


def read_start(version: ObjectVersion, count: int) -> bytes:
    """The first bytes of an object, at most `count`. Raises Gone."""
    read: bytes = _reading(lambda: _blob(version).download_as_bytes(start=0, end=count - 1, timeout=DEADLINE_S))
    return read


def download(version: ObjectVersion, path: Path, on_chunk: Callable[[], None]) -> None:
    """Streams an object to a file, chunk by chunk. Raises Gone."""

    def copy() -> None:
        with _blob(version).open("rb", chunk_size=CHUNK_BYTES, timeout=DEADLINE_S) as source, path.open("wb") as target:
            while chunk := source.read(CHUNK_BYTES):
                target.write(chunk)
                on_chunk()

    _reading(copy)


def find(bucket: str, name: str) -> Mapping[str, Any] | None:
    """What a storage event says of an object: bucket, name, generation, size, checksums. None where there is none."""

    def look() -> Any:
        return clients.storage().bucket(bucket).get_blob(name, timeout=BRIEF_DEADLINE_S, retry=_briefly())

    blob = _reading(look)
    if blob is None:
        return None
    found = {"bucket": bucket, "name": name, "generation": blob.generation, "size": blob.size}
    return {**found, "md5Hash": blob.md5_hash, "crc32c": blob.crc32c}


def delete(version: ObjectVersion) -> None:
    """Deletes this generation of an object; one that is gone already is fine."""
    from google.api_core.exceptions import NotFound, PreconditionFailed

    try:
        _blob(version).delete(if_generation_match=version.generation, timeout=BRIEF_DEADLINE_S, retry=_briefly())
    except (NotFound, PreconditionFailed):
        return


def _briefly() -> Any:
    """The library's own repetitions take up to two minutes."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(BRIEF_DEADLINE_S)


def _blob(version: ObjectVersion) -> Any:
    return clients.storage().bucket(version.bucket).blob(version.name, generation=version.generation)


def _reading(work: Callable[[], Any]) -> Any:
    from google.api_core.exceptions import GoogleAPIError, NotFound, RequestRangeNotSatisfiable
    from requests import RequestException

    try:
        return work()
    except RequestRangeNotSatisfiable:
        return b""  # an empty object has no first byte
    except NotFound as error:
        raise Gone from error
    except (GoogleAPIError, RequestException) as error:
        raise Passing(f"storage could not be read ({type(error).__name__})") from error
