"""The same sliding windows in this instance's memory, for when Redis does not answer."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from shared.policies import Policy

REMEMBERED_MOST = 10_000


class LocalLimiter:
    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def judge(self, policy: Policy, subject: str) -> tuple[bool, int, int]:
        """Whether a request is allowed (and then counted), what remains, and ms until the oldest leaves the window."""
        now = self._now()
        with self._lock:
            times = self._times.setdefault(subject, deque())
            self._times.move_to_end(subject)
            if len(self._times) > REMEMBERED_MOST:
                self._times.popitem(last=False)
            while times and times[0] <= now - policy.window_s:
                times.popleft()
            allowed = len(times) < policy.quota
            if allowed:
                times.append(now)
            reset_ms = math.ceil((times[0] + policy.window_s - now) * 1000) if times else policy.window_s * 1000
            return allowed, policy.quota - len(times), reset_ms
