"""A part of the local cloud as a process of its own: for the contract tests of the small parts."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port: int = holder.getsockname()[1]
        return port


def eventually(check: Callable[[], Any], deadline_s: float = 20.0) -> Any:
    """The first true answer of a check, polled until a deadline."""
    deadline = time.monotonic() + deadline_s
    while not (value := check()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return value


@contextmanager
def running_process(
    command: list[str], port: int, path: str, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The process, from the moment it answers; ended with the block."""
    output = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        eventually(lambda: _answers(f"http://127.0.0.1:{port}{path}"))
        yield process
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def running_part(name: str, *options: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`python -m local.NAME`: its URL and its process."""
    port = free_port()
    command = [sys.executable, "-m", f"local.{name}", "--port", str(port), *options]
    with running_process(command, port, "/health") as process:
        yield f"http://127.0.0.1:{port}", process


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code < 500
    except requests.RequestException:
        return False
