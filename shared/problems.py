"""The catalogue of problems, answered as RFC 9457 `application/problem+json`.

A problem's `type` is stable: clients may branch on it. `detail` says what is wrong and what to do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

CONTENT_TYPE = "application/problem+json"
_IANA = "https://iana.org/assignments/http-problem-types"


@dataclass(frozen=True)
class Kind:
    code: str
    status: int
    title: str
    type_uri: str = ""

    @property
    def type(self) -> str:
        return self.type_uri or f"urn:prodai:problem:{self.code}"


CATALOGUE: Mapping[str, Kind] = {
    kind.code: kind
    for kind in (
        Kind("invalid-request", 400, "The request is not valid"),
        Kind("unauthenticated", 401, "A valid ID token is needed"),
        Kind("quota-used-up", 402, "This month's quota is used up"),
        Kind("plan-inactive", 403, "The plan is not active"),
        Kind("forbidden", 403, "This is not allowed"),
        Kind("not-found", 404, "There is nothing here"),
        Kind("method-not-allowed", 405, "This method is not offered here"),
        Kind("conflict", 409, "The state does not allow this"),
        Kind("precondition-failed", 412, "It was changed meanwhile"),
        Kind("too-large", 413, "The file is too large"),
        Kind("not-audio", 415, "The file is not audio that can be read"),
        Kind("unprocessable", 422, "The request contradicts an earlier one"),
        Kind("empty-file", 422, "The file is empty"),
        Kind("upload-mismatch", 422, "The uploaded bytes are not the announced ones"),
        Kind("upload-expired", 410, "The upload was not finished in time"),
        Kind("unreadable", 422, "The audio cannot be read"),
        Kind("too-long", 422, "The audio is too long"),
        Kind("analysis-failed", 500, "The analysis failed"),
        Kind("event-too-old", 500, "The track waited too long for its analysis"),
        Kind("rate-limited", 429, "Too many requests", f"{_IANA}#quota-exceeded"),
        Kind("throttled", 429, "Too soon after the one before"),
        Kind("internal", 500, "Something went wrong on our side"),
        Kind("closed", 503, "This is switched off for now"),
        Kind("misconfigured", 500, "The function's settings are not valid"),
        Kind("unavailable", 503, "A part of the service does not answer"),
        Kind(
            "limiter-unavailable", 503, "The service takes few requests for now", f"{_IANA}#temporary-reduced-capacity"
        ),
    )
}


@dataclass
class Problem(Exception):  # noqa: N818  # RFC 9457's word for it
    """An answer that says what went wrong: raised anywhere, turned into an HTTP answer at the door."""

    code: str
    detail: str
    extensions: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"

    @property
    def kind(self) -> Kind:
        return CATALOGUE[self.code]

    def as_dict(self, instance: str | None = None) -> dict[str, object]:
        """The members of RFC 9457, section 3.1, with `code` and the extensions beside them."""
        kind = self.kind
        members: dict[str, object] = {
            "type": kind.type,
            "title": kind.title,
            "status": kind.status,
            "detail": self.detail,
            "code": self.code,
        }
        if instance:
            members["instance"] = instance
        return {**members, **self.extensions}

    def as_json(self, instance: str | None = None) -> str:
        return json.dumps(self.as_dict(instance), ensure_ascii=False)
