"""Puts what gcloud has no command for: `firestore.rules` and the documents `plans/{plan}`, which the rules read.

    gcloud auth print-access-token | python3 -m deploy.documents PROJECT [--dry-run]

What is in place already is left alone. The ruleset before stays at Google; its name is printed.
Source: Firebase Rules API v1 (rulesets are immutable, a release names the one in force); Firestore API v1.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from shared import plans

ROOT = Path(__file__).resolve().parent.parent
RELEASE = "cloud.firestore"
DEADLINE_S = 30.0


class Api:
    """One of Google's REST interfaces, at the address gcloud too would ask."""

    def __init__(self, name: str, token: str, *, dry_run: bool) -> None:
        override = os.environ.get(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name.upper()}")
        self._base = (override or f"https://{name}.googleapis.com/") + "v1/"
        self._token = token
        self._dry_run = dry_run

    def get(self, path: str) -> dict[str, Any] | None:
        """None for NOT_FOUND, and for that alone. Raises urllib.error.HTTPError."""
        try:
            return self.ask("GET", path, None)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def change(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        sys.stderr.write(f"{method} {self._base}{path}\n")
        return {"name": "NEW"} if self._dry_run else self.ask(method, path, body)

    def ask(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self._base + path, data, headers, method=method)  # noqa: S310  # https above
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:  # noqa: S310
            value: dict[str, Any] = json.load(answer)
            return value


def put_rules(api: Api, project: str, source: str) -> None:
    """A new ruleset, put in force, unless the one in force is the same."""
    release = api.get(f"projects/{project}/releases/{RELEASE}")
    in_force = api.get(release["rulesetName"]) if release else None
    if in_force and in_force["source"]["files"][0]["content"] == source:
        return
    files = [{"name": "firestore.rules", "content": source}]
    ruleset = api.change("POST", f"projects/{project}/rulesets", {"source": {"files": files}})["name"]
    named = {"name": f"projects/{project}/releases/{RELEASE}", "rulesetName": ruleset}
    if release:
        api.change("PATCH", f"projects/{project}/releases/{RELEASE}", {"release": named})
        sys.stderr.write(f"rules: {ruleset} is in force; before: {release['rulesetName']}\n")
    else:
        api.change("POST", f"projects/{project}/releases", named)


def put_plans(api: Api, project: str) -> None:
    for name, row in plans.documents().items():
        path = f"projects/{project}/databases/(default)/documents/plans/{name}"
        fields = {key: _value(value) for key, value in row.items()}
        found = api.get(path)
        if found is None or found.get("fields") != fields:
            api.change("PATCH", path, {"fields": fields})


def _value(value: object) -> dict[str, object]:
    if value is None:
        return {"nullValue": None}
    return {"integerValue": str(value)} if isinstance(value, int) else {"stringValue": str(value)}


if __name__ == "__main__":
    of_project, dry = sys.argv[1], "--dry-run" in sys.argv
    access_token = sys.stdin.read().strip()
    try:
        rules = (ROOT / "firestore.rules").read_text(encoding="utf-8")
        put_rules(Api("firebaserules", access_token, dry_run=dry), of_project, rules)
        put_plans(Api("firestore", access_token, dry_run=dry), of_project)
    except (urllib.error.URLError, OSError) as failed:
        sys.exit(f"deploy: the rules and plans are not in place: {failed}")
