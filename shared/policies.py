"""The table of limits, `limits.json`: by route, what a user, an address and the whole service may ask, and how fast."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

Subject = Literal["user", "address", "service"]


@dataclass(frozen=True)
class Policy:
    """At most `quota` in any window of `window_s`; by plan another quota where the table has one."""

    name: str
    quota: int
    window_s: int
    per: Subject = "user"
    quota_by_plan: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def key_prefix(self) -> str:
        """Of the keys in Redis; the subject's name follows."""
        return f"limit:{self.name}:"

    @cached_property
    def argument(self) -> str:
        """As limits.lua reads it: the window in ms, and the quota as a number or as JSON by plan ("" for others)."""
        by_plan = json.dumps({"": self.quota, **self.quota_by_plan}, separators=(",", ":"))
        return f"{self.window_s * 1000} {by_plan if self.quota_by_plan else self.quota}"


@dataclass(frozen=True)
class Route:
    name: str
    policies: tuple[Policy, ...]
    without_redis: Policy
    cost: int = 1  # what one request uses of each quota


@cache
def routes() -> Mapping[str, Route]:
    table = json.loads(Path(__file__).with_name("limits.json").read_text(encoding="utf-8"))
    shared = [_policy(row) for row in table["shared"]]
    return {
        name: Route(
            name,
            tuple([_policy(p) for p in row["policies"]] + shared),
            Policy("local", row["withoutRedis"]["quota"], row["withoutRedis"]["windowS"]),
            row.get("cost", 1),
        )
        for name, row in table["routes"].items()
    }


def _policy(row: Mapping[str, Any]) -> Policy:
    return Policy(row["name"], row["quota"], row["windowS"], row["per"], row.get("quotaByPlan", {}))
