"""JSON values cached in Redis for a while. A cache failure is a miss, never an error."""

from __future__ import annotations

import json
import random
from typing import Any

from shared import clients, telemetry

DEFAULT_TTL_S = 300
ANALYSIS_TTL_S = 3600
FORMAT = "v1"  # part of every key, so that a deploy never reads another's format
LARGEST_BYTES = 512 * 1024


def get(key: str) -> Any | None:
    try:
        raw = clients.redis().get(f"cache:{FORMAT}:{key}")
        return None if raw is None else json.loads(raw)
    except Exception as error:  # a failure is a miss
        telemetry.warning("the cache could not be read", error=type(error).__name__)
        return None


def put(key: str, value: Any, ttl_s: int = DEFAULT_TTL_S) -> None:
    """Keeps a value for ttl_s seconds, up to 10 % less, so that what was written together does not expire together."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) > LARGEST_BYTES:
        return
    jittered_s = max(1, round(ttl_s * random.uniform(0.9, 1.0)))  # noqa: S311  # not a secret
    try:
        clients.redis().set(f"cache:{FORMAT}:{key}", text, ex=jittered_s)
    except Exception as error:  # not cached, and that is all
        telemetry.warning("the cache could not be written", error=type(error).__name__)


def forget(key: str) -> None:
    try:
        clients.redis().delete(f"cache:{FORMAT}:{key}")
    except Exception as error:  # it expires by itself
        telemetry.warning("the cache could not forget", error=type(error).__name__)
