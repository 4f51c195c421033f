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
from dataclasses import dataclass, field
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
LEASE_S = 10.0  # whoever computes has this long before another may; what comes later is not kept
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
        clients.redis().delete(_named(key), _lock(key))  # what is being computed from the old is not kept either
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
    work, until = _Work(key, compute, ttl_s, negative_ttl_s), time.monotonic() + patience_s
    with _flights().one(key, until) as landed:
        if landed is not MISSING:
            return landed
        value = work.done(until)
        _flights().land(key, value)
        return value


@dataclass(frozen=True)
class _Look:
    value: Any
    fresh: bool = False
    locked: bool = False
    failed: bool = False

    @property
    def serves(self) -> bool:
        """Whether the value is to be read; an old one, while somebody else computes it anew."""
        return self.value is not MISSING and (self.fresh or not self.locked)


@dataclass(frozen=True)
class _Work:
    """What one caller wants. `who` holds the right to compute, where the caller gets it."""

    key: str
    compute: Callable[[], Any]
    ttl_s: float
    negative_ttl_s: float
    who: str = field(default_factory=lambda: secrets.token_hex(8))

    def look(self) -> _Look:
        keys, stale_ms = [_named(self.key), _lock(self.key)], round(self.ttl_s * STALE_PART * 1000)
        try:
            answer = clients.redis().eval(LOOK, keys, [self.who, str(round(LEASE_S * 1000)), str(stale_ms)])
            text, fresh, locked = answer
        except Exception as error:
            _failed("read", error)
            return _Look(MISSING, failed=True)
        value = _decoded(text)
        if value is MISSING and fresh == 1:
            forget(self.key)  # rubbish, which nobody would compute anew while it counts as fresh
        return _Look(value, fresh == 1, locked == 1)

    def done(self, until: float) -> Any:
        """The value that is there, or that another instance computes by `until`, or our own."""
        look = self.look()
        while not (look.serves or look.locked or look.failed) and time.monotonic() < until:
            time.sleep(POLL_S * random.uniform(0.5, 1.5))  # noqa: S311  # not a secret
            look = self.look()
        observations.count("cache.hit" if look.serves else "cache.miss")
        if look.serves:
            return look.value
        if look.value is not MISSING:
            _flights().land(self.key, look.value)  # the old one, for whoever else asks in this instance meanwhile
        return self._computed(reachable=not look.failed)

    def _computed(self, *, reachable: bool) -> Any:
        text, kept_ms = None, 0
        try:
            value = self.compute()
            fresh_s = self.ttl_s if value is not None else self.negative_ttl_s
            kept_ms = _jittered_ms(fresh_s) + round(self.ttl_s * STALE_PART * 1000)
            text = _encoded(value) if fresh_s > 0 else None
            return value
        finally:
            if reachable:
                self._keep(text or "", kept_ms)

    def _keep(self, text: str, kept_ms: int) -> None:
        try:
            clients.redis().eval(KEEP, [_named(self.key), _lock(self.key)], [self.who, text, str(kept_ms)])
        except Exception as error:
            _failed("written", error)


class _Flights:
    """At most one computation of a key in this instance; whoever comes meanwhile takes its value, or the old one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[str, _Flight] = {}

    @contextmanager
    def one(self, key: str, until: float) -> Iterator[Any]:
        """Gives the value that another caller has found or computed, else MISSING: then it is ours to find.

        Where the other one fails, one of those who waited is the next; whoever has waited until `until` goes alone.
        """
        flight, leading = self._joined(key)
        while not leading:
            flight.landed.wait(max(0.0, until - time.monotonic()))
            if flight.value is not MISSING or time.monotonic() >= until:
                yield flight.value
                return
            flight, leading = self._joined(key)
        try:
            yield MISSING
        finally:
            with self._lock:
                del self._flights[key]
            flight.landed.set()

    def _joined(self, key: str) -> tuple[_Flight, bool]:
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = _Flight()
            return flight, True

    def land(self, key: str, value: Any) -> None:
        flight = self._flights.get(key)
        if flight is not None:
            flight.value = value
            flight.landed.set()


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
    """A value as it is stored; None for one that cannot be: no JSON, or too large."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if len(text) > COMPRESSED_BEYOND_BYTES:
            text = "z" + base64.b64encode(zlib.compress(text.encode(), 1)).decode()
        return text if len(text.encode()) <= LARGEST_BYTES else None
    except (TypeError, ValueError) as error:
        _failed("written", error)
        return None


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
