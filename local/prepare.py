"""Lets the emulators start in half the time: one run of each keeps the classes it loads (class-data sharing, JEP 350).

    python -m local.prepare

Part of the set-up, and no more than a convenience: where it cannot be done, it says why, and everything runs without.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from local import cloud, emulators, pubsub
from local.parts import PROJECT, RULES
from local.processes import FreePorts, answers_http

READY_DEADLINE_S = 60.0
WRITING_DEADLINE_S = 60.0
STOPPED_BY_SIGTERM = 143


class Failed(Exception):  # noqa: N818  # as in: preparing failed
    """No archive was made; the message says why."""


def main() -> None:
    try:
        archives = [emulators.class_archive(emulator) for emulator in (emulators.FIRESTORE, emulators.PUBSUB)]
        if not all(archive.exists() for archive in archives):
            print("preparing the emulators for fast starts (once) …")
            _make(*archives)
    except (emulators.MissingPart, emulators.RulesError, pubsub.PubSubError, Failed, OSError) as reason:
        print(f"the emulators were not prepared: {reason}", file=sys.stderr)


def _make(firestore: Path, pub_sub: Path) -> None:
    """Starts both emulators, sets them up as a local cloud does, and keeps what they loaded when they end."""
    ports = FreePorts()
    at = {"firestore": ports.take(), "pubsub": ports.take()}
    firestore.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=firestore.parent) as folder:
        made = {name: Path(folder, f"{name}.jsa") for name in at}
        for port in at.values():
            ports.release(port)
        running = [
            _start(emulators.firestore_command(at["firestore"], RULES, PROJECT), made["firestore"]),
            _start(emulators.pubsub_command(at["pubsub"]), made["pubsub"]),
        ]
        try:
            for port in at.values():
                _wait_for(port)
            cloud.set_up_emulators(f"127.0.0.1:{at['firestore']}", f"127.0.0.1:{at['pubsub']}")
        finally:
            for process in running:
                process.terminate()
            codes = [_ended(process) for process in running]
        if codes != [STOPPED_BY_SIGTERM] * len(codes):
            raise Failed(f"they ended with {codes}")
        made["firestore"].replace(firestore)
        made["pubsub"].replace(pub_sub)


def _start(command: Sequence[str], archive: Path) -> subprocess.Popen[bytes]:
    java, *options = command
    keeping = [java, f"-XX:ArchiveClassesAtExit={archive}", "-Xlog:disable", *options]
    return subprocess.Popen(keeping, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _wait_for(port: int) -> None:
    ready, deadline = answers_http(port, "/"), time.monotonic() + READY_DEADLINE_S
    while not ready():
        if time.monotonic() > deadline:
            raise Failed(f"an emulator was not ready after {READY_DEADLINE_S:.0f} s")
        time.sleep(0.05)


def _ended(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(WRITING_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


if __name__ == "__main__":
    main()
