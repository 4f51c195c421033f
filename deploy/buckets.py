"""What the buckets for uploads are like.

python3 -m deploy.buckets place REGION      where a region's bucket and functions stand
python3 -m deploy.buckets cors|lifecycle    the settings, as `gcloud storage buckets update` takes them
python3 -m deploy.buckets access            that nobody but our accounts gets in, as `found` says it
gcloud storage buckets describe --raw … | python3 -m deploy.buckets found     all three, as they are in force
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from deploy.preflight import PLACES
from shared import plans
from shared.http import PREFLIGHT_S

CLOSED = {"uniformBucketLevelAccess": {"enabled": True}, "publicAccessPrevention": "enforced"}


def cors(origins: str) -> list[dict[str, Any]]:
    """The web client sends and resumes from its own origins."""
    allowed = [origin.strip().rstrip("/") for origin in origins.split(",") if origin.strip()]
    if not allowed:
        return []
    headers = ["Content-Type", "Content-Range", "Range", "X-Goog-Upload-Status"]
    methods = ["GET", "PUT", "POST", "DELETE"]
    return [{"origin": allowed, "method": methods, "responseHeader": headers, "maxAgeSeconds": PREFLIGHT_S}]


def lifecycle() -> dict[str, Any]:
    """Tracks are deleted when the longest retention of any plan is over."""
    age = max(plan.retention_days for plan in plans.plans().values())
    return {"rule": [{"action": {"type": "Delete"}, "condition": {"age": age}}]}


def access(configuration: Mapping[str, Any]) -> dict[str, Any]:
    uniform = configuration.get("uniformBucketLevelAccess", {}).get("enabled", False)
    return {"uniform": uniform, "publicAccessPrevention": configuration.get("publicAccessPrevention", "inherited")}


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def main(arguments: list[str]) -> str:
    match arguments:
        case ["place", region]:
            return PLACES[region]
        case ["cors"]:
            return _text(cors(os.environ.get("ALLOWED_ORIGINS", "")))
        case ["lifecycle"]:
            return _text(lifecycle())
        case ["access"]:
            return _text(access(CLOSED))
        case ["found"]:
            bucket = json.load(sys.stdin)
            found = (bucket.get("cors", []), bucket.get("lifecycle", {}), access(bucket.get("iamConfiguration", {})))
            return "\n".join(map(_text, found))
    raise ValueError(f"{arguments} is no part of a bucket")


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:]) + "\n")
