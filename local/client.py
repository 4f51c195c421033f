"""A client of prodai, as a producer's app would be one: uploads that resume, the status, the chat as a stream."""

from __future__ import annotations

import json
import mimetypes
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import requests

DEADLINE_S = 30
POLL_S = 0.15
RETRIES_MOST = 8
ENDED = {"done", "failed", "expired", "cancelled"}
TYPES = {".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".mp3": "audio/mpeg", ".aiff": "audio/aiff"}

Event = tuple[str, dict[str, Any]]  # its name and data


class Refused(Exception):  # noqa: N818
    """The service answered with a problem; the message is its title and detail."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{problem.get('title', 'Refused')}: {problem.get('detail', '')}")
        self.problem = problem


class Client:
    def __init__(self, ready: Mapping[str, Any], token: str) -> None:
        self._ready = ready
        self._http = requests.Session()
        self._http.headers["Authorization"] = f"Bearer {token}"

    def create_upload(self, path: Path, **options: Any) -> dict[str, Any]:
        """Announces a file and gives its upload: trackId, uploadUrl, chunkSizeBytes. Raises Refused."""
        guessed = mimetypes.guess_type(path.name)[0]
        content_type = TYPES.get(path.suffix.lower()) or guessed or "application/octet-stream"
        body = {"filename": path.name, "sizeBytes": path.stat().st_size, "contentType": content_type, **options}
        return _json(self._http.post(f"{self._ready['upload']}/v1/uploads", json=body, timeout=DEADLINE_S))

    def send(self, upload: Mapping[str, Any], path: Path, on_progress: Callable[[int], None]) -> None:
        """Sends a file's bytes to its session, chunk by chunk; after a broken line, storage is asked where to go on."""
        size, chunk = path.stat().st_size, upload["chunkSizeBytes"]
        offset, failures = 0, 0
        with path.open("rb") as file:
            while offset < size:
                file.seek(offset)
                body = file.read(chunk)
                try:
                    offset = self._put(upload["uploadUrl"], body, f"{offset}-{offset + len(body) - 1}/{size}", size)
                    failures = 0
                except requests.RequestException:
                    failures += 1
                    if failures > RETRIES_MOST:
                        raise
                    time.sleep(min(0.2 * 2**failures, 10))
                    offset = self._put(upload["uploadUrl"], b"", f"*/{size}", size)
                on_progress(offset)

    def _put(self, url: str, body: bytes, content_range: str, size: int) -> int:
        """Where the next byte goes. The token stays away from storage: the address is the credential."""
        headers = {"Content-Range": f"bytes {content_range}"}
        answer = requests.put(url, data=body, headers=headers, timeout=DEADLINE_S, allow_redirects=False)
        if answer.status_code in (200, 201):
            return size
        if answer.status_code == 308:
            stored = answer.headers.get("Range")
            return int(stored.rpartition("-")[2]) + 1 if stored else 0
        if answer.status_code >= 500:
            answer.raise_for_status()
        raise Refused({"title": "Storage refused the upload", "detail": answer.text[:300]})

    def status(self, track_id: str) -> dict[str, Any]:
        return _json(self._http.get(f"{self._ready['upload']}/v1/uploads/{track_id}", timeout=DEADLINE_S))

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
        """The events of an answer as they come. Raises Refused."""
        body = {"message": message, "trackIds": track_ids, "locale": locale}
        headers = {"Accept": "text/event-stream"}
        address = f"{self._ready['chat']}/v1/chat"
        with self._http.post(address, json=body, headers=headers, timeout=60, stream=True) as answer:
            if answer.status_code != 200:
                raise Refused(answer.json())
            yield from server_sent_events(answer.iter_lines(decode_unicode=False))


def server_sent_events(lines: Iterator[bytes]) -> Iterator[Event]:
    """Name and data of each event of a stream of lines."""
    name, data = "message", ""
    for raw in lines:
        line = raw.decode()
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            data += line[6:]
        elif not line and data:
            yield name, json.loads(data)
            name, data = "message", ""


def _json(answer: requests.Response) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    if answer.status_code >= 400:
        raise Refused(body)
    return body
