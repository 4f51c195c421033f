"""`Idempotency-Key` (IETF draft httpapi-idempotency-key-header): a creating request, repeated, has one effect.

The key decides the id of the document that the request creates, so it holds across instances and after a crash:
the database itself keeps a second one from coming to be.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping

from shared.problems import Problem

_KEY = re.compile(r'^"?([\x21\x23-\x7e]{1,128})"?$')  # the draft's quoted string; the quotes may be left out
ID_BYTES = 15


def document_id(headers: Mapping[str, str], uid: str, kind: str) -> tuple[str, bool]:
    """The id of the document to create, and whether a key decided it; without a key, it is random.

    Raises Problem `invalid-request` for a key that is none.
    """
    raw = headers.get("idempotency-key")
    if raw is None:
        return secrets.token_urlsafe(ID_BYTES), False
    match = _KEY.match(raw.strip())
    if match is None:
        raise Problem("invalid-request", 'Idempotency-Key must be 1 to 128 visible characters, as in "3f0c-91".')
    digest = hashlib.sha256(f"{kind}\0{uid}\0{match[1]}".encode()).digest()
    return base64.urlsafe_b64encode(digest[:ID_BYTES]).decode(), True


def other_body() -> Problem:
    return Problem("unprocessable", "This Idempotency-Key was used for another request; take a new key.")


def still_running() -> Problem:
    detail = "The first request with this Idempotency-Key is still running; ask again in a moment."
    return Problem("conflict", detail, headers={"Retry-After": "1"})
