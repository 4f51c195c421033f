"""Resumable sessions of Cloud Storage: the client sends its bytes there, never through a function.

A session's address is a credential: whoever has it can write the object. It is never logged.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from shared import clients, observations, telemetry
from shared.documents.records import Session, Wanted, object_name
from shared.problems import Problem
from shared.settings import settings
from uploads.health import health

for _noisy in ("httpx", "httpcore", "urllib3"):  # they log addresses
    logging.getLogger(_noisy).setLevel(logging.WARNING)

LIFE = timedelta(hours=24)  # shorter than storage's week: an abandoned upload gives its count back the next day
EXPIRED = "The upload was not finished within a day; its count was given back. Start a new upload."
CHUNK_BYTES = 8 * 1024 * 1024
DEADLINE_S = 10.0
OPENING_DEADLINE_S = 5.0  # three regions fit in the function's time


@dataclass(frozen=True)
class Progress:
    received_bytes: int
    status: Literal["open", "complete", "gone"]


def open_session(
    uid: str, track_id: str, wanted: Wanted, regions: Sequence[str], origin: str | None, now: datetime
) -> Session:
    """A session in the first region that opens one: it takes exactly the announced bytes, and only creates.

    Raises Problem `unavailable`.
    """
    for region in _worth_asking(regions):
        bucket = settings().upload_buckets[region]
        try:
            url = _open(bucket, object_name(uid, track_id), wanted, origin)
        except Exception as error:
            health().failed(region)
            observations.count(f"storage.failed.{region}")
            telemetry.error("storage gave no upload session", error=type(error).__name__, region=region)
            continue
        health().worked(region)
        observations.count(f"storage.ok.{region}")
        return Session(url, region, bucket, now + LIFE)
    detail = "Storage does not take uploads right now; nothing was counted. Try again in a minute."
    raise Problem("unavailable", detail, headers={"Retry-After": "60"})


def _worth_asking(regions: Sequence[str]) -> Iterator[str]:
    none = True
    for region in regions:
        if health().may_try(region):
            none = False
            yield region
    if none:
        yield regions[0]  # all have failed lately: the upload would be refused otherwise


def _open(bucket: str, name: str, wanted: Wanted, origin: str | None) -> str:
    """A session's address. A CRC32C that is given here, storage itself holds the finished bytes to."""
    blob = clients.storage().bucket(bucket).blob(name)
    blob.metadata = {"traceparent": telemetry.current_trace().traceparent}
    if wanted.crc32c is not None:
        blob.crc32c = wanted.crc32c
    url: str = blob.create_resumable_upload_session(
        content_type=wanted.content_type,
        size=wanted.size_bytes,
        origin=origin,
        if_generation_match=0,
        timeout=OPENING_DEADLINE_S,
        retry=None,  # another region is asked at once; the client's own retries take minutes
    )
    return url


def progress(session: Session, size_bytes: int) -> Progress:
    """What storage has of an upload: it is asked, not guessed. Raises Problem `unavailable`."""
    status, headers = _ask("PUT", session.url, {"Content-Range": f"bytes */{size_bytes}"})
    if status in (200, 201):
        return Progress(size_bytes, "complete")
    if status == 308:
        stored = re.fullmatch(r"bytes=0-(\d+)", headers.get("range", ""))
        return Progress(int(stored[1]) + 1 if stored else 0, "open")
    if status in (400, 404, 410, 499):
        return Progress(0, "gone")
    raise Problem("unavailable", "Storage cannot say how far the upload is; ask again in a moment.")


def cancel(session: Session) -> None:
    """Closes a session; what it holds is dropped. One that is closed already is fine."""
    _ask("DELETE", session.url, {})


def _ask(method: str, url: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str]]:
    import httpx

    try:
        answer = httpx.request(method, url, headers={"Content-Length": "0", **headers}, timeout=DEADLINE_S)
    except httpx.HTTPError as error:
        raise Problem("unavailable", "Storage does not answer; try again in a moment.") from error
    return answer.status_code, answer.headers
