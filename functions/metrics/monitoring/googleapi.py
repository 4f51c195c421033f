"""Calls to Google's REST interfaces as the function's service account: with the metadata server's token, no library.

The local cloud answers the same calls over plain HTTP on this machine, and wants no token.
"""

from __future__ import annotations

import threading
import time
from typing import Any

TOKEN_URL = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"  # noqa: S105
DEADLINE_S = 5.0
RENEWED_BEFORE_S = 120.0


class Refused(Exception):  # noqa: N818  # what happened
    """Google refused, or did not answer; the message says which."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class _Token:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value, self._until = "", 0.0

    def value(self) -> str:
        import httpx

        with self._lock:
            if time.monotonic() > self._until - RENEWED_BEFORE_S:
                answer = httpx.get(TOKEN_URL, headers={"Metadata-Flavor": "Google"}, timeout=DEADLINE_S)
                answer.raise_for_status()
                told = answer.json()
                self._value, self._until = told["access_token"], time.monotonic() + told["expires_in"]
            return self._value


_token = _Token()


def call(method: str, url: str, body: Any = None) -> dict[str, Any]:
    """The answer's JSON. Raises Refused."""
    import httpx

    try:
        headers = {"Authorization": f"Bearer {_token.value()}"} if url.startswith("https://") else {}
        answer = httpx.request(method, url, json=body, headers=headers, timeout=DEADLINE_S)
    except httpx.HTTPError as error:
        raise Refused(f"{method} {url}: no answer ({type(error).__name__})") from error
    if answer.status_code >= 300:
        raise Refused(f"{method} {url}: {answer.status_code}", answer.status_code)
    content: dict[str, Any] = answer.json() if answer.content else {}
    return content
