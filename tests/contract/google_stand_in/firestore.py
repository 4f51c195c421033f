"""Firestore: databases, fields, backups, documents; and the rules in force."""

from __future__ import annotations

from tests.contract.google_stand_in.project import Call, Google, Json, P, Routes, kept, listed


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


ROUTES: Routes = [
    ("GET", rf"firestore/v1/{P}/databases", listed("databases", "databases")),
    ("POST", rf"firestore/v1/{P}/databases", _database),
    ("GET", rf"firestore/v1/{P}/databases/\(default\)/collectionGroups/-/fields", _fields),
    ("PATCH", rf"firestore/v1/{P}/databases/\(default\)/collectionGroups/(\w+)/fields/(\w+)", _patch_field),
    ("GET", rf"firestore/v1/{P}/databases/\(default\)/backupSchedules", listed("backups", "backupSchedules")),
    ("POST", rf"firestore/v1/{P}/databases/\(default\)/backupSchedules", kept("backups", _backup_schedule)),
    ("GET", rf"firestore/v1/{P}/databases/\(default\)/documents/(.+)", lambda g, _, p: g.found(f"documents/{p}")),
    ("PATCH", rf"firestore/v1/{P}/databases/\(default\)/documents/(.+)", _put_document),
    ("GET", rf"firebaserules/v1/{P}/releases/cloud.firestore", lambda g, _: g.found("release")),
    ("GET", rf"firebaserules/v1/{P}/(rulesets/\d+)", lambda g, _, name: g.found(name)),
    ("POST", rf"firebaserules/v1/{P}/rulesets", _ruleset),
    ("POST", rf"firebaserules/v1/{P}/releases", _release),
    ("PATCH", rf"firebaserules/v1/{P}/releases/cloud.firestore", _release),
]
