"""The real Firestore emulator, with firestore.rules in force."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local import emulators, guard
from local.processes import FreePorts, answers_http
from shared import plans
from tests.rules.firestore import Firestore, replace

PROJECT = "demo-rules"
RULES = Path(__file__).parents[2] / "firestore.rules"
START_DEADLINE_S = 60.0


@contextmanager
def running_emulator() -> Iterator[Firestore]:
    """An emulator with firestore.rules in force and the plans seeded; ended afterwards, whatever happens.

    Raises emulators.MissingPart, emulators.RulesError or TimeoutError.
    """
    ports = FreePorts()
    port = ports.take()
    command = emulators.firestore_command(port, RULES, PROJECT)
    ports.release(port)
    with _ended_with_this_process(command) as process:
        _wait(process, port)
        firestore = Firestore(f"127.0.0.1:{port}", PROJECT)
        put_rules(firestore, RULES.read_text(encoding="utf-8"))
        emulators.check_canary(firestore.host, PROJECT)
        firestore.commit([replace(f"plans/{name}", row) for name, row in plans.documents().items()])
        yield firestore
        firestore.close()


def put_rules(firestore: Firestore, source: str) -> None:
    emulators.put_rules(firestore.host, firestore.project, source)


@contextmanager
def _ended_with_this_process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    watch = [sys.executable, "-S", guard.__file__]  # ends the emulator even where this process is killed
    with subprocess.Popen(watch, stdin=subprocess.PIPE, start_new_session=True, text=True) as watcher:
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
        try:
            print(f"+{process.pid}", file=watcher.stdin, flush=True)  # the guard's protocol
            yield process
        finally:
            process.kill()
            process.wait()
            print(f"-{process.pid}", file=watcher.stdin, flush=True)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    ready, deadline = answers_http(port, "/"), time.monotonic() + START_DEADLINE_S
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise TimeoutError("the Firestore emulator did not become ready")
        time.sleep(0.05)
