"""One address for the HTTP functions of all regions: what the global load balancer is told.

    python3 -m deploy.front functions                the functions behind it
    python3 -m deploy.front backend NAME REGION…     a backend service, for `gcloud compute backend-services import`
    python3 -m deploy.front urlmap                   the URL map, for `gcloud compute url-maps import`
    python3 -m deploy.front certificate DOMAIN       the name of a domain's certificate

Backends and URL map carry a fingerprint of themselves as their description, by which a second run knows that nothing
has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from deploy.preflight import PLACES

PATHS: Mapping[str, Sequence[str]] = {
    "upload": ("/v1/uploads", "/v1/uploads/*", "/v1/edge-upload", "/v1/account"),
    "chat": ("/v1/chat",),
    "metrics": ("/v1/metrics", "/metrics", "/v1/status", "/v1/events", "/v1/controls", "/v1/jobs"),
}
API = "https://www.googleapis.com/compute/v1"


def backend(project: str, name: str, regions: Sequence[str]) -> dict[str, Any]:
    """The nearest region answers; one that fails five times in a row gets nothing for half a minute."""
    groups = [f"projects/{project}/regions/{PLACES[r]}/networkEndpointGroups/prodai-{name}-{r}" for r in regions]
    service: dict[str, Any] = {
        "name": f"prodai-{name}",
        "loadBalancingScheme": "EXTERNAL_MANAGED",
        "protocol": "HTTPS",
        "customRequestHeaders": ["X-Client-Geo-Location:{client_region}"],
        "backends": [{"group": f"{API}/{group}"} for group in groups],
    }
    if len(regions) > 1:
        service["outlierDetection"] = {
            "consecutiveErrors": 5,
            "enforcingConsecutiveErrors": 100,
            "interval": {"seconds": 10},
            "baseEjectionTime": {"seconds": 30},
            "maxEjectionPercent": 50,
        }
    return _signed(service)


def url_map(project: str) -> dict[str, Any]:
    """Which path is whose; what is nobody's, upload answers with a problem."""

    def address(name: str) -> str:
        return f"{API}/projects/{project}/global/backendServices/prodai-{name}"

    rules = [{"paths": list(paths), "service": address(name)} for name, paths in PATHS.items()]
    matcher = {"name": "api", "defaultService": address("upload"), "pathRules": rules}
    hosts = [{"hosts": ["*"], "pathMatcher": "api"}]
    return _signed(
        {"name": "prodai", "defaultService": address("upload"), "hostRules": hosts, "pathMatchers": [matcher]}
    )


def certificate(domain: str) -> str:
    """Names of Compute Engine have no dots, and 63 letters at most."""
    return f"prodai-{hashlib.sha256(domain.encode()).hexdigest()[:12]}"


def _signed(resource: dict[str, Any]) -> dict[str, Any]:
    fingerprint = hashlib.sha256(json.dumps(resource, sort_keys=True).encode()).hexdigest()[:12]
    return {**resource, "description": f"deploy.sh-{fingerprint}"}


def main(arguments: Sequence[str], project: str) -> str:
    match arguments:
        case ["functions"]:
            return " ".join(PATHS)
        case ["backend", name, *regions]:
            return json.dumps(backend(project, name, regions))  # JSON is YAML
        case ["certificate", domain]:
            return certificate(domain)
        case ["urlmap"]:
            return json.dumps(url_map(project))
    raise ValueError(f"{arguments} is no part of the front")


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:], os.environ["GOOGLE_CLOUD_PROJECT"]) + "\n")
