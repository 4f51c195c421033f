"""A circuit breaker: after some failures in a row a part is left alone, then one probe at a time asks again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Breaker:
    """Closed: calls go through. Open, after `failures` in a row: none does. Half-open, `probe_after_s` later: one does.

    A probe that is never heard of again (its thread died) is given up after the same time.
    """

    def __init__(self, failures: int, probe_after_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._most = failures
        self._probe_after_s = probe_after_s
        self._now = now
        self._lock = threading.Lock()
        self._failed = 0
        self._probe_at = float("-inf")

    @property
    def open(self) -> bool:
        return self._failed >= self._most

    def allows(self) -> bool:
        """Whether a call may be made now; where it is the probe, nobody else's is until it has ended."""
        if self._failed < self._most:
            return True
        with self._lock:
            if self._now() < self._probe_at:
                return False
            self._probe_at = self._now() + self._probe_after_s
            return True

    def succeeded(self) -> None:
        if self._failed:
            with self._lock:
                self._failed = 0

    def failed(self) -> None:
        with self._lock:
            self._failed += 1
            self._probe_at = self._now() + self._probe_after_s
