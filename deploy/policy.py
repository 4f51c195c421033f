"""Adds the rights of deploy/rights.json to an IAM policy; what else is in the policy stays.

    gcloud … get-iam-policy … --format=json | python3 -m deploy.policy PROJECT NUMBER RESOURCE

RESOURCE is `project`, `bucket`, `topic:NAME`, `secret:NAME` or `account:NAME`. Prints the policy to set, with the etag
that was read, so that a change made in between is refused and not lost; prints nothing where every right is given.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from deploy.preflight import accounts, agents


def wanted(resource: str, project: str, number: str) -> Iterator[tuple[str, str]]:
    """The bindings of a resource: role and member."""
    kind, _, name = resource.partition(":")
    for account, rights in accounts().items():
        member = f"serviceAccount:prodai-{account}@{project}.iam.gserviceaccount.com"
        if kind == "project":
            yield from ((role, member) for role in rights["project"])
        elif kind == "bucket" and rights["buckets"]:
            yield rights["buckets"], member
        elif kind == "topic" and name in rights["publishes"]:
            yield "roles/pubsub.publisher", member
        elif kind == "secret" and name in rights["secrets"]:
            yield "roles/secretmanager.secretAccessor", member
        elif kind == "account" and name in rights.get("actsAs", []):
            yield "roles/iam.serviceAccountUser", member
    if kind == "project":
        for agent, roles in agents().items():
            yield from ((role, f"serviceAccount:{agent.replace('NUMBER', number)}") for role in roles)


def merged(policy: dict[str, Any], resource: str, project: str, number: str) -> dict[str, Any] | None:
    """The policy with all wanted bindings; None where it has them."""
    bindings: list[dict[str, Any]] = json.loads(json.dumps(policy.get("bindings", [])))
    changed = False
    for role, member in wanted(resource, project, number):
        same_role = [binding for binding in bindings if binding["role"] == role and "condition" not in binding]
        if not same_role:
            bindings.append({"role": role, "members": []})
            same_role = bindings[-1:]
        if not any(member in binding["members"] for binding in same_role):
            same_role[0]["members"].append(member)
            changed = True
    return {**policy, "bindings": bindings} if changed else None


if __name__ == "__main__":
    project_id, project_number, resource_name = sys.argv[1:]
    result = merged(json.load(sys.stdin), resource_name, project_id, project_number)
    if result is not None:
        sys.stdout.write(json.dumps(result) + "\n")
