"""CPU and memory of an instance: from its container's cgroup of either version, else from its process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shared import vitals
from shared.vitals import Reading, Vitals, read_cgroup, read_process

MIB = 2**20


def lay(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


VERSION_2 = {
    "cgroup.controllers": "cpu memory",
    "cpu.max": "200000 100000",
    "cpu.stat": "usage_usec 7500000\nuser_usec 7000000",
    "memory.max": str(512 * MIB),
    "memory.current": str(300 * MIB),
    "memory.stat": f"anon 1\ninactive_file {100 * MIB}",
}
VERSION_1 = {
    "cpu/cpu.cfs_quota_us": "100000",
    "cpu/cpu.cfs_period_us": "100000",
    "cpuacct/cpuacct.usage": "7500000000",
    "memory/memory.limit_in_bytes": str(512 * MIB),
    "memory/memory.usage_in_bytes": str(300 * MIB),
    "memory/memory.stat": f"cache 1\ntotal_inactive_file {100 * MIB}",
}


def test_version_2_tells_cpu_by_its_quota_and_memory_without_the_cache_that_is_given_back(tmp_path: Path) -> None:
    assert read_cgroup(lay(tmp_path, VERSION_2)) == Reading(7.5, 2.0, 200 * MIB, 512 * MIB)


def test_version_1_tells_the_same(tmp_path: Path) -> None:
    assert read_cgroup(lay(tmp_path, VERSION_1)) == Reading(7.5, 1.0, 200 * MIB, 512 * MIB)


def test_without_a_quota_of_cpu_the_named_or_the_machines_count(tmp_path: Path) -> None:
    root = lay(tmp_path, VERSION_2 | {"cpu.max": "max 100000"})
    assert read_cgroup(root, cpus=4) == Reading(7.5, 4.0, 200 * MIB, 512 * MIB)
    found = read_cgroup(root)
    assert found is not None
    assert found.cpus == os.cpu_count()


@pytest.mark.parametrize(
    "files",
    [
        {},
        VERSION_2 | {"memory.max": "max"},
        VERSION_2 | {"memory.current": "rubbish"},
        VERSION_1 | {"memory/memory.limit_in_bytes": str(2**63 - 4096)},
    ],
)
def test_a_cgroup_without_a_limit_or_that_cannot_be_read_is_no_containers(
    tmp_path: Path, files: dict[str, str]
) -> None:
    assert read_cgroup(lay(tmp_path, files)) is None


def test_a_process_is_told_by_proc_whatever_its_name(tmp_path: Path) -> None:
    stat = f"42 (a) b ({' '.join(['x'])}) S " + " ".join(str(i) for i in range(10)) + " 250 50 0 0"
    pages = 3 * MIB // os.sysconf("SC_PAGE_SIZE")
    root = lay(tmp_path, {"self/stat": stat, "self/statm": f"9999 {pages} 1", "meminfo": "MemTotal: 2048 kB"})
    seconds = 300 / os.sysconf("SC_CLK_TCK")
    assert read_process(root, cpus=1) == Reading(seconds, 1, 3 * MIB, 2 * MIB)
    assert read_process(root, cpus=1, memory_mib=512) == Reading(seconds, 1, 3 * MIB, 512 * MIB)
    assert read_process(tmp_path / "nowhere") is None


def test_this_process_can_be_read_here() -> None:
    found = vitals.read({"INSTANCE_CPUS": "1", "INSTANCE_MEMORY_MIB": "512"})
    assert found is not None
    assert found.memory_bytes > 0
    assert (found.cpus, found.memory_limit_bytes) == (1.0, 512 * MIB)


def test_shares_are_of_the_time_since_the_reading_before_and_read_at_most_every_five_seconds() -> None:
    clock = [100.0]
    readings = iter([Reading(10.0, 2.0, 100, 400), Reading(19.0, 2.0, 300, 400), None, Reading(25.0, 2.0, 500, 400)])
    instance = Vitals(lambda: next(readings), lambda: clock[0])
    assert instance.sample() == {"memory": 0.25}
    clock[0] = 104.9
    assert instance.sample() == {"memory": 0.25}
    clock[0] = 110.0
    assert instance.sample() == {"memory": 0.75, "cpu": 0.45}
    clock[0] = 120.0
    assert instance.sample() == {}
    clock[0] = 130.0
    assert instance.sample() == {"memory": 1.0}
