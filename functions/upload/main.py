"""upload: `/v1/uploads` over HTTP, the storage event, and the sweep at each tick."""

from __future__ import annotations

from typing import Any

import functions_framework

from shared import events, http, idempotency
from shared.http import Answer, Endpoint, Request
from shared.settings import settings_or_exit
from uploads import account, arrival, creation, placement, status, sweep
from uploads.regions import country_of

settings_or_exit()


def _create(request: Request) -> Answer:
    caller, headers = http.admit(request, "upload")
    track_id, keyed = idempotency.document_id(request.headers, caller.uid, "track")
    region, country = request.query.get("region"), country_of(request.headers)
    origin = creation.Origin(region, country, request.headers.get("origin"))
    created = creation.create(caller, request.json(), track_id, keyed=keyed, origin=origin)
    location = {"Location": f"/v1/uploads/{created['trackId']}"}
    return http.json_answer(201, created, headers | location)


def _edge(request: Request) -> Answer:
    headers = http.admit_anyone(request, "redirect")
    address = placement.edge_address(request.query.get("region"), country_of(request.headers))
    return Answer(307, "", {**headers, "Location": address})


def _show(request: Request, track_id: str) -> Answer:
    caller, headers = http.admit(request, "read")
    return http.json_answer(200, status.show(caller, track_id), headers)


def _cancel(request: Request, track_id: str) -> Answer:
    caller, headers = http.admit(request, "upload")
    return http.json_answer(200, status.cancel(caller, track_id), headers)


def _export_account(request: Request) -> Answer:
    caller, headers = http.admit(request, "upload")
    return http.json_answer(200, account.export(caller), headers)


def _delete_account(request: Request) -> Answer:
    caller, headers = http.admit(request, "upload")
    proof = account.delete(caller)
    return http.json_answer(200 if proof["completedAt"] else 202, proof, headers)


ENDPOINTS = (
    Endpoint("POST", "/v1/uploads", _create),
    Endpoint("GET", "/v1/edge-upload", _edge),
    Endpoint("GET", "/v1/uploads/{track_id}", _show),
    Endpoint("DELETE", "/v1/uploads/{track_id}", _cancel),
    Endpoint("GET", "/v1/account", _export_account),
    Endpoint("DELETE", "/v1/account", _delete_account),
)


@functions_framework.http
def upload(request: Any) -> Any:
    return http.to_flask(http.respond(http.from_flask(request), ENDPOINTS))


@functions_framework.cloud_event
def upload_finalized(cloud_event: Any) -> None:
    events.handle(cloud_event, arrival.arrived)


@functions_framework.cloud_event
def upload_sweep(cloud_event: Any) -> None:
    events.handle(cloud_event, sweep.at_tick)
