"""How many instances of a function are kept ready, changed by the Cloud Run Admin API.

The minimum of the service is changed, not of a revision: no revision is made, so traffic stays where `deploy.sh` pinned
it, and no instance starts anew. The maximum is the ceiling of the cost and stays a human's decision. A standing minimum
belongs in functions/deployables.json (it is the revision's): the service's is the automatics' own, 0 when at rest.
Source: Cloud Run Admin API v2, projects.locations.services.patch, ServiceScaling (2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping

from monitoring import googleapi
from shared import telemetry
from shared.settings import settings

PLACES: Mapping[str, str] = {"us": "us-central1", "eu": "europe-west1", "asia": "asia-northeast1"}


def reconcile(wanted: Mapping[str, int], applied: Mapping[str, int]) -> dict[str, int]:
    """Brings every function to what is wanted, 0 where nothing is; gives what holds now. Repeated, it does nothing."""
    holds = dict(applied)
    for service in sorted({*wanted, *applied}):
        instances = wanted.get(service, 0)
        if applied.get(service, 0) == instances:
            continue
        if _scale(service, instances):
            holds[service] = instances
    return {service: instances for service, instances in holds.items() if instances}


def _scale(service: str, instances: int) -> bool:
    """Wherever the function stands; False where it is to be tried again."""
    stands = failed = False
    for region in settings().upload_buckets:
        place = f"projects/{settings().project}/locations/{PLACES[region]}/services/{service}"
        body = {"name": place, "scaling": {"minInstanceCount": instances}}
        url = f"{settings().run_api_url}/v2/{place}?updateMask=scaling.minInstanceCount"
        try:
            googleapi.call("PATCH", url, body)
            stands = True
        except googleapi.Refused as refused:
            if refused.status != 404:  # what hears a topic stands in one region only
                failed = True
                telemetry.error("a function could not be scaled", service=service, region=region, error=str(refused))
    if stands:
        telemetry.info(f"{service} keeps {instances} instances ready")
    return stands and not failed
