"""Structured logs as Cloud Logging wants them, and the trace that follows a track from upload to chat.

The trace travels as a W3C `traceparent`: in HTTP headers, in the metadata of an object, in the attributes of a message.
Its spans go to an OpenTelemetry collector where one is set (shared/spans.py); otherwise they cost nothing.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.spans import Exporter, Kind

_SEVERITIES = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
_TRACEPARENT = re.compile(r"^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$")


@dataclass(frozen=True)
class Trace:
    """A position in a trace: W3C Trace Context, level 1, section 3.2."""

    trace_id: str
    span_id: str
    parent_id: str = ""
    attributes: dict[str, str | int | float | bool] = field(default_factory=dict, compare=False, repr=False)

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-01"


@dataclass
class _Output:
    level: int = _SEVERITIES["INFO"]
    project: str = ""
    exporter: Exporter | None = None


_output = _Output()
_lock = threading.Lock()
_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def set_up(level: str, project: str) -> None:
    _output.level = _SEVERITIES[level]
    _output.project = project


def export_to(endpoint: str, service: str) -> None:
    """From now on spans go to the collector at this address, as OTEL_EXPORTER_OTLP_ENDPOINT has it."""
    from shared.spans import Exporter

    _output.exporter = Exporter(endpoint, service, warning)


def continued(traceparent: str | None) -> Trace:
    """A new span of the given trace, or of a new trace where none is given or it is malformed."""
    match = _TRACEPARENT.match(traceparent or "")
    valid = match is not None and set(match[1]) != {"0"} and set(match[2]) != {"0"}
    trace_id = match[1] if match and valid else secrets.token_hex(16)
    return Trace(trace_id, secrets.token_hex(8), match[2] if match and valid else "")


@contextmanager
def tracing(trace: Trace, name: str = "work", kind: Kind = "INTERNAL") -> Iterator[Trace]:
    """Logs and events made inside belong to this trace, and the time inside is its span."""
    token = _current.set(trace)
    if _output.exporter is None:
        try:
            yield trace
        finally:
            _current.reset(token)
        return
    start_ns, failure = time.time_ns(), None
    try:
        yield trace
    except BaseException as error:
        failure = type(error).__name__
        raise
    finally:
        _current.reset(token)
        _export(trace, name, kind, start_ns, failure)


def _export(trace: Trace, name: str, kind: Kind, start_ns: int, failure: str | None) -> None:
    from shared.spans import Span

    attributes = dict(trace.attributes)
    name = str(attributes.pop("name", name))
    failed = attributes.get("http.response.status_code", 0) in range(500, 600)
    error = failure or ("answered 5xx" if failed else None)
    span = Span(trace.trace_id, trace.span_id, trace.parent_id, name, kind, start_ns, time.time_ns(), attributes, error)
    if _output.exporter is not None:
        _output.exporter.take(span)


@contextmanager
def span(name: str, kind: Kind = "INTERNAL") -> Iterator[Trace]:
    """A step of the work in hand, as a span within the current one."""
    parent = current_trace()
    with tracing(Trace(parent.trace_id, secrets.token_hex(8), parent.span_id), name, kind) as inner:
        yield inner


def describe(attributes: Mapping[str, str | int | float | bool]) -> None:
    """Says more of the current span, by OpenTelemetry's names of attributes; `name` renames it."""
    trace = _current.get()
    if trace is not None and _output.exporter is not None:
        trace.attributes.update(attributes)


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
