"""A local cloud, started as a user starts it, and what tests do with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local import guard as guard_module
from local.client import Client
from local.user import make_user

START_DEADLINE_S = 90.0
GUARD = Path(guard_module.__file__)
_guards: list[subprocess.Popen[bytes]] = []


def start_cloud(ready_file: Path) -> subprocess.Popen[bytes]:
    """`prodai up`, whose ready file is waited for."""
    command = [sys.executable, "-m", "local.cli", "up", "--ready-file", str(ready_file)]
    log = ready_file.with_suffix(".out").open("wb")
    # A busy machine is slow, which is an incident: what the system does about it must not come between the tests.
    calm = {**os.environ, "ACTIONS": "dry-run"}
    process = subprocess.Popen(command, env=calm, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    log.close()
    _end_with_this_process(process)
    deadline = time.monotonic() + START_DEADLINE_S
    while not ready_file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail("prodai up did not become ready:\n" + ready_file.with_suffix(".out").read_text()[-3000:])
        time.sleep(0.1)
    return process


def _end_with_this_process(process: subprocess.Popen[bytes]) -> None:
    """Where the tests crash or are killed, the cloud must not stay."""
    guard = subprocess.Popen([sys.executable, "-S", str(GUARD)], stdin=subprocess.PIPE, start_new_session=True)
    assert guard.stdin is not None
    guard.stdin.write(f"+{process.pid}\n".encode())
    guard.stdin.flush()
    _guards.append(guard)


def end_guards() -> None:
    """Waits until everything that was started is gone."""
    for guard in _guards:
        assert guard.stdin is not None
        guard.stdin.close()
        guard.wait(20)


def end_cloud(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def eventually(check: Callable[[], Any], deadline_s: float = 30.0) -> Any:
    """The first true answer of a check, polled until a deadline."""
    deadline = time.monotonic() + deadline_s
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail("it did not happen in time")
        time.sleep(0.2)


class LocalCloud:
    """The running cloud, and what tests do with it."""

    def __init__(self, ready_file: Path) -> None:
        self._ready_file = ready_file

    @property
    def ready(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self._ready_file.read_text(encoding="utf-8"))
        return content

    def token(self, uid: str, plan: str = "pro", claims: dict[str, Any] | None = None) -> str:
        return make_user(self.ready, uid, plan, claims or {})

    def client(self, uid: str, plan: str = "pro") -> Client:
        return Client(self.ready, self.token(uid, plan))

    def document(self, path: str, token: str = "owner") -> Any:
        """A document's fields through Firestore's own interface, as the owner or as a user; None for none."""
        import requests

        base = f"http://{self.ready['firestore']}/v1/projects/{self.ready['project']}/databases/(default)/documents"
        answer = requests.get(f"{base}/{path}", headers={"Authorization": f"Bearer {token}"}, timeout=10)
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        body = answer.json()
        if "fields" in body:
            return {key: _plain(value) for key, value in body["fields"].items()}
        return [d["name"].rpartition("/")[2] for d in body.get("documents", [])]

    def usage(self, uid: str) -> dict[str, Any]:
        """This month's usage of a user."""
        found: dict[str, Any] = self.document(f"usage/{uid}_{time.strftime('%Y%m', time.gmtime())}") or {}
        return found

    def replay(self, subscription: str, last: int) -> None:
        """Delivers the last events of a subscription once more, as Pub/Sub may."""
        import requests

        body = {"subscription": subscription, "last": last}
        requests.post(f"{self.ready['router']}/replay", json=body, timeout=30).raise_for_status()


def _plain(value: dict[str, Any]) -> Any:
    kind, content = next(iter(value.items()))
    if kind == "integerValue":
        return int(content)
    if kind == "mapValue":
        return {key: _plain(inner) for key, inner in content.get("fields", {}).items()}
    if kind == "arrayValue":
        return [_plain(inner) for inner in content.get("values", [])]
    return content
