"""The analysis engine.

Importing it tunes the process for it, before numpy loads:
- numpy's linear algebra gets one thread: two cost 1.8 times the CPU for 0.95 of the time;
- the C library keeps freed memory instead of giving every block's arrays back to the system and fetching them again,
  page by page (a sixth of the time), and keeps it in one place for all threads instead of one each (up to 4 MiB).
"""

import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # glibc's malloc.h
_KEPT_BYTES = 32 * 1024 * 1024

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(_name, "1")

if "CS_GNU_LIBC_VERSION" in os.confstr_names:
    _libc = ctypes.CDLL(None)
    _libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    _libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
    _libc.mallopt(_M_ARENA_MAX, 1)
