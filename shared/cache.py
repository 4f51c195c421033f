"""JSON values cached in Redis for a while, computed once however many ask. A failure is a miss, never an error.

Kept as text: JSON, beyond 1 KB compressed (zlib, in base64 since the REST interface carries text). A value lives a
while longer than it is fresh: meanwhile one caller computes it anew and the others read the old one.
"""

from __future__ import annotations

import base64
import json
import random
import secrets
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from shared import clients, observations, telemetry

DEFAULT_TTL_S = 300
ANALYSIS_TTL_S = 3600
FORMAT = "v2"  # part of every key, so that a deploy never reads another's format
LARGEST_BYTES = 512 * 1024  # of what is stored
COMPRESSED_BEYOND_BYTES = 1024
STALE_PART = 0.2  # of its time, a value serves on while it is computed anew
LEASE_S = 10.0  # whoever computes has this long before another may
POLL_S = 0.03
DIRECTORY = Path(__file__).parent
LOOK = (DIRECTORY / "cache.lua").read_text(encoding="utf-8")
KEEP = (DIRECTORY / "cache_put.lua").read_text(encoding="utf-8")
MISSING = object()


def get(key: str) -> Any | None:
    """The value, or None for a miss."""
    return get_many([key])[0]


def get_many(keys: Sequence[str]) -> list[Any | None]:
    """The values in one round trip, None for each miss."""
    try:
        texts = clients.redis().mget(*[_named(key) for key in keys])
    except Exception as error:  # a failure is a miss
        _failed("read", error)
        return [None] * len(keys)
    values = [_decoded(text) for text in texts]
    for value in values:
        observations.count("cache.miss" if value is MISSING else "cache.hit")
    return [None if value is MISSING else value for value in values]


def put(key: str, value: Any, ttl_s: float = DEFAULT_TTL_S) -> None:
    """Keeps a value for ttl_s seconds, up to 10 % less, so that what was written together does not expire together."""
    text = _encoded(value)
    if text is None:
        return
    try:
        clients.redis().set(_named(key), text, px=_jittered_ms(ttl_s))
    except Exception as error:  # not cached, and that is all
        _failed("written", error)


def forget(key: str) -> None:
    try:
        clients.redis().delete(_named(key))
    except Exception as error:  # it expires by itself
        _failed("emptied", error)


def get_or_compute(
    key: str,
    compute: Callable[[], Any],
    ttl_s: float = DEFAULT_TTL_S,
    negative_ttl_s: float = 0.0,
    patience_s: float = 5.0,
) -> Any:
    """The cached value, else the computed one, which one caller computes while the others wait or read the old one.

    `None` is kept for negative_ttl_s, or not at all. Whoever has waited patience_s computes by itself, and so does
    everyone without Redis, one caller per instance and key at a time. Raises what `compute` raises; then the next
    caller tries.
    """
    with _flights().one(key, patience_s) as landed:
        if landed is not MISSING:
            return landed
        value = _shared(key, compute, ttl_s, negative_ttl_s, patience_s)
        _flights().land(key, value)
        return value


def _shared(key: str, compute: Callable[[], Any], ttl_s: float, negative_ttl_s: float, patience_s: float) -> Any:
    who, until = secrets.token_hex(8), time.monotonic() + patience_s
    stale_ms = round(ttl_s * STALE_PART * 1000)
    while True:
        look = _look(key, who, stale_ms)
        if look.value is not MISSING and (look.fresh or not look.locked):
            observations.count("cache.hit")
            return look.value
        if look.locked or look.failed or time.monotonic() >= until:
            observations.count("cache.miss")
            return _computed(key, compute, ttl_s, negative_ttl_s, who, reachable=not look.failed)
        time.sleep(POLL_S * random.uniform(0.5, 1.5))  # noqa: S311  # not a secret


@dataclass(frozen=True)
class _Look:
    value: Any
    fresh: bool = False
    locked: bool = False
    failed: bool = False


def _look(key: str, who: str, stale_ms: int) -> _Look:
    try:
        answer = clients.redis().eval(LOOK, [_named(key), _lock(key)], [who, str(round(LEASE_S * 1000)), str(stale_ms)])
        text, fresh, locked = answer
    except Exception as error:
        _failed("read", error)
        return _Look(MISSING, failed=True)
    return _Look(_decoded(text), fresh == 1, locked == 1)


def _computed(
    key: str, compute: Callable[[], Any], ttl_s: float, negative_ttl_s: float, who: str, *, reachable: bool
) -> Any:
    text, kept_ms = None, 0
    try:
        value = compute()
        fresh_s = ttl_s if value is not None else negative_ttl_s
        kept_ms = _jittered_ms(fresh_s + ttl_s * STALE_PART)
        text = _encoded(value) if fresh_s > 0 else None
        return value
    finally:
        if reachable:
            _keep(key, text or "", kept_ms, who)


def _keep(key: str, text: str, kept_ms: int, who: str) -> None:
    try:
        clients.redis().eval(KEEP, [_named(key), _lock(key)], [who, text, str(kept_ms)])
    except Exception as error:
        _failed("written", error)


class _Flights:
    """At most one computation of a key in this instance; whoever waited for it takes its value."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[str, _Flight] = {}

    @contextmanager
    def one(self, key: str, patience_s: float) -> Iterator[Any]:
        """Gives the value that another caller has just computed, else MISSING: then it is ours to find."""
        with self._lock:
            flight = self._flights.get(key)
            leading = flight is None
            if flight is None:
                flight = self._flights[key] = _Flight()
        if not leading:
            flight.landed.wait(patience_s)
            yield flight.value
            return
        try:
            yield MISSING
        finally:
            with self._lock:
                del self._flights[key]
            flight.landed.set()

    def land(self, key: str, value: Any) -> None:
        flight = self._flights.get(key)
        if flight is not None:
            flight.value = value


class _Flight:
    def __init__(self) -> None:
        self.landed = threading.Event()
        self.value: Any = MISSING


@cache
def _flights() -> _Flights:
    return _Flights()


def _named(key: str) -> str:
    return f"cache:{FORMAT}:{key}"


def _lock(key: str) -> str:
    return f"cache:{FORMAT}:lock:{key}"


def _encoded(value: Any) -> str | None:
    """A value as it is stored; None for one that is too large to be."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(text) > COMPRESSED_BEYOND_BYTES:
        text = "z" + base64.b64encode(zlib.compress(text.encode(), 1)).decode()
    return text if len(text.encode()) <= LARGEST_BYTES else None


def _decoded(text: Any) -> Any:
    if not isinstance(text, str):
        return MISSING
    try:
        if text.startswith("z"):
            text = zlib.decompress(base64.b64decode(text[1:])).decode()
        return json.loads(text)
    except (ValueError, zlib.error):
        return MISSING


def _jittered_ms(ttl_s: float) -> int:
    return max(1, round(ttl_s * 1000 * random.uniform(0.9, 1.0)))  # noqa: S311  # not a secret


def _failed(done: str, error: Exception) -> None:
    observations.count("cache.failed")
    telemetry.warning(f"the cache could not be {done}", error=type(error).__name__)
