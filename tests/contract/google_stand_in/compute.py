"""Compute Engine: the load balancer and its parts."""

from __future__ import annotations

from tests.contract.google_stand_in.project import Call, Google, Json, P, Routes


def _compute_list(google: Google, _: Call, scope: str, kind: str) -> Json:
    found = google.under(f"compute/{kind}/")
    return {"items": found if scope == "global" else {"regions/somewhere": {kind: found}}, "kind": f"compute#{kind}"}


def _compute_insert(google: Google, call: Call, base: str, scope: str, kind: str) -> Json:
    link = f"http://compute{base}/{scope}/{kind}/{call.body['name']}".replace("compute/", "compute.googleapis.test/", 1)
    google.resources[f"compute/{kind}/{call.body['name']}"] = {**call.body, "selfLink": link, "address": "192.0.2.1"}
    operation = f"http://compute.googleapis.test{base}/{scope}/operations/made"
    made = {"name": "made", "status": "DONE", "selfLink": operation, "targetLink": link, "operationType": "insert"}
    return made if scope == "global" else {**made, "region": operation.removesuffix("/operations/made")}


def _compute_operation(_: Google, call: Call) -> Json:
    link = f"http://compute.googleapis.test{call.path.removesuffix('/wait')}"
    return {"name": "made", "status": "DONE", "selfLink": link, "region": link.removesuffix("/operations/made")}


def _patch_proxy(google: Google, call: Call, base: str, name: str) -> Json:
    google.found(f"compute/{name}").update(call.body)
    link = f"http://compute.googleapis.test{base}"
    done = {"name": "made", "status": "DONE", "operationType": "patch"}
    return {**done, "selfLink": f"{link}/operations/made", "targetLink": f"{link}/{name}"}


ROUTES: Routes = [
    ("POST", rf"compute/compute/v1/{P}/.*/operations/made/wait", _compute_operation),
    ("GET", rf"compute/compute/v1/{P}/.*/operations/made", _compute_operation),
    ("GET", rf"compute/compute/v1/{P}/(global|aggregated)/(\w+)", _compute_list),
    ("GET", rf"compute/compute/v1/{P}/(?:global|regions/[\w-]+)/(\w+/[\w-]+)", lambda g, _, n: g.found(f"compute/{n}")),
    ("PATCH", rf"compute(/compute/v1/{P}/global)/(targetHttpsProxies/[\w-]+)", _patch_proxy),
    ("POST", rf"compute(/compute/v1/{P})/(global|regions/[\w-]+)/(\w+)", _compute_insert),
]
