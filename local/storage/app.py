"""The HTTP server: which request goes where, what errors look like, what browsers may see, start and end."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import unquote

from aiohttp import ClientError, web

from local.storage import cors, json_api, uploads, xml_api
from local.storage.errors import ApiError, invalid
from local.storage.log import logger, redacted
from local.storage.receiving import Broken
from local.storage.service import Service

SWEEP_EVERY_S = 3600.0

Handler = Callable[..., Awaitable[web.StreamResponse]]

_OBJECT = r"/b/(?P<bucket>[^/]+)/o/(?P<name>[^/]+)"
_ROUTES: list[tuple[str, str, Handler]] = [
    ("GET", r"/health", json_api.health),
    ("POST", r"/upload/storage/v1/b/(?P<bucket>[^/]+)/o", uploads.insert),
    ("PUT", r"/upload/storage/v1/b/(?P<bucket>[^/]+)/o", uploads.put_to_session),
    ("DELETE", r"/upload/storage/v1/b/(?P<bucket>[^/]+)/o", uploads.cancel_session),
    ("GET", rf"/download/storage/v1{_OBJECT}", json_api.download),
    ("GET", r"/storage/v1/b/(?P<bucket>[^/]+)", json_api.get_bucket),
    ("GET", r"/storage/v1/b/(?P<bucket>[^/]+)/o", json_api.list_objects),
    ("GET", rf"/storage/v1{_OBJECT}", json_api.get),
    ("PATCH", rf"/storage/v1{_OBJECT}", json_api.patch),
    ("DELETE", rf"/storage/v1{_OBJECT}", json_api.delete),
]
_JSON_PATHS = re.compile(r"/(upload/|download/)?storage/v1/.*|/health")
_XML_PATH = re.compile(r"/(?P<bucket>[^/]+)/(?P<name>.+)")
_XML_HANDLERS: dict[str, Handler] = {"GET": xml_api.get, "HEAD": xml_api.get, "PUT": xml_api.put}


def make_app(service: Service) -> web.Application:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await _answer(service, request)

    async def background(_: web.Application) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(service.publisher.run()), asyncio.create_task(_sweep(service))]
        yield
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        service.state.close()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    app.cleanup_ctx.append(background)
    app.on_response_prepare.append(_add_cors_headers)
    return app


async def _answer(service: Service, request: web.Request) -> web.StreamResponse:
    try:
        origin = request.headers.get("Origin")
        if origin is not None:
            request["allowed_origin"] = _allowed_origin(service, request, origin)
        if request.method == "OPTIONS":
            asked = request.headers.get("Access-Control-Request-Headers", "")
            return web.Response(headers=cors.preflight_headers(asked) if request.get("allowed_origin") else {})
        handler, place = _route(request)
        return await handler(service, request, **place)
    except ApiError as error:
        return _error(request, error)
    except web.HTTPException as error:
        return _error(request, ApiError(error.status, "invalid", error.reason))
    except (Broken, ClientError, ConnectionError):
        raise web.HTTPBadRequest from None  # the client has gone: nobody reads it
    except Exception:
        logger.exception("a request failed: %s %s", request.method, redacted(request.path_qs))
        return _error(request, ApiError(500, "backendError", "Internal error of the local storage; its log says why."))


def _route(request: web.Request) -> tuple[Handler, dict[str, str]]:
    """The handler, and the bucket and name that the path holds. Raises ApiError 400, 501.

    The path is taken as it was sent: a slash that is part of a name is percent-encoded there.
    """
    path = request.raw_path.partition("?")[0]
    for method, pattern, handler in _ROUTES:
        if request.method == method and (match := re.fullmatch(pattern, path)):
            return handler, {key: _decoded(text) for key, text in match.groupdict().items()}
    match = _XML_PATH.fullmatch(path)
    if match is None or _JSON_PATHS.fullmatch(path) or request.method not in _XML_HANDLERS:
        raise json_api.unknown(request)
    return _XML_HANDLERS[request.method], {key: _decoded(text) for key, text in match.groupdict().items()}


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise invalid("The path is not valid UTF-8.") from None


def _error(request: web.Request, error: ApiError) -> web.Response:
    if error.status == 304:
        return web.Response(status=304)
    path = request.raw_path.partition("?")[0]
    if _JSON_PATHS.fullmatch(path):
        return web.json_response(error.as_json(), status=error.status)
    return web.Response(text=error.as_xml(), status=error.status, content_type="application/xml")


def _allowed_origin(service: Service, request: web.Request, origin: str) -> str | None:
    path = request.raw_path.partition("?")[0]
    session_id = request.query.get("upload_id")
    if session_id is not None:
        with contextlib.suppress(ApiError):
            return origin if service.sessions.origin(session_id) == origin else None
    if _JSON_PATHS.fullmatch(path):
        return origin
    return origin if service.cors.allows(unquote(path.split("/")[1]), origin) else None


async def _add_cors_headers(request: web.Request, response: web.StreamResponse) -> None:
    allowed = request.get("allowed_origin")
    if allowed is not None:
        response.headers.update(cors.headers(allowed))


async def _sweep(service: Service) -> None:
    while True:
        await service.sessions.sweep()
        await asyncio.sleep(SWEEP_EVERY_S)
