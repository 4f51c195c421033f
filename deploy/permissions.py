"""Asks Google whether the operator may do what is about to be done, so that nothing stops midway for want of a right.

    gcloud auth print-access-token | python3 -m deploy.permissions PROJECT MODE

Ends with 2 and names what is missing. Where Google does not tell (a project whose APIs are off as yet), it says so and
lets the work begin. Source: Resource Manager API v1, projects.testIamPermissions; IAM permissions reference (2026-11).
"""

from __future__ import annotations

import sys
import urllib.error
from collections.abc import Mapping, Sequence

from deploy.documents import Api

TRAFFIC = ("run.services.get", "run.services.list", "run.services.update", "run.revisions.list")
ASKING = ("run.routes.invoke",)
DEPLOYING = (
    *("cloudfunctions.functions.create", "cloudfunctions.functions.get", "cloudfunctions.functions.update"),
    *("iam.serviceAccounts.actAs", "run.services.setIamPolicy", "secretmanager.versions.list"),
    *("eventarc.triggers.get", "pubsub.subscriptions.get", "pubsub.subscriptions.update"),
)
NEEDED: Mapping[str, Sequence[str]] = {
    "deploy": (*TRAFFIC, *ASKING, *DEPLOYING),
    "promote": (*TRAFFIC, *ASKING),
    "rollback": TRAFFIC,
    "status": ("run.services.list",),
    "setup": (
        *("serviceusage.services.enable", "iam.serviceAccounts.create", "resourcemanager.projects.setIamPolicy"),
        *("pubsub.topics.create", "pubsub.topics.setIamPolicy", "pubsub.subscriptions.create"),
        *("storage.buckets.create", "secretmanager.secrets.create", "secretmanager.secrets.setIamPolicy"),
        *("datastore.databases.create", "datastore.entities.create", "cloudscheduler.jobs.create"),
        *("cloudscheduler.jobs.update", "monitoring.uptimeCheckConfigs.create"),
        *("firebaserules.rulesets.create", "firebaserules.releases.create", "firebaserules.releases.update"),
    ),
    "front": (
        *("compute.globalAddresses.create", "compute.regionNetworkEndpointGroups.create", "compute.urlMaps.create"),
        *("compute.backendServices.create", "compute.backendServices.update", "compute.urlMaps.update"),
        *("compute.sslCertificates.create", "compute.targetHttpsProxies.create"),
        *("compute.targetHttpsProxies.update", "compute.globalForwardingRules.create"),
    ),
}


def missing(api: Api, project: str, mode: str) -> list[str]:
    """Raises urllib.error.URLError where Google does not tell."""
    needed = list(NEEDED[mode])
    granted = api.ask("POST", f"projects/{project}:testIamPermissions", {"permissions": needed}).get("permissions", [])
    return [permission for permission in needed if permission not in granted]


def main(project: str, mode: str, token: str) -> str | None:
    """Why the work must not begin; None where it may."""
    try:
        lacking = missing(Api("cloudresourcemanager", token, dry_run=False), project, mode)
    except (urllib.error.URLError, OSError) as error:
        sys.stderr.write(f"deploy: Google does not tell what you may do in {project} ({error}); going on\n")
        return None
    if not lacking:
        return None
    return (
        f"deploy: in {project} you lack the rights {', '.join(lacking)}; docs/operations.md says which roles have them"
    )


if __name__ == "__main__":
    reason = main(sys.argv[1], sys.argv[2], sys.stdin.read().strip())
    if reason:
        sys.stderr.write(reason + "\n")
        sys.exit(2)
