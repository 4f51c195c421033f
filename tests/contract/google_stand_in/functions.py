"""Cloud Functions v2, the Cloud Run service under each function, and its Eventarc trigger."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping

from tests.contract.gcloud import IDENTITY_TOKEN
from tests.contract.google_stand_in.project import NUMBER, Call, Google, Json, P, Routes


def _function(google: Google, _: Call, region: str, name: str) -> Json:
    return google.found(f"functions/{region}/{name}")


def _runtimes(_: Google, __: Call) -> Json:
    return {"runtimes": [{"name": "python311", "environment": "GEN_2", "stage": "GA"}]}


def _upload_url(_: Google, __: Call) -> Json:
    source = {"bucket": "gcf-sources", "object": "source.zip"}
    return {"uploadUrl": "http://upload.googleapis.test/source.zip", "storageSource": source}


def _take_zip(google: Google, call: Call) -> Json:
    with zipfile.ZipFile(io.BytesIO(call.body)) as source:
        google.zips.append(sorted(name for name in source.namelist() if not name.endswith("/")))
    return {}


def _create_function(google: Google, call: Call, region: str) -> Json:
    return _deployed(google, region, call.query["functionId"], call.body)


def _patch_function(google: Google, call: Call, region: str, name: str) -> Json:
    known = google.found(f"functions/{region}/{name}")
    changed: Json = json.loads(json.dumps(known))
    for path in call.query["updateMask"].split(","):
        top, _, rest = re.sub(r"_(\w)", lambda m: m[1].upper(), path).partition(".")
        if rest:
            changed[top][rest] = call.body.get(top, {}).get(rest)
        else:
            changed[top] = call.body.get(top)
    return _deployed(google, region, name, changed)


def _deployed(google: Google, region: str, name: str, function: Json) -> Json:
    name_of_operation = f"projects/{google.project}/locations/{region}/operations/deploy-{len(google.operations)}"
    stages = [{"name": "BUILD", "state": "COMPLETE"}, {"name": "SERVICE", "state": "COMPLETE"}]
    metadata = {"@type": "type.googleapis.com/google.cloud.functions.v2.OperationMetadata", "stages": stages}
    operation = {"name": name_of_operation, "done": True, "metadata": metadata}
    google.operations[name_of_operation] = operation
    if name in google.failing_builds:
        operation["error"] = {"code": 3, "message": "Build failed: a requirement cannot be installed"}
        return operation
    function = {"name": f"projects/{google.project}/locations/{region}/functions/{name}", **function}
    function |= {"state": "ACTIVE", "environment": "GEN_2"}
    function["serviceConfig"]["service"] = f"projects/{google.project}/locations/{region}/services/{name}"
    if function.get("eventTrigger"):
        _add_trigger(google, region, name, function["eventTrigger"])
    google.resources[f"functions/{region}/{name}"] = function
    _add_revision(google, region, name, function["serviceConfig"].get("environmentVariables", {}))
    function["serviceConfig"]["uri"] = google.service(region, name)["status"]["url"]
    return operation


def _add_trigger(google: Google, region: str, name: str, trigger: Json) -> None:
    full = f"projects/{google.project}/locations/{region}/triggers/{name}-000001"
    subscription = f"projects/{google.project}/subscriptions/eventarc-{region}-{name}-000001-sub-001"
    trigger |= {"trigger": full, "triggerRegion": trigger.get("triggerRegion") or region}
    topic = trigger.get("pubsubTopic") or f"projects/{google.project}/topics/eventarc-{region}-{name}-000001"
    transport = {"pubsub": {"topic": topic, "subscription": subscription}}
    google.resources[f"triggers/{region}/{name}-000001"] = {"name": full, "transport": transport}
    subscribed = {"name": subscription, "topic": topic, "ackDeadlineSeconds": 10}
    google.resources.setdefault(f"subscriptions/{subscription.rpartition('/')[2]}", subscribed)


def _add_revision(google: Google, region: str, name: str, variables: Mapping[str, str]) -> None:
    made = google.revisions.setdefault(f"{region}/{name}", [])
    revision = f"{name}-{len(made) + 1:05d}-abc"
    ready = {"type": "Ready", "status": "True"}
    made.append(
        {
            "metadata": {"name": revision, "creationTimestamp": f"2026-11-24T12:{len(made):02d}:00Z"},
            "spec": {"containers": [{"image": "image"}]},
            "status": {"conditions": [ready]},
            "answers": 500 if name in google.broken else 200,
        }
    )
    env = [{"name": key, "value": value} for key, value in variables.items()]
    template = {"metadata": {"name": revision}, "spec": {"containers": [{"image": "image", "env": env}]}}
    service = google.resources.setdefault(
        f"{region}-run/services/{name}",
        {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": NUMBER, "generation": 0, "annotations": {}, "labels": {}},
            "spec": {"traffic": [{"latestRevision": True, "percent": 100}]},
            "status": {"conditions": [ready], "url": f"http://{name}.{region}.run.test"},
        },
    )
    service["metadata"]["generation"] += 1
    service["spec"]["template"] = template
    service["status"] |= {"latestReadyRevisionName": revision, "latestCreatedRevisionName": revision}
    _route(service)


def _route(service: Json) -> None:
    """The traffic that follows from the specification: a target of the latest revision moves with it."""
    status = service["status"]
    status["observedGeneration"] = service["metadata"]["generation"]
    status["traffic"] = []
    for target in service["spec"]["traffic"]:
        shown = dict(target)
        if target.get("latestRevision"):
            shown["revisionName"] = status["latestReadyRevisionName"]
        if target.get("tag"):
            shown["url"] = status["url"].replace("http://", f"http://{target['tag']}---")
        status["traffic"].append(shown)


def _services(google: Google, _: Call, region: str) -> Json:
    items = google.under(f"{region}-run/services/")
    return {"apiVersion": "serving.knative.dev/v1", "kind": "ServiceList", "items": items}


def _service(google: Google, _: Call, region: str, name: str) -> Json:
    return google.found(f"{region}-run/services/{name}")


def _replace_service(google: Google, call: Call, region: str, name: str) -> Json:
    service = google.found(f"{region}-run/services/{name}")
    service["spec"]["traffic"] = call.body["spec"]["traffic"]
    service["metadata"]["generation"] += 1
    _route(service)
    return service


def _revisions(google: Google, call: Call, region: str) -> Json:
    wanted = re.search(r"serving\.knative\.dev/service\s*=+\s*([\w-]+)", call.query.get("labelSelector", ""))
    made = google.revisions.get(f"{region}/{wanted[1]}", []) if wanted else []
    return {"apiVersion": "serving.knative.dev/v1", "kind": "RevisionList", "metadata": {}, "items": made}


def _visit(google: Google, call: Call, tag: str | None, name: str, region: str, _: str) -> tuple[int, str, bytes]:
    """Somebody asks the function itself, at its own address or that of a tag. One that hears events drops this one."""
    targets = google.service(region, name)["status"]["traffic"]
    revision = next(t["revisionName"] for t in targets if (t.get("tag") == tag if tag else t.get("percent")))
    made = next(r for r in google.revisions[f"{region}/{name}"] if r["metadata"]["name"] == revision)
    policy = google.policies.get(f"{region}-run/{name}", {})
    public = any("allUsers" in binding["members"] for binding in policy.get("bindings", []))
    if not public and call.authorization != f"Bearer {IDENTITY_TOKEN}":
        return 403, "text/html", b"Your client does not have permission to get this URL"
    if made["answers"] != 200:
        return 500, "text/plain", b"crash"
    if not public and call.body == {"message": None}:
        return 200, "text/html", b"OK"
    return 404, "application/problem+json", b"{}"


def given(google: Google, region: str, name: str, *, public: bool, revisions: int = 1) -> None:
    """A function that earlier deployments left: the last revision is tagged and serves by name."""
    function: Json = {"buildConfig": {}, "serviceConfig": {"environmentVariables": {"BUNDLE": "an older one"}}}
    if not public:
        function["eventTrigger"] = {"eventType": "google.cloud.pubsub.topic.v1.messagePublished"}
    for _ in range(revisions):
        _deployed(google, region, name, function)
    if public:
        google.policies[f"{region}-run/{name}"] = {"bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]}
    service = google.service(region, name)
    revision = service["status"]["latestReadyRevisionName"]
    service["spec"]["traffic"] = [
        {"revisionName": revision, "percent": 100},
        {"revisionName": revision, "tag": "candidate"},
    ]
    if revisions > 1:
        before = google.revisions[f"{region}/{name}"][-2]["metadata"]["name"]
        service["spec"]["traffic"].append({"revisionName": before, "tag": "previous"})
    _route(service)


ROUTES: Routes = [
    ("GET", rf"cloudfunctions/v2/{P}/locations/[\w-]+/runtimes", _runtimes),
    ("GET", rf"cloudfunctions/v2/{P}/locations/([\w-]+)/functions/([\w-]+)", _function),
    ("POST", rf"cloudfunctions/v2/{P}/locations/[\w-]+/functions:generateUploadUrl", _upload_url),
    ("PUT", r"upload/source.zip", _take_zip),
    ("POST", rf"cloudfunctions/v2/{P}/locations/([\w-]+)/functions", _create_function),
    ("PATCH", rf"cloudfunctions/v2/{P}/locations/([\w-]+)/functions/([\w-]+)", _patch_function),
    ("GET", rf"cloudfunctions/v2/({P}/locations/[\w-]+/operations/[\w-]+)", lambda g, _, name: g.operations[name]),
    ("GET", r"([\w-]+)-run/apis/serving.knative.dev/v1/namespaces/[\w-]+/services", _services),
    ("GET", r"([\w-]+)-run/apis/serving.knative.dev/v1/namespaces/[\w-]+/services/([\w-]+)", _service),
    ("PUT", r"([\w-]+)-run/apis/serving.knative.dev/v1/namespaces/[\w-]+/services/([\w-]+)", _replace_service),
    ("GET", r"([\w-]+)-run/apis/serving.knative.dev/v1/namespaces/[\w-]+/revisions", _revisions),
    ("GET", rf"eventarc/v1/{P}/locations/([\w-]+)/triggers/([\w-]+)", lambda g, _, r, n: g.found(f"triggers/{r}/{n}")),
    ("GET", r"(?:(\w+)---)?([\w-]+)\.([\w-]+)\.run\.test(/.*)", _visit),
    ("POST", r"(?:(\w+)---)?([\w-]+)\.([\w-]+)\.run\.test(/.*)", _visit),
]
