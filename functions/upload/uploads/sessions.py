"""Resumable sessions of Cloud Storage: the client sends its bytes there, never through a function.

A session's address is a credential: whoever has it can write the object. It is never logged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from shared import clients, telemetry
from shared.documents.records import Session, object_name
from shared.problems import Problem
from shared.settings import settings

LIFE = timedelta(hours=24)  # shorter than storage's week: an abandoned upload gives its count back the next day
CHUNK_BYTES = 8 * 1024 * 1024
DEADLINE_S = 10.0


@dataclass(frozen=True)
class Progress:
    received_bytes: int
    status: Literal["open", "complete", "gone"]


def region_for(asked: str | None) -> str:
    """The region whose bucket takes the upload; an unknown one falls back to us."""
    return asked if asked is not None and asked in settings().upload_buckets else "us"


def open_session(
    uid: str, track_id: str, size_bytes: int, content_type: str, region: str, origin: str | None, now: datetime
) -> Session:
    """A session that takes exactly this many bytes and only creates. Raises Problem `unavailable`."""
    bucket = settings().upload_buckets[region]
    blob = clients.storage().bucket(bucket).blob(object_name(uid, track_id))
    blob.metadata = {"traceparent": telemetry.current_trace().traceparent}
    try:
        url = blob.create_resumable_upload_session(
            content_type=content_type, size=size_bytes, origin=origin, if_generation_match=0, timeout=DEADLINE_S
        )
    except Exception as error:
        telemetry.error("storage gave no upload session", error=type(error).__name__, region=region)
        detail = "Storage does not take uploads right now; nothing was counted. Try again in a minute."
        raise Problem("unavailable", detail, headers={"Retry-After": "60"}) from error
    return Session(url, region, bucket, now + LIFE)


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
