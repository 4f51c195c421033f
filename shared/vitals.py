"""CPU and memory of this instance, as shares of what it may use.

Deployed, an instance is a container, and its cgroup tells (version 2, else 1). Elsewhere several instances share a
machine, and the process tells, against the limits that INSTANCE_CPUS and INSTANCE_MEMORY_MIB name, else the machine's.
Sources: the kernel's cgroup-v2.rst and cgroup-v1/memory.rst; proc(5). Memory is the working set: what is used without
the page cache that the kernel gives back first (`inactive_file`), as Kubernetes counts it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

AT_MOST_EVERY_S = 5.0
_UNLIMITED_BYTES = 2**60  # version 1 has a huge number where there is no limit
_MIB = 2**20


@dataclass(frozen=True)
class Reading:
    cpu_s: float  # used since the beginning, by all threads
    cpus: float  # how many it may use
    memory_bytes: int
    memory_limit_bytes: int


def read_cgroup(root: Path = Path("/sys/fs/cgroup"), cpus: float | None = None) -> Reading | None:
    """What the cgroup at `root` tells; None where it tells no limit of memory, so is no container's."""
    try:
        if (root / "cgroup.controllers").exists():
            return _version_2(root, cpus)
        return _version_1(root, cpus)
    except (OSError, ValueError, KeyError, IndexError):
        return None


def _version_2(root: Path, cpus: float | None) -> Reading | None:
    limit = (root / "memory.max").read_text().strip()
    quota, period = (root / "cpu.max").read_text().split()
    if limit == "max":
        return None
    used = int((root / "memory.current").read_text()) - _keyed(root / "memory.stat")["inactive_file"]
    cpu_s = _keyed(root / "cpu.stat")["usage_usec"] / 1e6
    return Reading(cpu_s, (cpus or _machine_cpus()) if quota == "max" else int(quota) / int(period), used, int(limit))


def _version_1(root: Path, cpus: float | None) -> Reading | None:
    limit = int((root / "memory/memory.limit_in_bytes").read_text())
    quota = int((root / "cpu/cpu.cfs_quota_us").read_text())
    period = int((root / "cpu/cpu.cfs_period_us").read_text())
    if limit >= _UNLIMITED_BYTES:
        return None
    used = int((root / "memory/memory.usage_in_bytes").read_text())
    used -= _keyed(root / "memory/memory.stat")["total_inactive_file"]
    cpu_s = int((root / "cpuacct/cpuacct.usage").read_text()) / 1e9
    return Reading(cpu_s, (cpus or _machine_cpus()) if quota <= 0 else quota / period, used, limit)


def read_process(
    proc: Path = Path("/proc"), cpus: float | None = None, memory_mib: float | None = None
) -> Reading | None:
    """What the process tells; None on a system without /proc."""
    try:
        fields = (proc / "self/stat").read_text().rpartition(")")[2].split()
        cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime and stime
        resident = int((proc / "self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        machine = int((proc / "meminfo").read_text().split()[1]) * 1024  # MemTotal is its first line
    except (OSError, ValueError, IndexError):
        return None
    return Reading(cpu_s, cpus or _machine_cpus(), resident, int(memory_mib * _MIB) if memory_mib else machine)


def _keyed(path: Path) -> dict[str, int]:
    return {key: int(value) for key, value in (line.split() for line in path.read_text().splitlines())}


def _machine_cpus() -> float:
    return float(os.cpu_count() or 1)


def read(environment: Mapping[str, str]) -> Reading | None:
    """This instance's reading, from where it runs."""
    cpus = float(environment.get("INSTANCE_CPUS") or 0) or None
    if "K_SERVICE" in environment:
        found = read_cgroup(cpus=cpus)
        if found is not None:
            return found
    return read_process(cpus=cpus, memory_mib=float(environment.get("INSTANCE_MEMORY_MIB") or 0) or None)


class Vitals:
    """Shares since the reading before; a reading is taken at most once in five seconds."""

    def __init__(self, read: Callable[[], Reading | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._last: Reading | None = None
        self._at = float("-inf")
        self._shares: dict[str, float] = {}

    def sample(self) -> dict[str, float]:
        """`cpu` and `memory` from 0 to 1; `cpu` from the second reading on, nothing where nothing can be read."""
        with self._lock:
            now = self._clock()
            if now - self._at < AT_MOST_EVERY_S:
                return dict(self._shares)
            reading = self._read()
            shares: dict[str, float] = {}
            if reading is not None:
                shares["memory"] = _share(reading.memory_bytes, reading.memory_limit_bytes)
                if self._last is not None:
                    shares["cpu"] = _share(reading.cpu_s - self._last.cpu_s, (now - self._at) * reading.cpus)
            self._last, self._at, self._shares = reading, now, shares
            return dict(shares)


def _share(used: float, most: float) -> float:
    return round(min(max(used / most, 0.0), 1.0), 4) if most > 0 else 0.0


@cache
def _vitals() -> Vitals:
    return Vitals(lambda: read(os.environ))


def sample() -> dict[str, float]:
    return _vitals().sample()
