"""The JSON interface to objects that are there: look at, list, change, read, delete.

https://cloud.google.com/storage/docs/json_api/v1/objects
"""

from __future__ import annotations

from aiohttp import web

from local.storage import parameters, reading
from local.storage.errors import ApiError, invalid
from local.storage.objects import PAGE_MOST
from local.storage.service import Service


async def get_bucket(service: Service, request: web.Request, bucket: str) -> web.StreamResponse:
    service.objects.check_bucket(bucket)
    return web.json_response({"kind": "storage#bucket", "id": bucket, "name": bucket, "storageClass": "STANDARD"})


async def get(service: Service, request: web.Request, bucket: str, name: str) -> web.StreamResponse:
    parameters.check_known(request, "generation")
    if request.query.get("alt") == "media":
        return await download(service, request, bucket, name)
    conditions = parameters.conditions(request)
    generation = parameters.integer(request, "generation")
    found = service.objects.get(bucket, name, generation, conditions, reading=True)
    return web.json_response(service.objects.with_links(found.resource), headers={"ETag": found.resource["etag"]})


async def download(service: Service, request: web.Request, bucket: str, name: str) -> web.StreamResponse:
    parameters.check_known(request, "generation")
    if request.query.get("alt") != "media":
        raise invalid("Downloads need alt=media.")
    generation = parameters.integer(request, "generation")
    found = service.objects.get(bucket, name, generation, parameters.conditions(request), reading=True)
    return await reading.send(request, found, {})


async def list_objects(service: Service, request: web.Request, bucket: str) -> web.StreamResponse:
    parameters.check_known(request, "prefix", "maxResults", "pageToken")
    most = parameters.integer(request, "maxResults")
    if most == 0:
        raise invalid("Invalid value for maxResults: 0")
    found, token = service.objects.page(
        bucket, request.query.get("prefix", ""), min(most or PAGE_MOST, PAGE_MOST), request.query.get("pageToken")
    )
    page = {"kind": "storage#objects", "items": [service.objects.with_links(resource) for resource in found]}
    return web.json_response(page | ({"nextPageToken": token} if token else {}))


async def patch(service: Service, request: web.Request, bucket: str, name: str) -> web.StreamResponse:
    parameters.check_known(request, "generation")
    changes = await parameters.json_object(request)
    generation = parameters.integer(request, "generation")
    resource = service.objects.patch(bucket, name, generation, parameters.conditions(request), changes)
    return web.json_response(service.objects.with_links(resource), headers={"ETag": resource["etag"]})


async def delete(service: Service, request: web.Request, bucket: str, name: str) -> web.StreamResponse:
    parameters.check_known(request, "generation")
    generation = parameters.integer(request, "generation")
    service.objects.delete(bucket, name, generation, parameters.conditions(request))
    service.publisher.wake()
    return web.Response(status=204)


async def health(service: Service, request: web.Request) -> web.StreamResponse:
    return web.json_response({"ok": True})


def unknown(request: web.Request) -> ApiError:
    return ApiError(501, "notImplemented", f"The local storage does not have {request.method} {request.path}.")
