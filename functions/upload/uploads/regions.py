"""Which region's bucket takes an upload: by the client's country, the operators' weights and what storage answered."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FALLBACK = "us"


@dataclass(frozen=True)
class Table:
    headers: tuple[str, ...]  # where proxies put the client's country, in lower case, the most trusted first
    nearest: Mapping[str, tuple[str, ...]]  # region -> all regions, by distance from it
    region_of: Mapping[str, str]  # ISO 3166-1 alpha-2 -> region


@cache
def table() -> Table:
    raw = json.loads(Path(__file__).with_name("regions.json").read_text(encoding="utf-8"))
    countries = {country: region for region, codes in raw["countries"].items() for country in codes.split()}
    nearest = {region: tuple(order) for region, order in raw["nearest"].items()}
    return Table(tuple(raw["headers"]), nearest, countries)


def country_of(headers: Mapping[str, str]) -> str | None:
    """The client's country, as a proxy in front says it: `BR`, or `BR,Santos` of a load balancer's header.

    A client can say what it likes here: it only chooses where its own bytes go.
    """
    for name in table().headers:
        match = re.match(r"([A-Za-z]{2})(?![A-Za-z])", headers.get(name, ""))
        if match and match[1].upper() in table().region_of:
            return match[1].upper()
    return None


def order(
    asked: str | None,
    country: str | None,
    *,
    have: Collection[str],
    weights: Mapping[str, float],
    left_out: Collection[str],
    ticket: str,
) -> list[str]:
    """The regions that may take an upload, the first one first; never empty.

    asked: a region's name; None and `auto` go by the country, an unknown name to FALLBACK.
    have: the regions that have a bucket. left_out: those whose storage failed; last, as there may be no other.
    weights: 0 leaves a region out; going by the country, a region takes its weight's share of the heaviest one's, and
    the rest goes on to the next nearest. ticket: decides which uploads those are; equal tickets choose equally.
    """
    automatic = asked is None or asked == "auto"
    home = table().region_of.get(country or "", FALLBACK) if automatic else asked
    near = [region for region in table().nearest.get(home or "", table().nearest[FALLBACK]) if region in have]
    heaviest = max((weights.get(region, 1.0) for region in near), default=0.0)

    def reluctance(region: str) -> tuple[bool, bool, bool]:
        share = weights.get(region, 1.0) / heaviest if heaviest else 1.0
        return region in left_out, share == 0, automatic and share < 1 and _point(ticket, region) >= share

    return sorted(near, key=reluctance)


def _point(ticket: str, region: str) -> float:
    """A number from 0 to 1 that is spread evenly over tickets."""
    digest = hashlib.sha256(f"{ticket}/{region}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
