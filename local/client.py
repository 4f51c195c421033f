"""A client of prodai, as a producer's app would be one: uploads that resume, the status, the chat as a stream."""

from __future__ import annotations

import mimetypes
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import requests

DEADLINE_S = 30
POLL_S = 0.15
BLOCK_BYTES = 256 * 1024
GIVE_UP_AFTER_S = 120.0  # without a byte that arrives
LONGEST_PAUSE_S = 5.0
PASSING = {408, 429, 500, 502, 503, 504}  # what storage answers when it is to be asked again
ENDED = {"done", "failed", "expired", "cancelled"}
TYPES = {".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".mp3": "audio/mpeg", ".aiff": "audio/aiff"}

Event = tuple[str, dict[str, Any]]  # its name and data


class Refused(Exception):  # noqa: N818
    """The service answered with a problem; the message is its title and detail."""

    def __init__(self, problem: Mapping[str, Any], retry_after_s: float | None = None) -> None:
        super().__init__(f"{problem.get('title', 'Refused')}: {problem.get('detail', '')}")
        self.problem = problem
        self.retry_after_s = retry_after_s  # where the service says when to come again


class BrokenLine(Exception):  # noqa: N818
    """No byte has arrived for a while; the upload can go on later. The message names no address."""


class Client:
    def __init__(self, ready: Mapping[str, Any], token: str) -> None:
        self._ready = ready
        self._http = requests.Session()
        self._http.headers["Authorization"] = f"Bearer {token}"

    def create_upload(self, path: Path, key: str | None = None, **options: Any) -> dict[str, Any]:
        """Announces a file and gives its upload: trackId, uploadUrl and more. Raises Refused.

        key: the Idempotency-Key, so that the announcement may be repeated.
        """
        guessed = mimetypes.guess_type(path.name)[0]
        content_type = TYPES.get(path.suffix.lower()) or guessed or "application/octet-stream"
        body = {"filename": path.name, "sizeBytes": path.stat().st_size, "contentType": content_type, **options}
        headers = {"Idempotency-Key": key} if key else {}
        address = f"{self._ready['upload']}/v1/uploads"
        return _json(self._http.post(address, json=body, headers=headers, timeout=DEADLINE_S))

    def send(
        self, upload: Mapping[str, Any], path: Path, on_progress: Callable[[int], None], *, resume: bool = False
    ) -> None:
        """Sends a file's bytes to its session; resumed, or after a broken line, storage is asked where to go on.

        All that is left goes in one request, which is faster than chunks, and storage keeps what has arrived of it.
        Raises Refused, BrokenLine, and what `on_progress` raises, which may be called for each block.
        """
        size, furthest, moved_at, pause_s = path.stat().st_size, -1, time.monotonic(), 0.1
        offset = None if resume else 0  # None: storage is to be asked
        # The token stays away from storage: the address is the credential.
        with path.open("rb") as file, requests.Session() as storage:
            while offset is None or offset < size:
                try:
                    if offset is None:
                        offset = _put(storage, upload["uploadUrl"], b"", f"*/{size}", size)
                    else:
                        rest = Rest(file, offset, size, on_progress)
                        offset = _put(storage, upload["uploadUrl"], rest, f"{offset}-{size - 1}/{size}", size)
                except requests.RequestException:
                    if time.monotonic() - moved_at > GIVE_UP_AFTER_S:
                        raise BrokenLine(f"the line to storage is broken; {path.name} can go on later") from None
                    time.sleep(pause_s)
                    offset, pause_s = None, min(2 * pause_s, LONGEST_PAUSE_S)
                    continue
                on_progress(offset)
                if offset > furthest:
                    furthest, moved_at, pause_s = offset, time.monotonic(), 0.1

    def status(self, track_id: str) -> dict[str, Any]:
        """Where a track stands, also one whose upload was not finished in time. Raises Refused."""
        answer = self._http.get(f"{self._ready['upload']}/v1/uploads/{track_id}", timeout=DEADLINE_S)
        body: dict[str, Any] = answer.json()
        return body if answer.status_code == 410 and "state" in body else _json(answer)

    def wait(self, track_id: str, deadline_s: float, on_status: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
        """Polls until the track has ended. Raises TimeoutError."""
        deadline = time.monotonic() + deadline_s
        while time.monotonic() < deadline:
            status = self.status(track_id)
            on_status(status)
            if status["state"] in ENDED:
                return status
            time.sleep(POLL_S)
        raise TimeoutError(f"the track was not analysed within {deadline_s:.0f} s")

    def ask(self, message: str, track_ids: list[str], locale: str | None = None) -> Iterator[Event]:
        """The events of an answer as they come, gone on with after a broken line. Raises Refused."""
        from local import asking

        body = {"message": message, "trackIds": track_ids, "locale": locale}
        yield from asking.answer(self._http, f"{self._ready['chat']}/v1/chat", body)


class Rest:
    """A file from an offset on as the body of a request, told of as it goes."""

    def __init__(self, file: BinaryIO, start: int, end: int, on_progress: Callable[[int], None]) -> None:
        file.seek(start)
        self._file = file
        self._length = end - start
        self._sent = start
        self._on_progress = on_progress

    def __len__(self) -> int:
        return self._length

    def read(self, _: int = -1) -> bytes:
        """The next block: larger than http.client asks for, which sends what it gets."""
        self._on_progress(self._sent)
        block = self._file.read(BLOCK_BYTES)
        self._sent += len(block)
        return block


def _put(storage: requests.Session, url: str, body: bytes | Rest, content_range: str, size: int) -> int:
    """Where the next byte goes. Raises Refused, and RequestException for what is to be tried again."""
    headers = {"Content-Range": f"bytes {content_range}"}
    answer = storage.put(url, data=body, headers=headers, timeout=DEADLINE_S, allow_redirects=False)
    if answer.status_code in (200, 201):
        return size
    if answer.status_code == 308:
        stored = answer.headers.get("Range")
        return int(stored.rpartition("-")[2]) + 1 if stored else 0
    if answer.status_code in PASSING:
        raise requests.HTTPError(f"storage answered {answer.status_code}")
    raise Refused({"title": "Storage refused the upload", "detail": answer.text[:300]})


def server_sent_events(lines: Iterator[bytes]) -> Iterator[Event]:
    """Name and data of each event of a stream of lines."""
    from local.asking import identified_events

    for _, name, data in identified_events(lines):
        yield name, data


def _json(answer: requests.Response) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    if answer.status_code >= 400:
        wait = answer.headers.get("Retry-After", "")
        raise Refused(body, float(wait) if wait.isdigit() else None)
    return body
