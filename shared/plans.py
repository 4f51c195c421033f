"""The plans: one table, `plans.json`, deployed as the documents `plans/{plan}` which the rules read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Literal

TABLE = Path(__file__).with_name("plans.json")


@dataclass(frozen=True)
class Plan:
    name: str
    messages_per_month: int | None  # None: unlimited
    analyses_per_month: int
    after_limit: Literal["reduced", "refused"]
    reply_tokens: int
    priority: int
    max_upload_bytes: int
    retention_days: int


def documents() -> Mapping[str, Mapping[str, object]]:
    """The documents `plans/{plan}` as they are seeded."""
    plans: Mapping[str, Mapping[str, object]] = json.loads(TABLE.read_text(encoding="utf-8"))["plans"]
    return plans


@cache
def plans() -> Mapping[str, Plan]:
    return {
        name: Plan(
            name,
            row["messagesPerMonth"],  # type: ignore[arg-type]
            row["analysesPerMonth"],  # type: ignore[arg-type]
            row["afterLimit"],  # type: ignore[arg-type]
            row["replyTokens"],  # type: ignore[arg-type]
            row["priority"],  # type: ignore[arg-type]
            row["maxUploadBytes"],  # type: ignore[arg-type]
            row["retentionDays"],  # type: ignore[arg-type]
        )
        for name, row in documents().items()
    }


def effective(plan: str | None, expires_at: datetime | None, now: datetime) -> Plan:
    """The plan that counts at this second: an expired one counts as free, whatever the stored field says."""
    known = plans()
    if plan is None or plan not in known or (expires_at is not None and now >= expires_at):
        return known["free"]
    return known[plan]


def month_of(moment: datetime) -> str:
    """The month of a quota, `yyyymm` in UTC, as the rules compute it from server time."""
    return moment.astimezone(UTC).strftime("%Y%m")


def renewal_after(moment: datetime) -> datetime:
    """The first second of the next month in UTC: when the quota is whole again."""
    utc = moment.astimezone(UTC)
    return datetime(utc.year + utc.month // 12, utc.month % 12 + 1, 1, tzinfo=UTC)
