"""Cross-origin requests of browsers.

Three rules, as in the service (https://cloud.google.com/storage/docs/cross-origin): the JSON interface answers any
origin; a resumable session answers the origin that it was opened for, whatever the bucket says; signed URLs answer the
bucket's origins.
"""

from __future__ import annotations

from collections.abc import Mapping

METHODS = "GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS"
MAX_AGE_S = 3600
EXPOSED = ", ".join(
    [
        "Content-Length",
        "Content-Range",
        "Content-Type",
        "Date",
        "ETag",
        "Location",
        "Range",
        "x-goog-generation",
        "x-goog-hash",
        "x-goog-metageneration",
        "x-goog-storage-class",
        "x-goog-stored-content-encoding",
        "x-goog-stored-content-length",
    ]
)


class Cors:
    """The origins of each bucket; a bucket that is not named answers every origin."""

    def __init__(self, origins: Mapping[str, frozenset[str]]) -> None:
        self._origins = origins

    def allows(self, bucket: str, origin: str) -> bool:
        origins = self._origins.get(bucket, frozenset("*"))
        return "*" in origins or origin in origins


def headers(origin: str) -> dict[str, str]:
    """On the answer to a request of an origin that is allowed."""
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": EXPOSED, "Vary": "Origin"}


def preflight_headers(asked_headers: str) -> dict[str, str]:
    """Beside `headers`, on the answer to a preflight."""
    allowed = {"Access-Control-Allow-Headers": asked_headers} if asked_headers else {}
    return {"Access-Control-Allow-Methods": METHODS, "Access-Control-Max-Age": str(MAX_AGE_S), **allowed}
