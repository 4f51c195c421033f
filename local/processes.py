"""The processes of the local cloud: each in a group of its own, watched, started again or ended with all others."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local.logs import Log

STOP_GRACE_S = 4.0
RESTARTS_MOST = 5  # within a minute; a part that dies more often than that cannot run


class StartError(Exception):
    """A part did not start; the message names it and says where to look."""


@dataclass(frozen=True)
class Part:
    """A process of the local cloud: how it is started, how one sees that it is ready."""

    name: str
    command: Sequence[str]
    port: int
    ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    restarted: bool = True  # False: the state dies with it, so the cloud ends
    chatty: bool = False  # True: what it prints goes to the log's file only
    outlives: bool = False  # True: ended after the others, which tell it something as they end


class FreePorts:
    """Ports that the kernel chose, held until their part starts, so that no two parts get the same."""

    def __init__(self) -> None:
        self._held: dict[int, socket.socket] = {}

    def take(self) -> int:
        holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        self._held[port] = holder
        return port

    def release(self, port: int) -> None:
        holder = self._held.pop(port, None)
        if holder is not None:
            holder.close()


def answers_http(port: int, path: str) -> Callable[[], bool]:
    """A health check: any HTTP answer below 500, refusals of the method or path among them."""

    def check() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return check


def accepts_tcp(port: int) -> Callable[[], bool]:
    def check() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    return check


class Processes:
    """Starts parts, watches them, and ends them all; the guard ends them where this process no longer can."""

    def __init__(self, log: Log, ports: FreePorts, root: Path) -> None:
        self._log = log
        self._ports = ports
        self._root = root
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._parts: dict[str, Part] = {}
        self._restarts: dict[str, list[float]] = {}
        self._stopping = False
        self._lock = threading.RLock()
        self._guard = subprocess.Popen(
            [sys.executable, "-S", str(Path(__file__).with_name("guard.py"))],
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )

    @property
    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self._running.items()}

    def start(self, part: Part) -> None:
        self._ports.release(part.port)
        with self._lock:
            self._parts[part.name] = part
            self._spawn(part)

    def wait_ready(self, names: Sequence[str], deadline_s: float, stop: threading.Event) -> None:
        """Waits until parts answer their health checks. Raises StartError naming one that died or stayed silent."""
        deadline = time.monotonic() + deadline_s
        for name in names:
            while not self._parts[name].ready():
                if stop.is_set():
                    raise StartError("stopped while starting")
                code = self._running[name].poll()
                if code is not None:
                    raise StartError(f"{name} ended with {code} while starting; the log says why: {self._log.path}")
                if time.monotonic() > deadline:
                    raise StartError(f"{name} was not ready after {deadline_s:.0f} s; see {self._log.path}")
                time.sleep(0.05)

    def watch(self, stop: threading.Event, on_restart: Callable[[], None]) -> str | None:
        """Runs until told to stop (None), or until a part is gone that cannot be started again (why)."""
        while not stop.wait(0.1):
            for name, process in list(self._running.items()):
                code = process.poll()
                if code is None:
                    continue
                part = self._parts[name]
                if not part.restarted:
                    return f"{name} ended with {code}, and its state with it"
                if self._restarts_too_often(name):
                    return f"{name} ended {RESTARTS_MOST} times within a minute; see {self._log.path}"
                self._log.write(name, f"ended with {code}; starting it again")
                self._end_group(process.pid, signal.SIGKILL)
                self._spawn(part)
                on_restart()
        return None

    def stop(self) -> None:
        """Ends every process: SIGTERM first, SIGKILL after a grace period; then the guard, which sees nothing left."""
        with self._lock:
            self._stopping = True
        last = {name for name, part in self._parts.items() if part.outlives}
        self._end([process for name, process in self._running.items() if name not in last])
        self._end([process for name, process in self._running.items() if name in last])
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        self._guard.wait()

    def _end(self, running: Sequence[subprocess.Popen[str]]) -> None:
        for process in running:
            self._end_group(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_GRACE_S
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.05, deadline - time.monotonic()))
            self._end_group(process.pid, signal.SIGKILL)
            process.wait()

    def _spawn(self, part: Part) -> None:
        process = subprocess.Popen(
            part.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **part.environment},
            cwd=self._root,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        self._running[part.name] = process
        self._tell_guard(f"+{process.pid}")
        threading.Thread(target=self._pump, args=(part, process), daemon=True).start()

    def _pump(self, part: Part, process: subprocess.Popen[str]) -> None:
        if process.stdout is None:
            return
        with process.stdout as lines:
            for line in lines:
                if line.strip():
                    self._log.write(part.name, line.rstrip("\n"), file_only=part.chatty)

    def _restarts_too_often(self, name: str) -> bool:
        now = time.monotonic()
        recent = [moment for moment in self._restarts.get(name, []) if now - moment < 60]
        self._restarts[name] = [*recent, now]
        return len(recent) >= RESTARTS_MOST

    def _end_group(self, group: int, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
        if number == signal.SIGKILL:
            self._tell_guard(f"-{group}")

    def _tell_guard(self, line: str) -> None:
        if self._guard.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._guard.stdin.write(line + "\n")
                self._guard.stdin.flush()
