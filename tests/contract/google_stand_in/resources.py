"""Topics and subscriptions, buckets, secrets, scheduled jobs, checks from outside."""

from __future__ import annotations

from tests.contract.google_stand_in.project import NUMBER, Call, Google, Json, P, Routes, kept, listed


def _patch_subscription(google: Google, call: Call, name: str) -> Json:
    known = google.found(f"subscriptions/{name}")
    known |= {key: value for key, value in call.body["subscription"].items() if key != "name"}
    return known


def _versions(google: Google, _: Call, name: str) -> Json:
    version = {"name": f"projects/{NUMBER}/secrets/{name}/versions/3", "state": "ENABLED"}
    return {"versions": [] if name in google.empty_secrets else [version]}


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


def _patch_job(google: Google, call: Call, name: str) -> Json:
    google.found(f"jobs/{name}").update(call.body)
    return google.resources[f"jobs/{name}"]


def _uptime_check(google: Google, call: Call, _: str) -> Json:
    return {**call.body, "name": f"projects/{google.project}/uptimeCheckConfigs/{len(google.under('uptime/')) + 1}"}


ROUTES: Routes = [
    ("GET", rf"pubsub/v1/{P}/subscriptions/([\w-]+)", lambda g, _, name: g.found(f"subscriptions/{name}")),
    ("PATCH", rf"pubsub/v1/{P}/subscriptions/([\w-]+)", _patch_subscription),
    ("GET", rf"pubsub/v1/{P}/topics", listed("topics", "topics")),
    ("PUT", rf"pubsub/v1/{P}/topics/([\w-]+)", kept("topics", _topic)),
    ("GET", rf"pubsub/v1/{P}/subscriptions", listed("subscriptions", "subscriptions")),
    ("PUT", rf"pubsub/v1/{P}/subscriptions/([\w-]+)", kept("subscriptions", _subscription)),
    ("GET", r"storage/storage/v1/b", listed("buckets", "items")),
    ("POST", r"storage/storage/v1/b", kept("buckets", _named_by_body)),
    ("GET", r"storage/storage/v1/b/([\w-]+)", lambda g, _, name: g.found(f"buckets/{name}")),
    ("PATCH", r"storage/storage/v1/b/([\w-]+)", _patch_bucket),
    ("GET", rf"storage/storage/v1/{P}/serviceAccount", lambda *_: {"email_address": "storage@agents.example"}),
    ("GET", rf"secretmanager/v1/{P}/secrets/(\w+)/versions", _versions),
    ("GET", rf"secretmanager/v1/{P}/secrets", listed("secrets", "secrets")),
    ("POST", rf"secretmanager/v1/{P}/secrets", kept("secrets", _secret)),
    ("GET", rf"cloudscheduler/v1/{P}/locations/[\w-]+/jobs", listed("jobs", "jobs")),
    ("POST", rf"cloudscheduler/v1/{P}/locations/[\w-]+/jobs", kept("jobs", _named_by_body)),
    ("GET", rf"cloudscheduler/v1/{P}/locations/[\w-]+/jobs/([\w-]+)", lambda g, _, name: g.found(f"jobs/{name}")),
    ("PATCH", rf"cloudscheduler/v1/{P}/locations/[\w-]+/jobs/([\w-]+)", _patch_job),
    ("GET", rf"monitoring/v3/{P}/uptimeCheckConfigs", listed("uptime", "uptimeCheckConfigs")),
    ("POST", rf"monitoring/v3/{P}/uptimeCheckConfigs", kept("uptime", _uptime_check)),
]
