"""An answer that is worked out at most once in a while, and by one of those who ask at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Kept(Generic[Value]):
    def __init__(
        self, work_out: Callable[[datetime], Value], ttl_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._work_out = work_out
        self._ttl_s = ttl_s
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: tuple[float, Value] | None = None

    def get(self, now: datetime) -> Value:
        """The value, at most ttl_s old. An error is not kept: it is raised, and the next one asks again."""
        with self._lock:
            if self._kept is None or self._clock() - self._kept[0] >= self._ttl_s:
                self._kept = None
                self._kept = (self._clock(), self._work_out(now))
            return self._kept[1]
