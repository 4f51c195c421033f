"""Ends every process group of a local cloud when its launcher is gone, whatever ended the launcher.

The launcher holds the other end of this process's stdin and writes `+PGID` and `-PGID` lines. When the pipe closes
(on a normal end, a crash or a `kill -9`), the groups that are left get SIGTERM and, after a grace period, SIGKILL.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

GRACE_S = 5.0


def main() -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        sign, group = line[0], int(line[1:])
        groups.add(group) if sign == "+" else groups.discard(group)
    _signal_all(groups, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while (groups := {g for g in groups if _alive(g)}) and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal_all(groups, signal.SIGKILL)


def _signal_all(groups: set[int], number: int) -> None:
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    main()
