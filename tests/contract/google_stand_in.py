"""A recording stand-in of Google's APIs, as far as deploy.sh has the real gcloud ask them: a proxy for gcloud and curl.

It keeps resources in memory, answers an unknown call with 400 and remembers it as unexpected, and refuses what a test
tells it to.
"""

from __future__ import annotations

import io
import json
import re
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

APIS = (
    *("cloudfunctions", "run", "eventarc", "cloudresourcemanager", "pubsub", "serviceusage", "iam", "secretmanager"),
    *("cloudscheduler", "firestore", "firebaserules", "compute"),
)
NUMBER = "123456789"
READING = ("getIamPolicy", "generateUploadUrl")  # POST, but nothing is changed by them

Json = dict[str, Any]
Handler = Callable[..., Any]


@dataclass(frozen=True)
class Call:
    method: str
    host: str
    path: str
    query: Mapping[str, str]
    body: Any

    @property
    def mutating(self) -> bool:
        return self.method != "GET" and not self.path.endswith(READING) and not self.host.endswith(".run.test")


class Refused(Exception):  # noqa: N818  # the sentence reads so
    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.answer = {"error": {"code": status, "status": reason, "message": message}}


@dataclass
class Google:
    """The project: what is in it, what was asked of it, and what it refuses."""

    project: str
    calls: list[Call] = field(default_factory=list)
    unexpected: list[Call] = field(default_factory=list)
    refusals: dict[str, tuple[int, str, str]] = field(default_factory=dict)  # pattern of "METHOD host/path" -> answer
    failing_builds: set[str] = field(default_factory=set)  # functions whose build fails
    broken: set[str] = field(default_factory=set)  # functions whose next revisions answer 500
    resources: dict[str, Json] = field(default_factory=dict)  # by API and name: functions, topics, buckets, …
    policies: dict[str, Json] = field(default_factory=dict)  # IAM policies by resource
    zips: list[list[str]] = field(default_factory=list)  # the names in each uploaded source
    operations: dict[str, Json] = field(default_factory=dict)
    revisions: dict[str, list[Json]] = field(default_factory=dict)  # by region/service, oldest first

    def mutations(self) -> list[Call]:
        return [call for call in self.calls if call.mutating]

    def forget(self) -> None:
        self.calls.clear()

    def service(self, region: str, name: str) -> Json:
        return self.resources[f"{region}-run/services/{name}"]

    def split(self, region: str, name: str) -> dict[str, int]:
        """The traffic of a function: revision -> percent."""
        targets = self.service(region, name)["status"]["traffic"]
        return {target["revisionName"]: target["percent"] for target in targets if target.get("percent")}

    def given(self, region: str, name: str, *, public: bool) -> None:
        """A function that an earlier deployment left: one revision, which is tagged and serves by name."""
        function = {"buildConfig": {}, "serviceConfig": {"environmentVariables": {"BUNDLE": "an older one"}}}
        _deployed(self, region, name, function)
        if public:
            self.policies[f"{region}-run/{name}"] = {
                "bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]
            }
        service = self.service(region, name)
        revision = service["status"]["latestReadyRevisionName"]
        service["spec"]["traffic"] = [
            {"revisionName": revision, "percent": 100},
            {"revisionName": revision, "tag": "candidate"},
        ]
        _route(service)

    def answer(self, call: Call) -> Any:
        """The answer's JSON, or status, type and body. Raises Refused."""
        self.calls.append(call)
        for pattern, (status, reason, message) in self.refusals.items():
            if re.search(pattern, f"{call.method} {call.host}{call.path}"):
                raise Refused(status, reason, message)
        for method, pattern, handler in ROUTES:
            matched = re.fullmatch(pattern, call.host + call.path)
            if method == call.method and matched:
                return handler(self, call, *matched.groups())
        self.unexpected.append(call)
        raise Refused(400, "FAILED_PRECONDITION", f"the stand-in does not know {call.method} {call.host}{call.path}")

    def found(self, key: str) -> Json:
        if key not in self.resources:
            raise Refused(404, "NOT_FOUND", f"{key} was not found")
        return self.resources[key]

    def under(self, prefix: str) -> list[Json]:
        return [resource for key, resource in sorted(self.resources.items()) if key.startswith(prefix)]


# --- Cloud Functions v2 and the Cloud Run service under each function ---------------------------------------------


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
    transport = {"pubsub": {"topic": trigger.get("pubsubTopic", "its own"), "subscription": subscription}}
    google.resources[f"triggers/{region}/{name}-000001"] = {"name": full, "transport": transport}
    subscribed = {"name": subscription, "topic": trigger.get("pubsubTopic"), "ackDeadlineSeconds": 10}
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


def _visit(google: Google, _: Call, tag: str | None, name: str, region: str, __: str) -> tuple[int, str, bytes]:
    """Somebody asks the function itself, at its own address or that of a tag."""
    targets = google.service(region, name)["status"]["traffic"]
    revision = next(t["revisionName"] for t in targets if (t.get("tag") == tag if tag else t.get("percent")))
    made = next(r for r in google.revisions[f"{region}/{name}"] if r["metadata"]["name"] == revision)
    policy = google.policies.get(f"{region}-run/{name}", {})
    if not any("allUsers" in binding["members"] for binding in policy.get("bindings", [])):
        return 403, "text/html", b"Your client does not have permission to get this URL"
    if made["answers"] != 200:
        return 500, "text/plain", b"crash"
    return 404, "application/problem+json", b"{}"


# --- IAM policies, and the other resources -------------------------------------------------------------------------


def _get_policy(google: Google, _: Call, key: str) -> Json:
    return google.policies.get(key, {"etag": "BwX=", "version": 1})


def _set_policy(google: Google, call: Call, key: str) -> Json:
    google.policies[key] = call.body.get("policy", call.body)
    return google.policies[key]


def _run_policy(google: Google, call: Call, region: str, name: str) -> Json:
    return _get_policy(google, call, f"{region}-run/{name}")


def _set_run_policy(google: Google, call: Call, region: str, name: str) -> Json:
    return _set_policy(google, call, f"{region}-run/{name}")


def _patch_subscription(google: Google, call: Call, name: str) -> Json:
    known = google.found(f"subscriptions/{name}")
    known |= {key: value for key, value in call.body["subscription"].items() if key != "name"}
    return known


def _versions(_: Google, __: Call, name: str) -> Json:
    return {"versions": [{"name": f"projects/{NUMBER}/secrets/{name}/versions/3", "state": "ENABLED"}]}


def _listed(kind: str, key: str) -> Handler:
    return lambda google, _: {key: google.under(f"{kind}/")}


def _kept(kind: str, form: Callable[[Google, Call, str], Json]) -> Handler:
    """Keeps a new resource under its kind and name."""

    def keep(google: Google, call: Call, name: str = "") -> Json:
        resource = form(google, call, name)
        google.resources[f"{kind}/{resource['name'].rpartition('/')[2]}"] = resource
        return resource

    return keep


def _enabled(google: Google, call: Call) -> Json:
    for service in call.body["serviceIds"]:
        name = f"projects/{NUMBER}/services/{service}"
        google.resources[f"services/{service}"] = {"name": name, "config": {"name": service}, "state": "ENABLED"}
    return {"name": "operations/enabled", "done": True, "response": {}}


def _account(google: Google, call: Call, _: str) -> Json:
    email = f"{call.body['accountId']}@{google.project}.iam.gserviceaccount.com"
    return {"name": f"projects/{google.project}/serviceAccounts/{email}", "email": email}


def _named_by_body(google: Google, call: Call, _: str) -> Json:
    return dict(call.body)


def _secret(google: Google, call: Call, _: str) -> Json:
    return {**call.body, "name": f"projects/{NUMBER}/secrets/{call.query['secretId']}"}


def _topic(google: Google, call: Call, name: str) -> Json:
    return {"name": f"projects/{google.project}/topics/{name}"}


def _subscription(google: Google, call: Call, name: str) -> Json:
    return {**call.body, "name": f"projects/{google.project}/subscriptions/{name}"}


def _patch_bucket(google: Google, call: Call, name: str) -> Json:
    google.found(f"buckets/{name}").update(call.body)
    return google.resources[f"buckets/{name}"]


def _database(google: Google, call: Call) -> Json:
    database = {**call.body, "name": f"projects/{google.project}/databases/{call.query['databaseId']}"}
    google.resources[f"databases/{call.query['databaseId']}"] = database
    return {"name": f"{database['name']}/operations/made", "done": True, "response": database}


def _fields(google: Google, call: Call) -> Json:
    kind = "ttlConfig" if "ttlConfig" in call.query["filter"] else "indexConfig"
    return {"fields": [known for known in google.under("fields/") if kind in known]}


def _patch_field(google: Google, call: Call, collection: str, name: str) -> Json:
    full = f"projects/{google.project}/databases/(default)/collectionGroups/{collection}/fields/{name}"
    known = google.resources.setdefault(f"fields/{collection}/{name}", {"name": full})
    known[call.query["updateMask"]] = call.body.get(call.query["updateMask"], {})
    return {"name": f"projects/{google.project}/databases/(default)/operations/field", "done": False}


def _backup_schedule(google: Google, call: Call, _: str) -> Json:
    return {**call.body, "name": f"projects/{google.project}/databases/(default)/backupSchedules/daily"}


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


def _ruleset(google: Google, call: Call) -> Json:
    name = f"projects/{google.project}/rulesets/{len(google.under('rulesets/')) + 1}"
    google.resources[f"rulesets/{name.rpartition('/')[2]}"] = {**call.body, "name": name}
    return {"name": name}


def _release(google: Google, call: Call) -> Json:
    google.resources["release"] = call.body.get("release", call.body)
    return google.resources["release"]


def _put_document(google: Google, call: Call, path: str) -> Json:
    google.resources[f"documents/{path}"] = {"fields": call.body["fields"]}
    return google.resources[f"documents/{path}"]


P = r"projects/[\w-]+"
ROUTES: list[tuple[str, str, Handler]] = [
    ("GET", rf"cloudresourcemanager/v1/{P}", lambda g, _: {"projectId": g.project, "projectNumber": NUMBER}),
    ("POST", rf"cloudresourcemanager/v1/({P}):getIamPolicy", _get_policy),
    ("POST", rf"cloudresourcemanager/v1/({P}):setIamPolicy", _set_policy),
    ("GET", rf"cloudfunctions/v2/{P}/locations/[\w-]+/runtimes", _runtimes),
    ("GET", rf"cloudfunctions/v2/{P}/locations/([\w-]+)/functions/([\w-]+)", _function),
    ("POST", rf"cloudfunctions/v2/{P}/locations/[\w-]+/functions:generateUploadUrl", _upload_url),
    ("PUT", r"upload/source.zip", _take_zip),
    ("POST", rf"cloudfunctions/v2/{P}/locations/([\w-]+)/functions", _create_function),
    ("PATCH", rf"cloudfunctions/v2/{P}/locations/([\w-]+)/functions/([\w-]+)", _patch_function),
    ("GET", rf"cloudfunctions/v2/({P}/locations/[\w-]+/operations/[\w-]+)", lambda g, _, name: g.operations[name]),
    ("GET", rf"serviceusage/v1/{P}/services/([\w.]+)", lambda *_: {"state": "ENABLED"}),
    ("GET", r"([\w-]+)-run/apis/serving.knative.dev/v1/namespaces/[\w-]+/services", _services),
    ("GET", r"([\w-]+)-run/apis/serving.knative.dev/v1/namespaces/[\w-]+/services/([\w-]+)", _service),
    ("PUT", r"([\w-]+)-run/apis/serving.knative.dev/v1/namespaces/[\w-]+/services/([\w-]+)", _replace_service),
    ("GET", r"([\w-]+)-run/apis/serving.knative.dev/v1/namespaces/[\w-]+/revisions", _revisions),
    ("GET", rf"run/v1/{P}/locations/([\w-]+)/services/([\w-]+):getIamPolicy", _run_policy),
    ("POST", rf"run/v1/{P}/locations/([\w-]+)/services/([\w-]+):setIamPolicy", _set_run_policy),
    ("GET", rf"eventarc/v1/{P}/locations/([\w-]+)/triggers/([\w-]+)", lambda g, _, r, n: g.found(f"triggers/{r}/{n}")),
    ("GET", rf"pubsub/v1/{P}/subscriptions/([\w-]+)", lambda g, _, name: g.found(f"subscriptions/{name}")),
    ("PATCH", rf"pubsub/v1/{P}/subscriptions/([\w-]+)", _patch_subscription),
    ("GET", rf"serviceusage/v1/{P}/services", _listed("services", "services")),
    ("POST", rf"serviceusage/v1/{P}/services:batchEnable", _enabled),
    ("GET", r"serviceusage/v1/operations/\w+", lambda *_: {"name": "operations/enabled", "done": True, "response": {}}),
    ("GET", rf"iam/v1/{P}/serviceAccounts", _listed("accounts", "accounts")),
    ("POST", rf"iam/v1/{P}/serviceAccounts", _kept("accounts", _account)),
    ("GET", rf"pubsub/v1/{P}/topics", _listed("topics", "topics")),
    ("PUT", rf"pubsub/v1/{P}/topics/([\w-]+)", _kept("topics", _topic)),
    ("GET", rf"pubsub/v1/{P}/subscriptions", _listed("subscriptions", "subscriptions")),
    ("PUT", rf"pubsub/v1/{P}/subscriptions/([\w-]+)", _kept("subscriptions", _subscription)),
    ("GET", rf"pubsub/v1/{P}/(topics/[\w-]+):getIamPolicy", _get_policy),
    ("POST", rf"pubsub/v1/{P}/(topics/[\w-]+):setIamPolicy", _set_policy),
    ("GET", r"storage/storage/v1/b", _listed("buckets", "items")),
    ("POST", r"storage/storage/v1/b", _kept("buckets", _named_by_body)),
    ("GET", r"storage/storage/v1/b/([\w-]+)", lambda g, _, name: g.found(f"buckets/{name}")),
    ("PATCH", r"storage/storage/v1/b/([\w-]+)", _patch_bucket),
    ("GET", r"storage/storage/v1/(b/[\w-]+)/iam", _get_policy),
    ("PUT", r"storage/storage/v1/(b/[\w-]+)/iam", _set_policy),
    ("GET", rf"storage/storage/v1/{P}/serviceAccount", lambda *_: {"email_address": "storage@agents.example"}),
    ("GET", rf"secretmanager/v1/{P}/secrets/(\w+)/versions", _versions),
    ("GET", rf"secretmanager/v1/{P}/secrets", _listed("secrets", "secrets")),
    ("POST", rf"secretmanager/v1/{P}/secrets", _kept("secrets", _secret)),
    ("GET", rf"secretmanager/v1/{P}/(secrets/\w+):getIamPolicy", _get_policy),
    ("POST", rf"secretmanager/v1/{P}/(secrets/\w+):setIamPolicy", _set_policy),
    ("GET", rf"cloudscheduler/v1/{P}/locations/[\w-]+/jobs", _listed("jobs", "jobs")),
    ("POST", rf"cloudscheduler/v1/{P}/locations/[\w-]+/jobs", _kept("jobs", _named_by_body)),
    ("GET", rf"firestore/v1/{P}/databases", _listed("databases", "databases")),
    ("POST", rf"firestore/v1/{P}/databases", _database),
    ("GET", rf"firestore/v1/{P}/databases/\(default\)/collectionGroups/-/fields", _fields),
    ("PATCH", rf"firestore/v1/{P}/databases/\(default\)/collectionGroups/(\w+)/fields/(\w+)", _patch_field),
    ("GET", rf"firestore/v1/{P}/databases/\(default\)/backupSchedules", _listed("backups", "backupSchedules")),
    ("POST", rf"firestore/v1/{P}/databases/\(default\)/backupSchedules", _kept("backups", _backup_schedule)),
    ("GET", rf"firestore/v1/{P}/databases/\(default\)/documents/(.+)", lambda g, _, p: g.found(f"documents/{p}")),
    ("PATCH", rf"firestore/v1/{P}/databases/\(default\)/documents/(.+)", _put_document),
    ("GET", rf"firebaserules/v1/{P}/releases/cloud.firestore", lambda g, _: g.found("release")),
    ("GET", rf"firebaserules/v1/{P}/(rulesets/\d+)", lambda g, _, name: g.found(name)),
    ("POST", rf"firebaserules/v1/{P}/rulesets", _ruleset),
    ("POST", rf"firebaserules/v1/{P}/releases", _release),
    ("PATCH", rf"firebaserules/v1/{P}/releases/cloud.firestore", _release),
    ("POST", rf"compute/compute/v1/{P}/.*/operations/made/wait", _compute_operation),
    ("GET", rf"compute/compute/v1/{P}/.*/operations/made", _compute_operation),
    ("GET", rf"compute/compute/v1/{P}/(global|aggregated)/(\w+)", _compute_list),
    ("GET", rf"compute/compute/v1/{P}/(?:global|regions/[\w-]+)/(\w+/[\w-]+)", lambda g, _, n: g.found(f"compute/{n}")),
    ("POST", rf"compute(/compute/v1/{P})/(global|regions/[\w-]+)/(\w+)", _compute_insert),
    ("GET", r"(?:(\w+)---)?([\w-]+)\.([\w-]+)\.run\.test(/.*)", _visit),
]


# --- The proxy -----------------------------------------------------------------------------------------------------


@contextmanager
def running(project: str) -> Iterator[tuple[Google, int]]:
    """The stand-in, and the port of its proxy on 127.0.0.1."""
    google, lock = Google(project), threading.Lock()

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            is_json = "json" in self.headers.get("Content-Type", "") and raw
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            host = (parts.hostname or "").removesuffix(".googleapis.test")
            call = Call(self.command, host, unquote(parts.path), query, json.loads(raw) if is_json else raw)
            status, kind, body = 200, "application/json", b""
            with lock:
                try:
                    answered = google.answer(call)
                    if isinstance(answered, tuple):
                        status, kind, body = answered
                    else:
                        body = json.dumps(answered).encode()
                except Refused as refused:
                    status, body = refused.status, json.dumps(refused.answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815  # the base class's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield google, server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def environment(port: int, folder: str) -> dict[str, str]:
    """What makes the real gcloud, and curl, ask the stand-in and nobody else."""
    overrides = {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api.upper()}": f"http://{api}.googleapis.test/" for api in APIS}
    return {
        **overrides,
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": "http://compute.googleapis.test/compute/v1/",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": "http://storage.googleapis.test/storage/v1/",
        "CLOUDSDK_PROXY_TYPE": "http_no_tunnel",
        "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1",
        "CLOUDSDK_PROXY_PORT": str(port),
        "CLOUDSDK_CONFIG": folder,
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
        "http_proxy": f"http://127.0.0.1:{port}",
    }
