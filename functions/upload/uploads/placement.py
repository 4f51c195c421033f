"""Where an upload goes, as things stand now; and where a client is sent that asks for its region's address."""

from __future__ import annotations

import secrets

from shared import controls
from shared.settings import settings
from uploads import regions
from uploads.health import health


def order_now(asked: str | None, country: str | None, ticket: str) -> list[str]:
    """The regions that may take an upload now, the first one first; see regions.order."""
    return regions.order(
        asked,
        country,
        have=settings().upload_buckets,
        weights=controls.current().region_weights,
        left_out=health().left_out(),
        ticket=ticket,
    )


def region_of(bucket: str) -> str | None:
    """The region whose bucket it is."""
    return next((region for region, name in settings().upload_buckets.items() if name == bucket), None)


def edge_address(asked: str | None, country: str | None) -> str:
    """Where to announce an upload: at the region's own service where EDGE_URLS names it, else at this one."""
    region = order_now(asked, country, secrets.token_hex(8))[0]
    return f"{settings().edge_urls.get(region, '')}/v1/uploads?region={region}"
