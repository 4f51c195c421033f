"""The object storage as a process, and a Pub/Sub that remembers what it was told: for the contract tests of storage."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "demo-prodai"
BUCKET = "tracks-us"
QUANTUM = 256 * 1024


class FakePubSub:
    """Takes messages over Pub/Sub's REST interface; refuses them while `down`."""

    def __init__(self) -> None:
        self.down = False
        self.refused = 0
        self.paths: set[str] = set()
        self.messages: list[dict[str, Any]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = 503 if fake.down else 200
                fake.paths.add(self.path)
                fake.refused += fake.down
                fake.messages += [] if fake.down else body["messages"]
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def events(self, name: str) -> list[tuple[str, dict[str, Any], dict[str, str]]]:
        """(event type, object resource, attributes) of what was told of an object."""
        return [
            (m["attributes"]["eventType"], json.loads(base64.b64decode(m["data"])), m["attributes"])
            for m in list(self.messages)
            if m["attributes"]["objectId"] == name
        ]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class StorageProcess:
    """`python -m local.storage` over a folder; it can be killed and started again."""

    def __init__(self, data: Path, pubsub: FakePubSub, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as holder:
            self.port = holder.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.data = data
        self.output = b""
        self._command = [sys.executable, "-m", "local.storage", "--port", str(self.port), "--data", str(data)]
        self._command += [
            "--buckets",
            f"{BUCKET},tracks-eu",
            "--pubsub",
            pubsub.address,
            "--project",
            PROJECT,
            *options,
        ]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        wait_until(self._healthy)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    @property
    def pid(self) -> int:
        return self._process.pid

    @cached_property
    def client(self) -> Any:
        """Google's client, talking to this process."""
        os.environ["STORAGE_EMULATOR_HOST"] = self.url
        try:
            return Client(project=PROJECT, credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
        finally:
            del os.environ["STORAGE_EMULATOR_HOST"]

    def open_session(self, name: str, headers: dict[str, str] | None = None, **parameters: str) -> requests.Response:
        address = f"{self.url}/upload/storage/v1/b/{BUCKET}/o"
        query = {"uploadType": "resumable", "name": name, **parameters}
        return requests.post(address, params=query, headers=headers, timeout=10)

    def session(self, name: str, size: int | None = None, **parameters: str) -> str:
        """The address of a new session."""
        headers = {} if size is None else {"X-Upload-Content-Length": str(size)}
        opened = self.open_session(name, headers, **parameters)
        assert opened.status_code == 200, opened.text
        return opened.headers["Location"]

    def content(self, name: str) -> bytes | None:
        """The object's bytes, None where there is no object."""
        address = f"{self.url}/download/storage/v1/b/{BUCKET}/o/{quote(name, safe='')}"
        answer = requests.get(address, params={"alt": "media"}, timeout=10)
        assert answer.status_code in (200, 404), answer.text
        return answer.content if answer.status_code == 200 else None

    def _healthy(self) -> bool:
        assert self._process.poll() is None, self._process.stdout and self._process.stdout.read()
        try:
            answer: dict[str, bool] = requests.get(self.url + "/health", timeout=1).json()
        except requests.ConnectionError:
            return False
        return answer == {"ok": True}

    def _end(self, number: int) -> int:
        if self._process.poll() is None:
            self._process.send_signal(number)
        output, _ = self._process.communicate(timeout=10)
        self.output += output
        return self._process.returncode


def wait_until(true: Callable[[], bool], deadline_s: float = 15.0) -> None:
    deadline = time.monotonic() + deadline_s
    while not true():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.02)


@contextmanager
def running_storage(data: Path, *options: str) -> Iterator[tuple[StorageProcess, FakePubSub]]:
    pubsub = FakePubSub()
    process = StorageProcess(data, pubsub, *options)
    try:
        yield process, pubsub
    finally:
        process.kill()
        process.client.close()
        pubsub.close()
