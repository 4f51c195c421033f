"""The project, its APIs and its accounts; the policies of all resources."""

from __future__ import annotations

from tests.contract.google_stand_in.project import NUMBER, Call, Google, Json, P, Routes, kept, listed


def _get_policy(google: Google, _: Call, key: str) -> Json:
    return google.policies.get(key, {"etag": "BwX=", "version": 1})


def _set_policy(google: Google, call: Call, key: str) -> Json:
    google.policies[key] = call.body.get("policy", call.body)
    return google.policies[key]


def _test_permissions(google: Google, call: Call) -> Json:
    return {"permissions": [asked for asked in call.body["permissions"] if asked not in google.denied]}


def _run_policy(google: Google, call: Call, region: str, name: str) -> Json:
    return _get_policy(google, call, f"{region}-run/{name}")


def _set_run_policy(google: Google, call: Call, region: str, name: str) -> Json:
    return _set_policy(google, call, f"{region}-run/{name}")


def _enabled(google: Google, call: Call) -> Json:
    for service in call.body["serviceIds"]:
        name = f"projects/{NUMBER}/services/{service}"
        google.resources[f"services/{service}"] = {"name": name, "config": {"name": service}, "state": "ENABLED"}
    return {"name": "operations/enabled", "done": True, "response": {}}


def _account(google: Google, call: Call, _: str) -> Json:
    email = f"{call.body['accountId']}@{google.project}.iam.gserviceaccount.com"
    return {"name": f"projects/{google.project}/serviceAccounts/{email}", "email": email}


ROUTES: Routes = [
    ("GET", rf"cloudresourcemanager/v1/{P}", lambda g, _: {"projectId": g.project, "projectNumber": NUMBER}),
    ("POST", rf"cloudresourcemanager/v1/({P}):getIamPolicy", _get_policy),
    ("POST", rf"cloudresourcemanager/v1/({P}):setIamPolicy", _set_policy),
    ("POST", rf"cloudresourcemanager/v1/{P}:testIamPermissions", _test_permissions),
    ("GET", rf"serviceusage/v1/{P}/services/([\w.]+)", lambda *_: {"state": "ENABLED"}),
    ("GET", rf"run/v1/{P}/locations/([\w-]+)/services/([\w-]+):getIamPolicy", _run_policy),
    ("POST", rf"run/v1/{P}/locations/([\w-]+)/services/([\w-]+):setIamPolicy", _set_run_policy),
    ("GET", rf"serviceusage/v1/{P}/services", listed("services", "services")),
    ("POST", rf"serviceusage/v1/{P}/services:batchEnable", _enabled),
    ("GET", r"serviceusage/v1/operations/\w+", lambda *_: {"name": "operations/enabled", "done": True, "response": {}}),
    ("POST", r"iam/v1/projects/-/(serviceAccounts/[^:]+):getIamPolicy", _get_policy),
    ("POST", r"iam/v1/projects/-/(serviceAccounts/[^:]+):setIamPolicy", _set_policy),
    ("GET", rf"iam/v1/{P}/serviceAccounts", listed("accounts", "accounts")),
    ("POST", rf"iam/v1/{P}/serviceAccounts", kept("accounts", _account)),
    ("GET", rf"pubsub/v1/{P}/(topics/[\w-]+):getIamPolicy", _get_policy),
    ("POST", rf"pubsub/v1/{P}/(topics/[\w-]+):setIamPolicy", _set_policy),
    ("GET", r"storage/storage/v1/(b/[\w-]+)/iam", _get_policy),
    ("PUT", r"storage/storage/v1/(b/[\w-]+)/iam", _set_policy),
    ("GET", rf"secretmanager/v1/{P}/(secrets/\w+):getIamPolicy", _get_policy),
    ("POST", rf"secretmanager/v1/{P}/(secrets/\w+):setIamPolicy", _set_policy),
]
