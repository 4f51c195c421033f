"""Keeps a C library's chatter off our standard error.

libmpg123 writes its warnings to C's `stderr`, and libsndfile has no switch for it. Pointing file descriptor 2 elsewhere
would swallow what other threads log meanwhile. C's `stderr` is a variable, though, and Python does not use it: while
somebody decodes, it points to a stream on the null device. Two pointer writes, no system call, and Python's own
standard error is never touched.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def c_stderr_muted() -> Iterator[None]:
    """May be entered by several threads; ends with the last one. Does nothing where `stderr` is not a variable."""
    _muting.enter()
    try:
        yield
    finally:
        _muting.leave()


class _Muting:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._kept: int | None = None
        self._null: int | None = None
        self._variable = _variable()

    def enter(self) -> None:
        with self._lock:
            self._users += 1
            if self._variable is None or self._users > 1:
                return
            self._null = self._null or _open_null()
            if self._null:
                self._kept, self._variable.value = self._variable.value, self._null

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._variable is not None and self._users == 0 and self._null:
                self._variable.value = self._kept


def _variable() -> ctypes.c_void_p | None:
    if sys.platform == "darwin":
        return ctypes.c_void_p.in_dll(ctypes.CDLL(None), "__stderrp")
    if "CS_GNU_LIBC_VERSION" in os.confstr_names and os.confstr("CS_GNU_LIBC_VERSION"):  # musl's is read-only
        return ctypes.c_void_p.in_dll(ctypes.CDLL(None), "stderr")
    return None


def _open_null() -> int | None:
    fopen = ctypes.CDLL(None).fopen
    fopen.restype, fopen.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_char_p)
    opened: int | None = fopen(b"/dev/null", b"w")
    return opened


_muting = _Muting()
