"""Faults inside a function of the local cloud, for benchmarks/incidents.py: this folder stands first on PYTHONPATH.

A worker of the function `upload` does what the file PRODAI_FAULT says, as long as it says so: `cpu` burns a CPU,
`memory` fills the memory, `errors` makes requests fail, `slow` delays them, `region` loses the storage of eu.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FILE = os.environ.get("PRODAI_FAULT", "")
FULL = 0.93  # of the instance's memory
DELAY_S = 2.5


def _wanted() -> str:
    try:
        return Path(FILE).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


@contextlib.contextmanager
def _instead(module: str, name: str, made: Callable[[Any], Any]) -> Iterator[None]:
    """The function of a module that is loaded, replaced for a while."""
    before = getattr(sys.modules[module], name)
    setattr(sys.modules[module], name, made(before))
    try:
        yield
    finally:
        setattr(sys.modules[module], name, before)


def _burn() -> None:
    with contextlib.suppress(OSError):  # the machine may be busy with other things
        os.setpriority(os.PRIO_PROCESS, 0, -15)
    looked_at = time.monotonic()
    while time.monotonic() - looked_at < 0.5:
        sum(range(2_000))


def _fill() -> bytearray:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()
    resident = int(pages[1]) * os.sysconf("SC_PAGE_SIZE")
    wanted = int(float(os.environ["INSTANCE_MEMORY_MIB"]) * FULL * 2**20) - resident
    return bytearray(os.urandom(4096) * (max(wanted, 0) // 4096))


def _failing(before: Callable[..., Any]) -> Callable[..., Any]:
    def admit(*given: Any) -> Any:
        before(*given)
        raise RuntimeError("this request is made to fail")

    return admit


def _delayed(before: Callable[..., Any]) -> Callable[..., Any]:
    def admit(*given: Any) -> Any:
        time.sleep(DELAY_S)
        return before(*given)

    return admit


def _without_eu(before: Callable[..., Any]) -> Callable[..., Any]:
    def open_session(bucket: str, *given: Any) -> Any:
        if bucket.endswith("-eu"):
            raise ConnectionError("the storage of eu is stopped")
        return before(bucket, *given)

    return open_session


def _obey() -> None:
    changes = {
        "errors": ("shared.http", "admit", _failing),
        "slow": ("shared.http", "admit", _delayed),
        "region": ("uploads.sessions", "_open", _without_eu),
    }
    while True:
        wanted = _wanted()
        held = _fill() if wanted == "memory" else None
        with _instead(*changes[wanted]) if wanted in changes else contextlib.nullcontext():
            while _wanted() == wanted:
                if wanted == "cpu":
                    _burn()
                else:
                    time.sleep(0.2)
        del held


if FILE and "functions_framework" in " ".join(sys.orig_argv) and "upload" in sys.orig_argv:
    os.register_at_fork(after_in_child=lambda: threading.Thread(target=_obey, daemon=True).start())
