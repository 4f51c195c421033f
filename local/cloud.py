"""`prodai up`: one machine gets what production has, and everything is ended with it."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from local import emulators, model, parts, pubsub, readyfile
from local.logs import Log
from local.parts import PROJECT, RULES, Addresses
from local.processes import FreePorts, Part, Processes
from shared import plans

READY_DEADLINE_S = 60.0
LOGS_KEPT = 10


class Cloud:
    """A running local cloud."""

    def __init__(self, log: Log, addresses: Addresses, processes: Processes, ready_file: Path) -> None:
        self.log = log
        self.addresses = addresses
        self._processes = processes
        self._ready_file = ready_file

    def ready(self) -> dict[str, Any]:
        """The content of the ready file."""
        at = self.addresses
        return {
            "project": PROJECT,
            "upload": at.url("upload"),
            "chat": at.url("chat"),
            "metrics": at.url("metrics"),
            "firestore": at.host("firestore"),
            "pubsub": at.host("pubsub"),
            "storage": at.host("storage"),
            "upstash": {"url": at.url("upstash"), "token": at.token},
            "router": at.url("router"),
            "inbox": at.url("inbox"),
            "runApi": at.url("run_api"),
            "console": None,
            **({"model": at.url("model")} if "model" in at.ports else {}),
            "log": str(self.log.path),
            "pids": self._processes.pids,
        }

    def write_ready_file(self) -> None:
        readyfile.write(self._ready_file, self.ready())

    def watch(self, stop: threading.Event) -> str | None:
        return self._processes.watch(stop, self.write_ready_file)


@contextmanager
def running(
    stop: threading.Event,
    *,
    quiet: bool = False,
    ready_file: Path | None = None,
    with_model: bool = False,
    tell: Callable[[str], None],
) -> Iterator[Cloud]:
    """A local cloud, healthy inside the block and gone after it, whatever happens.

    Raises emulators.MissingPart, model.MissingModel or processes.StartError, each with what to do.
    """
    from local.logs import default_terminal

    emulators.firestore_command(0, RULES, PROJECT)  # what is missing is said before anything starts
    if with_model:
        model.check()
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    log = Log(readyfile.STATE / "logs" / f"{name}.log", None if quiet else default_terminal())
    _forget_old_logs(log.path.parent)
    own_file = ready_file or readyfile.STATE / f"ready-{name}.json"
    data = Path(tempfile.mkdtemp(prefix="prodai-"))
    ports = FreePorts()
    processes = Processes(log, ports, parts.ROOT)
    try:
        addresses = Addresses.choose(ports, with_model=with_model)
        cloud = Cloud(log, addresses, processes, own_file.resolve())
        _start_all(processes, addresses, data, stop, tell)
        cloud.write_ready_file()
        readyfile.LAST.write_text(str(own_file.resolve()), encoding="utf-8")
        yield cloud
    finally:
        processes.stop()
        own_file.unlink(missing_ok=True)
        shutil.rmtree(data, ignore_errors=True)
        log.close()


def up(ready_file: Path | None, tell: Callable[[str], None], *, with_model: bool = False) -> int:
    """Runs a local cloud until Ctrl-C or SIGTERM; 1 where a part it cannot do without has died."""
    stop = stop_on_signals()
    with running(stop, ready_file=ready_file, with_model=with_model, tell=tell) as cloud:
        tell(f"ready; log: {cloud.log.path}; Ctrl-C ends it")
        reason = cloud.watch(stop)
    tell("everything is ended" if reason is None else f"ended: {reason}")
    return 0 if reason is None else 1


def stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _start_all(
    processes: Processes, at: Addresses, data: Path, stop: threading.Event, tell: Callable[[str], None]
) -> None:
    emulator_parts, services = parts.emulator_parts(at), [*parts.service_parts(at, data), *parts.model_parts(at)]
    functions = parts.function_parts(at)
    for part in (*emulator_parts, *services, *functions):
        processes.start(part)
    _wait(processes, emulator_parts, stop)
    set_up_emulators(at.host("firestore"), at.host("pubsub"))
    events = parts.event_parts(at)
    for part in events:
        processes.start(part)
    everything = (*emulator_parts, *services, *functions, *events)
    _wait(processes, everything, stop)
    for part in everything:
        tell(f"{part.name:<17} http://127.0.0.1:{part.port}  pid {processes.pids[part.name]}")


def set_up_emulators(firestore: str, pub_sub: str) -> None:
    """The rules in force and tried, the plans, the topics. Raises emulators.RulesError or pubsub.PubSubError."""
    emulators.put_rules(firestore, PROJECT, RULES.read_text(encoding="utf-8"))
    emulators.check_canary(firestore, PROJECT)
    seed_plans(firestore)
    pubsub.set_up(pub_sub, PROJECT, parts.deployables())


def _wait(processes: Processes, waited: Sequence[Part], stop: threading.Event) -> None:
    processes.wait_ready([part.name for part in waited], READY_DEADLINE_S, stop)


def seed_plans(firestore: str) -> None:
    """Writes `plans/{plan}`, which the rules read, from the one table."""
    for name, row in plans.documents().items():
        write_document(firestore, f"plans/{name}", row)


def write_document(firestore: str, path: str, fields: Any) -> None:
    """Writes a document's given fields as the emulator's owner; others in it stay."""
    address = f"http://{firestore}/v1/projects/{PROJECT}/databases/(default)/documents/{path}"
    answer = requests.patch(
        address,
        params=[("updateMask.fieldPaths", key) for key in fields],
        json={"fields": {key: _value(value) for key, value in fields.items()}},
        headers={"Authorization": "Bearer owner"},
        timeout=emulators.REQUEST_DEADLINE_S,
    )
    answer.raise_for_status()


def _value(value: Any) -> dict[str, Any]:
    if value is None:
        return {"nullValue": None}
    if isinstance(value, bool):
        return {"booleanValue": value}
    if isinstance(value, int):
        return {"integerValue": str(value)}
    if isinstance(value, datetime):
        return {"timestampValue": value.astimezone(UTC).isoformat().replace("+00:00", "Z")}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(inner) for inner in value]}}
    if isinstance(value, Mapping):
        return {"mapValue": {"fields": {key: _value(inner) for key, inner in value.items()}}}
    return {"stringValue": str(value)}


def _forget_old_logs(folder: Path) -> None:
    for old in sorted(folder.glob("*.log"))[:-LOGS_KEPT]:
        old.unlink(missing_ok=True)
