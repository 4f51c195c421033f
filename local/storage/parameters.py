"""The parameters of a request, read strictly: one that is not built is refused, never ignored."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from local.storage.errors import invalid, not_built
from local.storage.objects import Conditions

_CONDITIONS = {
    "ifGenerationMatch": "generation_match",
    "ifGenerationNotMatch": "generation_not_match",
    "ifMetagenerationMatch": "metageneration_match",
    "ifMetagenerationNotMatch": "metageneration_not_match",
}
# What changes nothing here: the answer is always JSON and whole, and nobody is billed.
_WITHOUT_EFFECT = {"alt", "fields", "key", "prettyPrint", "projection", "quotaUser", "userProject"}


def check_known(request: web.Request, *known: str) -> None:
    """Raises ApiError 501 for a query parameter that would be ignored."""
    for name in request.query:
        if name not in known and name not in _CONDITIONS and name not in _WITHOUT_EFFECT:
            raise not_built(f"the parameter {name}")


def conditions(request: web.Request) -> Conditions:
    return Conditions(**{field: integer(request, name) for name, field in _CONDITIONS.items()})


def integer(request: web.Request, name: str) -> int | None:
    """A query parameter that is a whole number. Raises ApiError 400."""
    return _whole_number(name, request.query.get(name))


def integer_header(request: web.Request, name: str) -> int | None:
    """A header that is a whole number. Raises ApiError 400."""
    return _whole_number(name, request.headers.get(name))


async def json_object(request: web.Request) -> dict[str, Any]:
    """The body; nothing for an empty one. Raises ApiError 400."""
    text = await request.read()
    try:
        given = json.loads(text) if text.strip() else {}
    except ValueError:
        raise invalid("Parse Error") from None
    if not isinstance(given, dict):
        raise invalid("Parse Error")
    return given


def _whole_number(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise invalid(f"Invalid value for {name}: {text!r}")
    return int(text)
