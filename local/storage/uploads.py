"""The upload interface: `POST /upload/storage/v1/b/BUCKET/o`, and the requests to a session's address."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from aiohttp import web

from local.storage import parameters
from local.storage.errors import ApiError, invalid, not_built
from local.storage.multipart import RelatedParts
from local.storage.objects import NewObject, Resource, properties_of
from local.storage.ranges import Query, parse_content_range
from local.storage.receiving import ByteFile, RequestBody, parse_hash_header, receive_whole
from local.storage.service import Service
from local.storage.sessions import Progress


async def insert(service: Service, request: web.Request, bucket: str) -> web.StreamResponse:
    """`uploadType=resumable`, `multipart` or `media`."""
    parameters.check_known(request, "uploadType", "name", "contentEncoding")
    service.objects.check_bucket(bucket)
    kind = request.query.get("uploadType")
    if kind == "resumable":
        return await _open_session(service, request, bucket)
    if kind == "multipart":
        return await _multipart(service, request, bucket)
    if kind == "media":
        return await _media(service, request, bucket)
    raise invalid(f"Invalid value for uploadType: {kind!r}") if kind else not_built("uploads without uploadType")


async def put_to_session(service: Service, request: web.Request, bucket: str) -> web.StreamResponse:
    """A chunk, the whole object, or the question how far the upload is."""
    session_id = _session_id(request)
    length = request.content_length
    asked = parse_content_range(request.headers.get("Content-Range"), length)
    if isinstance(asked, Query):
        if await request.content.readany():
            raise invalid("Client sent query request with a non-empty body.")
        progress = await service.sessions.query(session_id, asked)
    else:
        hashes = parse_hash_header(request.headers.getall("x-goog-hash", []))
        progress = await service.sessions.write(session_id, asked, length, RequestBody(request.content), hashes)
    return _answer(service, progress)


async def cancel_session(service: Service, request: web.Request, bucket: str) -> web.StreamResponse:
    await service.sessions.cancel(_session_id(request))
    return web.Response(status=499, reason="Client Closed Request")


def stored(service: Service, resource: Resource) -> web.Response:
    """The answer to an upload that is complete."""
    service.publisher.wake()
    return web.json_response(service.objects.with_links(resource), headers={"ETag": resource["etag"]})


def no_limit(size: int) -> None:
    """For uploads whose size nothing bounds."""


async def receive(
    service: Service, request: web.Request, body: RelatedParts | None, check_size: Callable[[int], None] = no_limit
) -> ByteFile:
    """The bytes of a simple upload, on disk. Raises Broken, ApiError."""
    return await receive_whole(body or RequestBody(request.content), service.state.new_file(), check_size)


async def _open_session(service: Service, request: web.Request, bucket: str) -> web.StreamResponse:
    given = await parameters.json_object(request)
    content_type = request.headers.get("X-Upload-Content-Type")
    new = _new_object(request, bucket, given, content_type)
    declared = parameters.integer_header(request, "X-Upload-Content-Length")
    session_id = service.sessions.create(new, parameters.conditions(request), declared, request.headers.get("Origin"))
    query = urlencode({"uploadType": "resumable", "upload_id": session_id})
    return web.Response(headers={"Location": f"{service.objects.base_url}/upload/storage/v1/b/{bucket}/o?{query}"})


async def _multipart(service: Service, request: web.Request, bucket: str) -> web.StreamResponse:
    parts = RelatedParts(request.headers.get("Content-Type", ""), RequestBody(request.content))
    given = await parts.read_properties()
    in_metadata, in_part = given.get("contentType"), parts.content_type
    if in_metadata and in_part and in_metadata != in_part:
        raise invalid(
            f"Content-Type specified in the upload ({in_part}) does not match Content-Type specified in "
            f"metadata ({in_metadata})."
        )
    new = _new_object(request, bucket, given, in_part)
    service.objects.check_place(bucket, new.name)
    file = await receive(service, request, parts)
    return stored(service, service.objects.store(new, file, parameters.conditions(request)))


async def _media(service: Service, request: web.Request, bucket: str) -> web.StreamResponse:
    new = _new_object(request, bucket, {}, request.headers.get("Content-Type"))
    service.objects.check_place(bucket, new.name)
    file = await receive(service, request, None)
    return stored(service, service.objects.store(new, file, parameters.conditions(request)))


def _new_object(request: web.Request, bucket: str, given: Resource, content_type: str | None) -> NewObject:
    """The name is the query's or the metadata's, the content type the metadata's or the header's."""
    name = request.query.get("name") or given.get("name")
    if not isinstance(name, str) or not name:
        raise ApiError(400, "required", "Required parameter: name")
    if given.get("bucket") not in (None, bucket):
        raise invalid(f"The metadata names the bucket {given['bucket']!r}, the address {bucket!r}.")
    if content_type and not given.get("contentType"):
        given = {**given, "contentType": content_type}
    if "contentEncoding" in request.query:
        given = {**given, "contentEncoding": request.query["contentEncoding"]}
    return NewObject(bucket, name, properties_of(given), _hashes(request, given))


def _hashes(request: web.Request, given: Resource) -> dict[str, str]:
    told = {"crc32c": given.get("crc32c"), "md5": given.get("md5Hash")}
    named = [f"{kind}={value}" for kind, value in told.items() if value is not None]
    return parse_hash_header(named + request.headers.getall("x-goog-hash", []))


def _session_id(request: web.Request) -> str:
    session_id = request.query.get("upload_id")
    if not session_id:
        raise ApiError(400, "required", "Required parameter: upload_id")
    return session_id


def _answer(service: Service, progress: Progress) -> web.Response:
    if progress.resource is not None:
        return stored(service, progress.resource)
    persisted = {"Range": f"bytes=0-{progress.persisted - 1}"} if progress.persisted else {}
    return web.Response(status=308, reason="Resume Incomplete", headers=persisted)
