"""metrics: usage events in, what they add up to out."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from typing import Any

import functions_framework

from monitoring import counters, tick, view
from shared import events, http
from shared.events import Event
from shared.http import Answer, Endpoint, Request
from shared.problems import Problem
from shared.settings import settings, settings_or_exit

settings_or_exit()


def _for_operators(request: Request) -> Answer:
    caller, headers = http.admit(request, "metrics")
    if not caller.operator:
        raise Problem("forbidden", "This is for operators: the ID token needs the claim operator.", headers=headers)
    return http.json_answer(200, view.as_json(datetime.now(UTC)), headers)


def _for_prometheus(request: Request) -> Answer:
    expected = f"Bearer {settings().metrics_token}"
    given = request.headers.get("authorization", "")
    if settings().metrics_token and not hmac.compare_digest(given.encode(), expected.encode()):
        raise Problem("unauthenticated", "Send the metrics token as `Authorization: Bearer TOKEN`.")
    text = view.as_prometheus(counters.totals(), counters.gauges())
    return Answer(200, text, {"Content-Type": view.PROMETHEUS_TYPE})


ENDPOINTS = (
    Endpoint("GET", "/v1/metrics", _for_operators),
    Endpoint("GET", "/metrics", _for_prometheus),
)


def _count(event: Event) -> None:
    counters.count(event, datetime.now(UTC))


@functions_framework.http
def metrics(request: Any) -> Any:
    return http.to_flask(http.respond(http.from_flask(request), ENDPOINTS))


@functions_framework.cloud_event
def metrics_ingest(cloud_event: Any) -> None:
    events.handle(cloud_event, _count)


@functions_framework.cloud_event
def metrics_tick(cloud_event: Any) -> None:
    events.handle(cloud_event, tick.measure)
