"""HTTP in and out, the same for the synchronous (Flask) and the asynchronous (Starlette) functions."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from shared import controls, limits, observations, problems, telemetry
from shared.identity import Caller, caller_of
from shared.problems import Problem
from shared.revocation import revocations
from shared.settings import settings

PREFLIGHT_S = 86_400
TAKEN = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, traceparent"
EXPOSED = "RateLimit, RateLimit-Policy, Retry-After, Prodai-Limiter, Location, ETag, traceparent"
LARGEST_BODY_BYTES = 64 * 1024
CLOSED_RETRY_S = 60


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: bytes = field(repr=False)
    limits: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)  # once it is let in

    def json(self, largest_bytes: int = LARGEST_BODY_BYTES) -> dict[str, Any]:
        """The body as a JSON object. Raises Problem `invalid-request` or `too-large`."""
        if len(self.body) > largest_bytes:
            raise too_large(len(self.body), largest_bytes)
        try:
            value = json.loads(self.body)
        except ValueError as error:
            raise Problem("invalid-request", "The body is not valid JSON.") from error
        if not isinstance(value, dict):
            raise Problem("invalid-request", "The body must be a JSON object.")
        return value


def too_large(size_bytes: int, largest_bytes: int) -> Problem:
    return Problem("too-large", f"The body has {size_bytes} bytes or more; at most {largest_bytes} are taken.")


@dataclass
class Answer:
    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)
    code: str = ""  # of the problem that it tells


def json_answer(status: int, value: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Answer:
    text = json.dumps(value, ensure_ascii=False, default=_as_text)
    return Answer(status, text, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def problem_answer(problem: Problem, path: str) -> Answer:
    return Answer(
        problem.kind.status,
        problem.as_json(path),
        {"Content-Type": problems.CONTENT_TYPE, **problem.headers},
        problem.code,
    )


Handler = Callable[..., Any]  # gives an Answer, or is a coroutine that does


@dataclass(frozen=True)
class Endpoint:
    method: str
    pattern: str  # "/v1/uploads/{id}"
    handler: Handler  # called with the request and the pattern's values

    def match(self, path: str) -> dict[str, str] | None:
        found = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.pattern), path)
        return None if found is None else {name: unquote(value) for name, value in found.groupdict().items()}


def find(endpoints: tuple[Endpoint, ...], request: Request) -> tuple[Endpoint, dict[str, str]]:
    """The endpoint of a request and the values in its path. Raises Problem `not-found` or `method-not-allowed`."""
    path = request.path.rstrip("/") or "/"
    fitting = [(endpoint, values) for endpoint in endpoints if (values := endpoint.match(path)) is not None]
    for endpoint, values in fitting:
        if endpoint.method == request.method:
            return endpoint, values
    if fitting:
        allowed = ", ".join(sorted({endpoint.method for endpoint, _ in fitting}))
        detail = f"{request.method} is not offered here; {allowed} is."
        raise Problem("method-not-allowed", detail, headers={"Allow": allowed})
    raise Problem("not-found", "No such address; docs/openapi.yaml lists those there are.")


def admit(request: Request, route: str) -> tuple[Caller, dict[str, str]]:
    """The door of every endpoint: the caller behind the token, and the limits of the route, in one Redis round trip.

    Gives the caller and the headers that the answer must carry. Raises Problem.
    """
    caller = identified(request)
    decision = limits.limiter().ask(route, caller.uid, address_of(request))
    return replace(caller, plan=decision.plan), _let_in(request, decision, route)


async def admit_async(request: Request, route: str) -> tuple[Caller, dict[str, str]]:
    """As `admit`, for the asynchronous functions."""
    caller = await asyncio.to_thread(identified, request)
    decision = await limits.limiter().ask_async(route, caller.uid, address_of(request))
    return replace(caller, plan=decision.plan), _let_in(request, decision, route)


def admit_anyone(request: Request, route: str) -> dict[str, str]:
    """The door of what is open to everyone: only the limits of the address and of the service."""
    return _let_in(request, limits.limiter().ask(route, None, address_of(request)), route)


def _let_in(request: Request, decision: limits.Decision, route: str) -> dict[str, str]:
    headers = admitted(decision, route)
    request.limits.update(headers)
    return headers


def identified(request: Request) -> Caller:
    """The caller behind the request's ID token. Raises Problem `unauthenticated`, or `rate-limited` for one token too
    many that was refused to this address."""
    try:
        caller = caller_of(request.headers.get("authorization"))
        if not settings().allow_unsigned_tokens:  # the emulator's users are known to nobody else
            revocations().check(caller)
    except Problem as problem:
        failed = limits.limiter().failed(address_of(request)) if problem.code == "unauthenticated" else None
        if failed is None or failed.allowed:
            raise
        raise limits.refusal(failed, "refused ID tokens") from problem
    observations.present(caller.uid)
    return caller


def admitted(decision: limits.Decision, route: str) -> dict[str, str]:
    """The headers that an allowed request's answer carries. Raises Problem for one that is not let in."""
    if not decision.allowed:
        raise limits.refusal(decision)
    ordered = controls.current()
    if route in ordered.closed:
        raise _closed("This is switched off for a while; nothing is lost, try again later.", decision)
    if decision.plan in ordered.shed_plans:
        detail = f"Capacity is short, and the plan {decision.plan} has to wait; try again in a few minutes."
        raise _closed(detail, decision)
    return decision.headers


def _closed(detail: str, decision: limits.Decision) -> Problem:
    return Problem("closed", detail, headers={**decision.headers, "Retry-After": str(CLOSED_RETRY_S)})


def address_of(request: Request) -> str | None:
    """The client's address, as far as our own proxies vouch for it; of IPv6 the /64, which one household has.

    Each proxy appends the address it was called from: with FORWARDED_HOPS proxies of ours, the entry that far from the
    end is the client; those before it anybody may have written.
    """
    entries = [part.strip() for part in request.headers.get("x-forwarded-for", "").split(",") if part.strip()]
    hops = settings().forwarded_hops
    if hops == 0 or len(entries) < hops:
        return None
    try:
        address = ipaddress.ip_address(entries[-hops])
    except ValueError:
        return None
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, 64), strict=False).network_address)


def common_headers(request: Request) -> dict[str, str]:
    """What every answer carries: no shared caching, the trace, and CORS for the web client's origins."""
    headers = {"Cache-Control": "s-maxage=0", "traceparent": telemetry.current_trace().traceparent}
    return headers | _cors(request)


def _cors(request: Request) -> dict[str, str]:
    origin = request.headers.get("origin")
    allowed = settings().allowed_origins
    if not origin:
        return {}
    if origin not in allowed and "*" not in allowed:
        return {"Vary": "Origin"}
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": EXPOSED, "Vary": "Origin"}


def preflight(request: Request) -> Answer:
    headers = common_headers(request)
    if "Access-Control-Allow-Origin" in headers:
        headers |= {
            "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
            "Access-Control-Allow-Headers": TAKEN,
            "Access-Control-Max-Age": str(PREFLIGHT_S),
        }
    return Answer(204, "", headers)


def respond(request: Request, endpoints: tuple[Endpoint, ...]) -> Answer:
    """Answers a request: preflight, endpoint, problem+json for whatever goes wrong, one log line."""
    started = time.monotonic()
    endpoint = None
    with telemetry.tracing(telemetry.continued(request.headers.get("traceparent")), request.method, "SERVER"):
        try:
            if request.method == "OPTIONS":
                return preflight(request)
            endpoint, values = find(endpoints, request)
            answer = endpoint.handler(request, **values)
        except Exception as error:
            answer = _failed(error, request)
        return _told(request, endpoint, answer, started)


async def respond_async(request: Request, endpoints: tuple[Endpoint, ...]) -> Answer:
    """As `respond`, for endpoints whose handlers are coroutines."""
    observations.flush_on_sigterm()
    started = time.monotonic()
    endpoint = None
    with telemetry.tracing(telemetry.continued(request.headers.get("traceparent")), request.method, "SERVER"):
        try:
            if request.method == "OPTIONS":
                return preflight(request)
            endpoint, values = find(endpoints, request)
            answer = await endpoint.handler(request, **values)
        except Exception as error:
            answer = _failed(error, request)
        return _told(request, endpoint, answer, started)


def _failed(error: Exception, request: Request) -> Answer:
    """A stranger gets no stack trace; the log does."""
    return problem_answer(error if isinstance(error, Problem) else unexpected(error), request.path)


def _told(request: Request, endpoint: Endpoint | None, answer: Answer, started: float) -> Answer:
    """The answer with the headers that every one carries, counted and logged."""
    answer = unchanged(request, answer)
    answer.headers = common_headers(request) | request.limits | answer.headers
    label = f"{endpoint.method} {endpoint.pattern}" if endpoint else "unknown"
    observations.request(label, answer.status, (time.monotonic() - started) * 1000)
    if answer.code == "closed":
        observations.count(f"refused.closed {label}")  # a 503 by order, which is no error
    telemetry.describe({"name": label, "http.response.status_code": answer.status})
    log_request(request, answer.status, started)
    return answer


def unchanged(request: Request, answer: Answer) -> Answer:
    """Gives what can be read again an ETag; 304 without a body for whoever has it (RFC 9110, 8.8.3 and 13.1.2)."""
    if request.method != "GET" or answer.status != 200 or not answer.body:
        return answer
    tag = answer.headers.setdefault("ETag", f'W/"{hashlib.blake2b(answer.body.encode(), digest_size=12).hexdigest()}"')
    known = {part.strip() for part in request.headers.get("if-none-match", "").split(",")}
    if tag not in known and "*" not in known:
        return answer
    kept = {name: value for name, value in answer.headers.items() if name != "Content-Type"}
    return Answer(304, "", kept)


def unexpected(error: Exception) -> Problem:
    """The problem for an error nobody foresaw; the log keeps where it happened."""
    import traceback

    where = "".join(traceback.format_exception(error))
    telemetry.error("an unforeseen error", error=type(error).__name__, stack=where)
    return Problem("internal", f"Try again; if it stays, tell us the trace {telemetry.current_trace().trace_id}.")


def log_request(request: Request, status: int, started: float) -> None:
    telemetry.info(
        f"{request.method} {request.path} {status}",
        httpRequest={
            "requestMethod": request.method,
            "requestUrl": request.path,
            "status": status,
            "latency": f"{time.monotonic() - started:.3f}s",
        },
    )


def from_flask(flask_request: Any) -> Request:
    return Request(
        flask_request.method,
        flask_request.path,
        flask_request.args.to_dict(),
        {name.lower(): value for name, value in flask_request.headers.items()},
        flask_request.get_data(),
    )


def to_flask(answer: Answer) -> Any:
    import flask

    return flask.Response(answer.body, answer.status, answer.headers)


@dataclass(frozen=True)
class Incoming(Request):
    """A request whose body is still on its way, to be read once its sender has been admitted."""

    stream: Callable[[], AsyncIterator[bytes]] = field(kw_only=True, repr=False, compare=False)
    arrived: float = field(default_factory=time.monotonic, kw_only=True)
    whole: asyncio.Event = field(default_factory=asyncio.Event, kw_only=True, repr=False, compare=False)

    @property
    def announced_bytes(self) -> int | None:
        """The length of the body as its sender gives it; None where it does not."""
        length = self.headers.get("content-length", "")
        return int(length) if length.isascii() and length.isdigit() else None

    async def chunks(self, largest_bytes: int) -> AsyncIterator[bytes]:
        """The body as it comes. Raises Problem `too-large` as soon as it is known to be."""
        come = self.announced_bytes or 0
        if come > largest_bytes:
            raise too_large(come, largest_bytes)
        come = 0
        async for chunk in self.stream():
            come += len(chunk)
            if come > largest_bytes:
                raise too_large(come, largest_bytes)
            yield chunk
        self.whole.set()


def from_starlette(starlette_request: Any) -> Incoming:
    return Incoming(
        starlette_request.method,
        starlette_request.url.path,
        dict(starlette_request.query_params),
        {name.lower(): value for name, value in starlette_request.headers.items()},
        b"",
        stream=starlette_request.stream,
    )


def to_starlette(answer: Answer) -> Any:
    from starlette.responses import Response

    return Response(answer.body, answer.status, answer.headers)
