"""HTTP in and out, the same for the synchronous (Flask) and the asynchronous (Starlette) functions."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from shared import limits, problems, telemetry
from shared.identity import Caller, caller_of
from shared.problems import Problem
from shared.revocation import revocations
from shared.settings import settings

PREFLIGHT_S = 86_400
EXPOSED = "RateLimit, RateLimit-Policy, Retry-After, Location, ETag, traceparent"
LARGEST_BODY_BYTES = 64 * 1024


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: bytes = field(repr=False)

    def json(self, largest_bytes: int = LARGEST_BODY_BYTES) -> dict[str, Any]:
        """The body as a JSON object. Raises Problem `invalid-request` or `too-large`."""
        if len(self.body) > largest_bytes:
            raise Problem("too-large", f"The body has {len(self.body)} bytes; at most {largest_bytes} are taken.")
        try:
            value = json.loads(self.body)
        except ValueError as error:
            raise Problem("invalid-request", "The body is not valid JSON.") from error
        if not isinstance(value, dict):
            raise Problem("invalid-request", "The body must be a JSON object.")
        return value


@dataclass
class Answer:
    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)


def json_answer(status: int, value: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Answer:
    text = json.dumps(value, ensure_ascii=False, default=_as_text)
    return Answer(status, text, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def problem_answer(problem: Problem, path: str) -> Answer:
    return Answer(
        problem.kind.status, problem.as_json(path), {"Content-Type": problems.CONTENT_TYPE, **problem.headers}
    )


Handler = Callable[..., Answer]


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
    caller = caller_of(request.headers.get("authorization"))
    if not settings().allow_unsigned_tokens:  # the emulator's users are known to nobody else
        revocations().check(caller)
    decision = limits.limiter().ask(route, caller.uid)
    if not decision.allowed:
        raise limits.refusal(decision)
    return caller, decision.headers


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
            "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, traceparent",
            "Access-Control-Max-Age": str(PREFLIGHT_S),
        }
    return Answer(204, "", headers)


def respond(request: Request, endpoints: tuple[Endpoint, ...]) -> Answer:
    """Answers a request: preflight, endpoint, problem+json for whatever goes wrong, one log line."""
    started = time.monotonic()
    with telemetry.tracing(telemetry.continued(request.headers.get("traceparent"))):
        try:
            if request.method == "OPTIONS":
                return preflight(request)
            endpoint, values = find(endpoints, request)
            answer = endpoint.handler(request, **values)
        except Problem as problem:
            answer = problem_answer(problem, request.path)
        except Exception as error:  # a stranger gets no stack trace; the log does
            answer = problem_answer(unexpected(error), request.path)
        answer.headers = common_headers(request) | answer.headers
        log_request(request, answer.status, started)
        return answer


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


async def from_starlette(starlette_request: Any) -> Request:
    return Request(
        starlette_request.method,
        starlette_request.url.path,
        dict(starlette_request.query_params),
        {name.lower(): value for name, value in starlette_request.headers.items()},
        await starlette_request.body(),
    )


def to_starlette(answer: Answer) -> Any:
    from starlette.responses import Response

    return Response(answer.body, answer.status, answer.headers)
