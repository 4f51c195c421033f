"""Finished spans, sent to an OpenTelemetry collector over OTLP/HTTP in JSON, beside the work and never at its expense.

Written by hand, about a hundred lines, since the OpenTelemetry SDK and its exporter would cost every cold start some
50 ms and every bundle four packages, and make ids of its own where the events carry them already. Imported only where
a collector is set.
Source: OTLP specification 1.5, "OTLP/HTTP" and "JSON Protobuf Encoding" (ids in hexadecimal, 64-bit numbers as text).
"""

from __future__ import annotations

import atexit
import json
import threading
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]
KINDS: Mapping[Kind, int] = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
ERROR = 2  # STATUS_CODE_ERROR
KEPT_MOST = 2_048  # while the collector does not answer, the oldest beyond this are lost
AT_ONCE = 128
EVERY_S = 1.0
DEADLINE_S = 3.0


@dataclass(frozen=True)
class Span:
    trace_id: str  # 32 hexadecimal digits
    span_id: str  # 16
    parent_id: str  # 16, or none
    name: str
    kind: Kind
    start_ns: int  # since 1970
    end_ns: int
    attributes: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    error: str | None = None


def as_otlp(spans: Sequence[Span], service: str) -> dict[str, object]:
    """The body of an ExportTraceServiceRequest."""
    scope = {"scope": {"name": "prodai"}, "spans": [_span(span) for span in spans]}
    resource = {"attributes": [_attribute("service.name", service)]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}


def _span(span: Span) -> dict[str, object]:
    encoded: dict[str, object] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "name": span.name,
        "kind": KINDS[span.kind],
        "startTimeUnixNano": str(span.start_ns),
        "endTimeUnixNano": str(span.end_ns),
        "attributes": [_attribute(key, value) for key, value in span.attributes.items()],
    }
    if span.parent_id:
        encoded["parentSpanId"] = span.parent_id
    if span.error is not None:
        encoded["status"] = {"code": ERROR, "message": span.error}
    return encoded


def _attribute(key: str, value: str | int | float | bool) -> dict[str, object]:
    if isinstance(value, bool):
        return {"key": key, "value": {"boolValue": value}}
    if isinstance(value, int):
        return {"key": key, "value": {"intValue": str(value)}}
    if isinstance(value, float):
        return {"key": key, "value": {"doubleValue": value}}
    return {"key": key, "value": {"stringValue": value}}


class Exporter:
    """Takes spans at once and sends them from a thread of its own, again after a failure. `stop` sends what is left."""

    def __init__(self, endpoint: str, service: str, warn: Callable[[str], None]) -> None:
        """endpoint: as OTEL_EXPORTER_OTLP_ENDPOINT has it; spans go to its `/v1/traces`."""
        self._url = f"{endpoint}/v1/traces"
        self._service = service
        self._warn = warn
        self._waiting: deque[Span] = deque(maxlen=KEPT_MOST)
        self._stopping = threading.Event()
        self._start = threading.Lock()
        self._thread: threading.Thread | None = None
        self._away = False

    def take(self, span: Span) -> None:
        self._waiting.append(span)
        if self._thread is None:
            with self._start:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
                    self._thread.start()
                    atexit.register(self.stop)

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(DEADLINE_S)

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_S):
            self._send_waiting()
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            try:
                self._post(batch)
            except (OSError, urllib.error.HTTPError) as error:
                self._failed(batch, error)
                return
            self._away = False

    def _post(self, batch: Sequence[Span]) -> None:
        body = json.dumps(as_otlp(batch, self._service)).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})  # noqa: S310  # checked
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:  # noqa: S310  # a setting, checked
            answer.read()

    def _failed(self, batch: Sequence[Span], error: Exception) -> None:
        """What the collector refuses for good is dropped, the rest is tried again; an outage is said once."""
        refused = isinstance(error, urllib.error.HTTPError) and error.code not in {429, 502, 503, 504}
        if not refused:
            room = KEPT_MOST - len(self._waiting)
            self._waiting.extendleft(reversed(batch[-room:] if room else []))
        if not self._away:
            self._away = True
            self._warn(f"spans cannot be sent ({error})")
