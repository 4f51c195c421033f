"""Errors as the service words them: JSON for the JSON interface, XML for the XML interface.

Shapes: https://cloud.google.com/storage/docs/json_api/v1/status-codes and
https://cloud.google.com/storage/docs/xml-api/reference-status
"""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

_XML_CODES = {
    "notFound": "NoSuchKey",
    "conditionNotMet": "PreconditionFailed",
    "requestedRangeNotSatisfiable": "InvalidRange",
    "notImplemented": "NotImplemented",
    "invalid": "InvalidArgument",
}


class ApiError(Exception):
    """A refusal: `status`, the JSON interface's `reason` (or the XML interface's code) and a message."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message

    def as_json(self) -> dict[str, Any]:
        details = {"message": self.message, "domain": "global", "reason": self.reason}
        return {"error": {"code": self.status, "message": self.message, "errors": [details]}}

    def as_xml(self) -> str:
        code = _XML_CODES.get(self.reason, self.reason)
        details = f"<Code>{code}</Code><Message>{escape(self.message)}</Message>"
        return f"<?xml version='1.0' encoding='UTF-8'?><Error>{details}</Error>"


def invalid(message: str) -> ApiError:
    return ApiError(400, "invalid", message)


def no_object(bucket: str, name: str) -> ApiError:
    return ApiError(404, "notFound", f"No such object: {bucket}/{name}")


def no_bucket() -> ApiError:
    return ApiError(404, "notFound", "The specified bucket does not exist.")


def condition_not_met() -> ApiError:
    return ApiError(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")


def not_built(what: str) -> ApiError:
    return ApiError(501, "notImplemented", f"The local storage does not have {what}.")
