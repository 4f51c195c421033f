"""The XML interface, for signed URLs: `PUT` and `GET /BUCKET/OBJECT`.

https://cloud.google.com/storage/docs/xml-api/reference-headers
"""

from __future__ import annotations

import re
from collections.abc import Callable

from aiohttp import web

from local.storage import reading
from local.storage.errors import ApiError, invalid
from local.storage.objects import Conditions, NewObject, properties_of
from local.storage.parameters import integer, integer_header
from local.storage.receiving import parse_hash_header
from local.storage.service import Service
from local.storage.uploads import receive

_PROPERTY_HEADERS = {
    "Content-Type": "contentType",
    "Cache-Control": "cacheControl",
    "Content-Disposition": "contentDisposition",
    "Content-Encoding": "contentEncoding",
    "Content-Language": "contentLanguage",
}


async def get(service: Service, request: web.Request, bucket: str, name: str) -> web.StreamResponse:
    _check_signature(service, request)
    found = service.objects.get(bucket, name, integer(request, "generation"), _conditions(request), reading=True)
    chosen = {
        "Content-Type": request.query.get("response-content-type"),
        "Content-Disposition": request.query.get("response-content-disposition"),
    }
    return await reading.send(request, found, {header: value for header, value in chosen.items() if value})


async def put(service: Service, request: web.Request, bucket: str, name: str) -> web.StreamResponse:
    _check_signature(service, request)
    service.objects.check_place(bucket, name)
    check_size = _size_check(request.headers.get("x-goog-content-length-range"))
    if request.content_length is not None:
        check_size(request.content_length)
    new = NewObject(bucket, name, _properties(request), _hashes(request))
    file = await receive(service, request, None, check_size)
    resource = service.objects.store(new, file, _conditions(request))
    service.publisher.wake()
    sent = reading.headers(resource)
    return web.Response(headers={name: sent[name] for name in ("ETag", "x-goog-generation", "x-goog-hash")})


def _check_signature(service: Service, request: web.Request) -> None:
    headers = {name.lower(): request.headers.getall(name) for name in request.headers}
    raw_path, _, query_string = request.raw_path.partition("?")
    service.verifier.check(request.method, raw_path, query_string, headers)


def _properties(request: web.Request) -> dict[str, object]:
    named = {key: request.headers[header] for header, key in _PROPERTY_HEADERS.items() if header in request.headers}
    prefix = "x-goog-meta-"
    metadata = {k.lower().removeprefix(prefix): v for k, v in request.headers.items() if k.lower().startswith(prefix)}
    return properties_of({**named, "metadata": metadata or None})


def _hashes(request: web.Request) -> dict[str, str]:
    md5 = [f"md5={request.headers['Content-MD5']}"] if "Content-MD5" in request.headers else []
    return parse_hash_header(md5 + request.headers.getall("x-goog-hash", []))


def _conditions(request: web.Request) -> Conditions:
    return Conditions(
        generation_match=integer_header(request, "x-goog-if-generation-match"),
        metageneration_match=integer_header(request, "x-goog-if-metageneration-match"),
    )


def _size_check(header: str | None) -> Callable[[int], None]:
    """Judges a size by `x-goog-content-length-range: LEAST,MOST`. Raises ApiError 400."""
    if header is None:
        return lambda size: None
    match = re.fullmatch(r"(\d+),\s*(\d+)", header.strip())
    if match is None:
        raise invalid(f"Invalid x-goog-content-length-range header: {header}")
    least, most = int(match[1]), int(match[2])

    def check(size: int) -> None:
        if size > most:
            raise ApiError(400, "EntityTooLarge", f"Your proposed upload is larger than the maximum of {most} byte(s).")
        if size < least:
            raise ApiError(400, "EntityTooSmall", f"Your proposed upload is smaller than {least} byte(s).")

    return check
