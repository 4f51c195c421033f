"""ID tokens as the Firebase Auth emulator makes them: the right claims, and no signature."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping


def unsigned_token(
    uid: str,
    project: str,
    claims: Mapping[str, object] | None = None,
    now: float | None = None,
    ttl_s: int = 3600,
) -> str:
    """An ID token of a user, for the emulators alone: a deployed function refuses it.

    `claims` are custom claims (`operator`) or standard ones to put in the place of the usual (`email`, `iss`);
    `now` is in seconds since the epoch. Source: Firebase, "Verify ID tokens using a third-party JWT library"; RFC 7519,
    section 6 (unsecured JWTs).
    """
    issued_at = int(time.time() if now is None else now)
    payload = {
        "iss": f"https://securetoken.google.com/{project}",
        "aud": project,
        "sub": uid,
        "user_id": uid,
        "auth_time": issued_at,
        "iat": issued_at,
        "exp": issued_at + ttl_s,
        "firebase": {"identities": {}, "sign_in_provider": "password"},
        **(claims or {}),
    }
    return f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(payload)}."


def _part(content: Mapping[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content, separators=(",", ":")).encode()).rstrip(b"=").decode()
