"""Reads what Google says of the Cloud Run services under the functions.

    gcloud run services list --format=json … | python3 -m deploy.service NAME
    gcloud run revisions list --format=json … | python3 -m deploy.service NAME before SPLIT PREVIOUS

The first prints the fields of `Service`, each ended by FIELD_END, and nothing for a service that is not there; the
second prints the revision that a rollback leads to, and an empty line where there is none.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from deploy.preflight import FIELD_END


class Service(NamedTuple):
    url: str
    serving: str  # the revision with the most traffic
    follows_latest: str  # yes: a new revision would take traffic at once
    latest: str  # the newest revision, or empty while it is not ready
    deployed: str  # what the newest revision was made of: its variables BUNDLE and COMMIT
    split: str  # REVISION=PERCENT,…
    candidate: str  # the revision under this tag, and its own address
    candidate_url: str
    previous: str  # the revision under this tag: what served before
    rolled_back: str  # the revision under this tag: what was taken out of service


def read(services: Sequence[Mapping[str, Any]], name: str) -> Service | None:
    found = [service for service in services if service["metadata"]["name"] == name]
    if not found:
        return None
    status, template = found[0].get("status", {}), found[0]["spec"]["template"]
    traffic = status.get("traffic", [])
    shares = sorted((t for t in traffic if t.get("percent")), key=lambda t: t["percent"], reverse=True)
    tags = {target["tag"]: target for target in traffic if target.get("tag")}
    latest, created = status.get("latestReadyRevisionName", ""), status.get("latestCreatedRevisionName", "")
    variables = {
        variable["name"]: variable.get("value", "") for variable in template["spec"]["containers"][0].get("env", [])
    }
    return Service(
        url=status.get("url", ""),
        serving=shares[0]["revisionName"] if shares else "",
        follows_latest="yes" if any(target.get("latestRevision") for target in shares) else "no",
        latest=latest if latest == created else "",
        deployed=f"{variables.get('BUNDLE', '?')} {variables.get('COMMIT', '?')}",
        split=",".join(f"{target['revisionName']}={target['percent']}" for target in shares),
        candidate=tags.get("candidate", {}).get("revisionName", ""),
        candidate_url=tags.get("candidate", {}).get("url", ""),
        previous=tags.get("previous", {}).get("revisionName", ""),
        rolled_back=tags.get("rolled-back", {}).get("revisionName", ""),
    )


def before(revisions: Sequence[Mapping[str, Any]], serving: Sequence[str], previous: str) -> str:
    """The revision to go back to from the newest that serves: the previous one if that is older, else the newest that
    is; empty where there is none. So a rollback never goes forward, and a canary is what is taken back."""
    made = _made(revisions)
    newest = max(serving, key=lambda name: made.get(name, ""))
    return previous if previous in made and made[previous] < made[newest] else older(revisions, newest)


def older(revisions: Sequence[Mapping[str, Any]], than: str) -> str:
    """The newest ready revision that was made before the given one; empty where there is none."""
    made = _made(revisions)
    ready = [revision["metadata"]["name"] for revision in revisions if _is_ready(revision)]
    return max((name for name in ready if made[name] < made.get(than, "")), key=lambda name: made[name], default="")


def _made(revisions: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """When each was made; RFC 3339 in UTC, which sorts by its letters."""
    return {revision["metadata"]["name"]: revision["metadata"]["creationTimestamp"] for revision in revisions}


def _is_ready(revision: Mapping[str, Any]) -> bool:
    conditions = revision.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


if __name__ == "__main__":
    listed = json.load(sys.stdin)
    if len(sys.argv) > 2:
        split, tagged = sys.argv[3:]
        shares = [share.partition("=")[0] for share in split.split(",")]
        sys.stdout.write(before(listed, shares, tagged) + "\n")
    elif (service := read(listed, sys.argv[1])) is not None:
        sys.stdout.write("".join(f"{field}{FIELD_END}" for field in service) + "\n")
