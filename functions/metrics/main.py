"""metrics: usage events in, what they add up to out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import functions_framework

from monitoring import analytics, counters, overrides, prometheus, status, store, tick, view, watch
from shared import events, http
from shared.events import Event
from shared.http import Answer, Endpoint, Request
from shared.settings import settings_or_exit

settings_or_exit()


def _for_operators(request: Request) -> Answer:
    _, headers = overrides.admitted(request)
    return http.json_answer(200, view.cached(datetime.now(UTC)), headers)


def _jobs(request: Request) -> Answer:
    _, headers = overrides.admitted(request)
    return http.json_answer(200, store.ended_jobs(), headers)


def _for_prometheus(request: Request) -> Answer:
    headers = prometheus.admitted(request)
    watch.run_if_overdue(datetime.now(UTC))
    return Answer(200, prometheus.cached(datetime.now(UTC)), headers | {"Content-Type": prometheus.CONTENT_TYPE})


def _for_everyone(request: Request) -> Answer:
    headers = http.admit_anyone(request, "status")
    watch.run_if_overdue(datetime.now(UTC))
    kept = {"Cache-Control": f"public, max-age={status.CACHED_S}"}
    return http.json_answer(200, status.cached(datetime.now(UTC)), headers | kept)


def _receive_events(request: Request) -> Answer:
    caller, headers = http.admit(request, "events")
    told = analytics.receive(request.json(), caller.uid, datetime.now(UTC))
    return http.json_answer(202, {"told": told}, headers)


ENDPOINTS = (
    Endpoint("GET", "/v1/metrics", _for_operators),
    Endpoint("GET", "/v1/jobs", _jobs),
    Endpoint("GET", "/metrics", _for_prometheus),
    Endpoint("GET", "/v1/status", _for_everyone),
    Endpoint("POST", "/v1/events", _receive_events),
    Endpoint("GET", "/v1/controls", overrides.read),
    Endpoint("PUT", "/v1/controls", overrides.write),
)


def _count(event: Event) -> None:
    now = datetime.now(UTC)
    counters.count(event, now)
    watch.run_if_overdue(now)


@functions_framework.http
def metrics(request: Any) -> Any:
    return http.to_flask(http.respond(http.from_flask(request), ENDPOINTS))


@functions_framework.cloud_event
def metrics_ingest(cloud_event: Any) -> None:
    events.handle(cloud_event, _count)


@functions_framework.cloud_event
def metrics_tick(cloud_event: Any) -> None:
    events.handle(cloud_event, tick.tick)
