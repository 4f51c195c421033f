"""One log for all parts of the local cloud: prefixed and coloured on the terminal, whole in one file."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import TextIO

_COLOURS = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)
_SEVERITY_COLOURS = {"WARNING": 33, "ERROR": 31, "CRITICAL": 31}
_HIDDEN = {"severity", "message", "logging.googleapis.com/trace", "logging.googleapis.com/spanId", "httpRequest"}


class Log:
    def __init__(self, path: Path, terminal: TextIO | None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._terminal = terminal
        self._coloured = terminal is not None and terminal.isatty()
        self._lock = threading.Lock()
        self._colours: dict[str, int] = {}

    def write(self, part: str, line: str, *, file_only: bool = False) -> None:
        """A line that a part has printed, or that is told of it."""
        with self._lock:
            stamp = time.strftime("%H:%M:%S")
            if not self._file.closed:
                self._file.write(f"{stamp} {part} {line}\n")
            if self._terminal is not None and not file_only:
                self._terminal.write(self._shown(stamp, part, line) + "\n")
                self._terminal.flush()

    def close(self) -> None:
        with self._lock:
            self._file.close()

    def _shown(self, stamp: str, part: str, line: str) -> str:
        severity, text = readable(line)
        colour = self._colours.setdefault(part, _COLOURS[len(self._colours) % len(_COLOURS)])
        head = self._paint(f"{stamp} {part:<17}", colour)
        return f"{head} {self._paint(text, _SEVERITY_COLOURS[severity]) if severity in _SEVERITY_COLOURS else text}"

    def _paint(self, text: str, colour: int) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text


def readable(line: str) -> tuple[str, str]:
    """The severity and the text of a line: structured ones become a sentence with its fields behind it."""
    try:
        entry = json.loads(line)
    except ValueError:
        return "", line
    if not isinstance(entry, dict) or "message" not in entry:
        return "", line
    request = entry.get("httpRequest") or {}
    fields = {"latency": request["latency"]} if "latency" in request else {}
    fields |= {key: value for key, value in entry.items() if key not in _HIDDEN}
    trace = str(entry.get("logging.googleapis.com/trace", "")).rpartition("/")[2]
    if trace:
        fields["trace"] = trace[:8]
    tail = " ".join(f"{key}={value}" for key, value in fields.items())
    return str(entry.get("severity", "")), f"{entry['message']}  {tail}".rstrip()


def default_terminal() -> TextIO:
    return sys.stderr
