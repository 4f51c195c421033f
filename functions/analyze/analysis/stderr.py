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

_lock = threading.Lock()
_users = 0
_kept: int | None = None
_null: int | None = None


@contextmanager
def c_stderr_muted() -> Iterator[None]:
    """May be entered by several threads; ends with the last one. Does nothing where `stderr` is not a variable."""
    variable = _variable()
    if variable is None:
        yield
        return
    _enter(variable)
    try:
        yield
    finally:
        _leave(variable)


def _enter(variable: ctypes.c_void_p) -> None:
    global _users, _kept, _null
    with _lock:
        if _null is None:
            _null = _open_null()
        if _users == 0 and _null is not None:
            _kept, variable.value = variable.value, _null
        _users += 1


def _leave(variable: ctypes.c_void_p) -> None:
    global _users
    with _lock:
        _users -= 1
        if _users == 0 and _null is not None:
            variable.value = _kept


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
