"""Structured logs as Cloud Logging wants them, and the trace that follows a track from upload to chat.

The trace travels as a W3C `traceparent`: in HTTP headers, in the metadata of an object, in the attributes of a message.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

_SEVERITIES = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
_TRACEPARENT = re.compile(r"^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$")


@dataclass(frozen=True)
class Trace:
    """A position in a trace: W3C Trace Context, level 1, section 3.2."""

    trace_id: str
    span_id: str

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-01"


@dataclass
class _Output:
    level: int = _SEVERITIES["INFO"]
    project: str = ""


_output = _Output()
_lock = threading.Lock()
_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def set_up(level: str, project: str) -> None:
    _output.level = _SEVERITIES[level]
    _output.project = project


def continued(traceparent: str | None) -> Trace:
    """A new span of the given trace, or of a new trace where none is given or it is malformed."""
    match = _TRACEPARENT.match(traceparent or "")
    valid = match is not None and set(match[1]) != {"0"} and set(match[2]) != {"0"}
    trace_id = match[1] if match and valid else secrets.token_hex(16)
    return Trace(trace_id, secrets.token_hex(8))


@contextmanager
def tracing(trace: Trace) -> Iterator[Trace]:
    """Logs and events made inside belong to this trace."""
    token = _current.set(trace)
    try:
        yield trace
    finally:
        _current.reset(token)


def current_trace() -> Trace:
    return _current.get() or continued(None)


def emit(severity: str, message: str, **fields: object) -> None:
    """Writes one line of JSON to stdout. Fields must not hold tokens, session addresses or file names."""
    if _SEVERITIES[severity] < _output.level:
        return
    entry: dict[str, object] = {"severity": severity, "message": message, **fields}
    trace = _current.get()
    if trace is not None:
        entry["logging.googleapis.com/trace"] = f"projects/{_output.project}/traces/{trace.trace_id}"
        entry["logging.googleapis.com/spanId"] = trace.span_id
    line = json.dumps(entry, ensure_ascii=False, default=str)
    with _lock:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def info(message: str, **fields: object) -> None:
    emit("INFO", message, **fields)


def warning(message: str, **fields: object) -> None:
    emit("WARNING", message, **fields)


def error(message: str, **fields: object) -> None:
    emit("ERROR", message, **fields)
