"""V4 signed URLs, with an RSA service-account key that the stand-in makes for itself.

`google-cloud-storage` signs with the key file as it would with a downloaded one:
`blob.generate_signed_url(version="v4", credentials=service_account.Credentials.from_service_account_file(FILE), …)`.
https://cloud.google.com/storage/docs/authentication/canonical-requests
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from local.storage.errors import ApiError, not_built
from local.storage.state import Clock

ALGORITHM = "GOOG4-RSA-SHA256"
KEY_FILE = "service-account.json"
EXPIRES_MOST_S = 7 * 24 * 3600
CLOCK_SKEW_S = 15 * 60


class Verifier:
    """Judges signed URLs against the key in a folder, made there where it is missing."""

    def __init__(self, folder: Path, project: str, clock: Clock) -> None:
        path = folder / KEY_FILE
        if not path.exists():
            _make_key(path, project)
        account = json.loads(path.read_text("utf-8"))
        key = serialization.load_pem_private_key(account["private_key"].encode(), password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError(f"{path} holds no RSA key; delete it and start again")
        self._email = account["client_email"]
        self._public_key = key.public_key()
        self._clock = clock

    def check(self, method: str, raw_path: str, query_string: str, headers: Mapping[str, list[str]]) -> None:
        """`headers` has lower-case names. Raises ApiError 400 or 403 for a URL that does not allow this request."""
        query = dict(parse_qsl(query_string, keep_blank_values=True))
        signature = query.pop("X-Goog-Signature", None)
        if signature is None:
            raise ApiError(403, "AccessDenied", "Anonymous caller does not have access to the object; sign the URL.")
        signed_headers = query.get("X-Goog-SignedHeaders", "").split(";")
        scope = self._check_parameters(query, signed_headers)
        if "x-goog-content-sha256" in signed_headers:
            raise not_built("signed payloads; leave x-goog-content-sha256 out")
        canonical_request = "\n".join(
            [
                method,
                quote(unquote(raw_path), safe="/~"),
                "&".join(sorted(f"{quote(key, safe='~')}={quote(value, safe='~')}" for key, value in query.items())),
                *(f"{name}:{_canonical(headers.get(name, []))}" for name in signed_headers),
                "",
                ";".join(signed_headers),
                "UNSIGNED-PAYLOAD",
            ]
        )
        digest = hashlib.sha256(canonical_request.encode()).hexdigest()
        string_to_sign = "\n".join([ALGORITHM, query["X-Goog-Date"], scope, digest])
        try:
            self._public_key.verify(
                bytes.fromhex(signature), string_to_sign.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except (InvalidSignature, ValueError):
            raise ApiError(
                403,
                "SignatureDoesNotMatch",
                "Access denied. The request signature we calculated does not match the signature you provided: "
                "method, path, parameters and signed headers must be those that were signed.",
            ) from None

    def _check_parameters(self, query: Mapping[str, str], signed_headers: list[str]) -> str:
        """The credential's scope. Raises ApiError for parameters that are missing, foreign or expired."""
        email, _, scope = query.get("X-Goog-Credential", "").partition("/")
        date, expires = query.get("X-Goog-Date", ""), query.get("X-Goog-Expires", "")
        if query.get("X-Goog-Algorithm") != ALGORITHM or not re.fullmatch(r"\d{8}T\d{6}Z", date):
            raise ApiError(400, "InvalidArgument", f"X-Goog-Algorithm must be {ALGORITHM}, X-Goog-Date a timestamp.")
        if not expires.isdigit() or not 0 < int(expires) <= EXPIRES_MOST_S or "host" not in signed_headers:
            message = f"X-Goog-Expires must be 1 to {EXPIRES_MOST_S} s, and X-Goog-SignedHeaders must have host."
            raise ApiError(400, "InvalidArgument", message)
        if email != self._email or not re.fullmatch(rf"{date[:8]}/[a-z0-9-]+/storage/goog4_request", scope):
            raise ApiError(403, "AccessDenied", f"The credential is not one of {self._email}, or its scope is wrong.")
        signed_at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        now = self._clock()
        if now > signed_at + int(expires) or now < signed_at - CLOCK_SKEW_S:
            raise ApiError(400, "ExpiredToken", "Invalid argument: the signed URL has expired or is not valid yet.")
        return scope


def _canonical(values: list[str]) -> str:
    return ",".join(" ".join(value.split()) for value in values)


def _make_key(path: Path, project: str) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    account = {
        "type": "service_account",
        "project_id": project,
        "private_key_id": "local",
        "private_key": pem.decode(),
        "client_email": f"storage@{project}.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    draft = path.with_name(path.name + ".new")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(account), encoding="utf-8")
    draft.replace(path)
