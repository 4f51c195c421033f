"""Uploads: a session against a raw PUT of the same bytes, a slow line, and the memory of the functions.

    python -m benchmarks.uploads [session] [line] [memory]     all three without an argument

session   50 MB through a resumable session, as `prodai upload` sends them, and in the same run, in turns, a raw PUT of
          the same bytes to the same storage by a signed URL. Aim: at most 1.1 times.
line      the same over a line of 20 Mbit/s, which needs 20 s for the bytes alone. Aim: below 30 s.
memory    500 uploads announced, sent and judged; the resident memory of both functions on the way. Aim: flat.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import requests
from google.oauth2 import service_account

from local import cloud
from local.client import Client, Rest
from local.user import make_user
from tests.contract.line import Line
from tests.contract.storage_process import BUCKET, StorageProcess, running_storage

SIZE_BYTES = 50_000_000
ROUNDS = 16
LINE_BYTES_PER_S = 20e6 / 8
UPLOADS, WARM_UP, EVERY = 500, 100, 100
PER_USER = 5
FILE = b"RIFF\xf4\x01\0\0WAVE" + b"no audio".ljust(988, b".")  # passes upload's check; analyze refuses it at once


def session_table(storage: StorageProcess, path: Path) -> None:
    signed = iter([signed_url(storage, f"raw-{n}") for n in range(ROUNDS + 1)])  # signing is not what is compared
    names = iter([f"session-{n}" for n in range(ROUNDS + 1)])
    ways: dict[str, Callable[[], None]] = {
        "raw PUT": lambda: raw_put(path, next(signed)),
        "session (opened, sent, stored)": lambda: through_session(storage, path, next(names)),
    }
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for n in range(-1, ROUNDS):  # the first one warms up
        for name, way in list(ways.items())[:: -1 if n % 2 else 1]:  # each goes first as often as the other
            started, used = time.perf_counter(), cpu_seconds(storage)
            way()
            if n >= 0:
                wall[name].append(time.perf_counter() - started)
                cpu[name].append(cpu_seconds(storage) - used)
    print(f"\n50 MB on loopback, {ROUNDS} rounds in turns\n{'ms':32}{'best':>8} {'median':>8} {'CPU, mean':>10}")
    rows = [(min(wall[n]), statistics.median(wall[n]), statistics.mean(cpu[n])) for n in ways]
    for name, row in zip(ways, rows, strict=True):
        print(f"{name:32}{1000 * row[0]:8.0f} {1000 * row[1]:8.0f} {1000 * row[2]:10.0f}")
    ratios = [through / raw for raw, through in zip(*rows, strict=True)]
    print(f"{'session / raw PUT; aim <= 1.1':32}{ratios[0]:8.2f} {ratios[1]:8.2f} {ratios[2]:10.2f}")
    print("CPU of the client and the storage together: the figure that a busy machine disturbs least")


def cpu_seconds(storage: StorageProcess) -> float:
    """Used so far by this process and by the storage."""
    fields = Path(f"/proc/{storage.pid}/stat").read_text().rpartition(")")[2].split()
    return time.process_time() + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def line_table(storage: StorageProcess, path: Path) -> None:
    line = Line(storage.port, LINE_BYTES_PER_S)
    started = time.perf_counter()
    through_session(storage, path, "slow", line)
    seconds, bare = time.perf_counter() - started, SIZE_BYTES / LINE_BYTES_PER_S
    line.close()
    print(f"\n50 MB over 20 Mbit/s: {seconds:.1f} s ({seconds / bare:.2f} times the bytes alone); aim < 30 s")


def signed_url(storage: StorageProcess, name: str) -> str:
    key = str(storage.data / "service-account.json")
    credentials = service_account.Credentials.from_service_account_file(key)  # type: ignore[no-untyped-call]
    url: str = (
        storage.client.bucket(BUCKET)
        .blob(name)
        .generate_signed_url(version="v4", method="PUT", credentials=credentials, expiration=timedelta(minutes=15))
    )
    return url


def raw_put(path: Path, url: str) -> None:
    """The file is read and sent in the same blocks as in a session, so that only the session makes a difference."""
    with path.open("rb") as file:
        requests.put(url, data=Rest(file, 0, SIZE_BYTES, lambda _: None), timeout=60).raise_for_status()


def through_session(storage: StorageProcess, path: Path, name: str, line: Line | None = None) -> None:
    url = storage.session(name, SIZE_BYTES, ifGenerationMatch="0")
    Client({}, "").send({"uploadUrl": line.through(url) if line else url}, path, lambda _: None)


def memory_table() -> None:
    stop = threading.Event()
    with cloud.running(stop, quiet=True, tell=lambda _: None) as running:
        ready = running.ready()
        pids = {name: running.ready()["pids"][name] for name in ("upload", "upload-finalized")}
        print(f"\nMemory of the functions in MB\n{'uploads':>8} " + " ".join(f"{name:>18}" for name in pids))
        measured: dict[str, dict[int, float]] = {name: {} for name in pids}
        for done in range(0, WARM_UP + UPLOADS, EVERY):
            announce_and_send(ready, done)
            for name, pid in pids.items():
                measured[name][done + EVERY] = resident_mb(pid)
            row = " ".join(f"{measured[name][done + EVERY]:18.1f}" for name in pids)
            print(f"{done + EVERY:8} {row}", flush=True)
        for name, by_count in measured.items():
            grown = by_count[WARM_UP + UPLOADS] - by_count[WARM_UP]
            print(f"{name}: {grown:+.1f} MB in {UPLOADS} uploads after {WARM_UP}; aim: flat")


def announce_and_send(ready: dict[str, Any], first: int) -> None:
    """EVERY uploads, of users who each have a few, and waits until each has been judged."""

    def one_user(number: int) -> None:
        uid = f"producer-{number}"
        headers = {"Authorization": f"Bearer {make_user(ready, uid, 'pro', {})}"}
        body = {"filename": "song.wav", "sizeBytes": len(FILE), "contentType": "audio/wav"}
        for _ in range(PER_USER):
            upload = requests.post(f"{ready['upload']}/v1/uploads", json=body, headers=headers, timeout=30).json()
            requests.put(upload["uploadUrl"], data=FILE, timeout=30).raise_for_status()
            status: dict[str, Any] = {}
            while status.get("state", "awaiting-upload") == "awaiting-upload":
                time.sleep(0.05)
                address = f"{ready['upload']}/v1/uploads/{upload['trackId']}"
                status = requests.get(address, headers=headers, timeout=30).json()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one_user, range(first // PER_USER, (first + EVERY) // PER_USER)))


def resident_mb(pid: int) -> float:
    """Of a function's process and its workers."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    fields = Path(f"/proc/{pid}/smaps_rollup").read_text().split()
    return int(fields[fields.index("Rss:") + 1]) / 1000 + sum(resident_mb(int(child)) for child in children)


def main() -> None:
    asked = sys.argv[1:] or ["session", "line", "memory"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "song.wav"
        path.write_bytes(os.urandom(SIZE_BYTES))
        with running_storage(Path(folder) / "storage") as (storage, _):
            if "session" in asked:
                session_table(storage, path)
            if "line" in asked:
                line_table(storage, path)
    if "memory" in asked:
        memory_table()


if __name__ == "__main__":
    main()
