"""Spans: from the request over the published event to its work, sent to a collector where one is set; else free."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from shared import events, http, telemetry
from shared.events import Event
from shared.http import Answer, Endpoint, Request
from shared.spans import Exporter, Span
from tests.unit.test_events import pubsub_event

PARENT = "00-" + "1f" * 16 + "-" + "2e" * 8 + "-01"


class Collector:
    """An OTLP/HTTP collector: keeps what it is sent, and answers as it is told to."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.answers: list[int] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = collector.answers.pop(0) if collector.answers else 200
                if status == 200:
                    collector.bodies.append(body)
                    collector.paths.append(f"{self.path} {self.headers['Content-Type']}")
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def spans(self) -> list[dict[str, Any]]:
        scopes = [scope for body in self.bodies for r in body["resourceSpans"] for scope in r["scopeSpans"]]
        return [span for scope in scopes for span in scope["spans"]]


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.close()


@pytest.fixture
def exporter(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[Exporter]:
    made = Exporter(collector.url, "test", pytest.fail)
    monkeypatch.setattr(telemetry._output, "exporter", made)
    yield made
    made.stop()


class Publisher:
    """In the place of the Pub/Sub client: keeps what is published."""

    def __init__(self) -> None:
        self.published: list[dict[str, str]] = []

    def topic_path(self, project: str, topic: str) -> str:
        return f"projects/{project}/topics/{topic}"

    def publish(self, topic: str, data: bytes, **attributes: str) -> Publisher:
        self.published.append(attributes)
        return self

    def result(self, timeout: float) -> None: ...


def test_a_request_its_event_and_the_work_on_it_are_spans_of_one_trace_each_the_child_of_the_one_before(
    collector: Collector, exporter: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher()
    monkeypatch.setattr("shared.clients.publisher", lambda: publisher)
    monkeypatch.setattr(events, "settings", lambda: type("S", (), {"project": "p"}))
    monkeypatch.setattr(http, "settings", lambda: type("S", (), {"allowed_origins": ()}))

    def create(_: Request, track_id: str) -> Answer:
        events.publish(events.TRACK_QUEUED, "t1/queued", {"trackId": track_id})
        return Answer(201, "{}")

    request = Request("POST", "/v1/uploads/t1", {}, {"traceparent": PARENT}, b"")
    http.respond(request, (Endpoint("POST", "/v1/uploads/{track_id}", create),))
    (attributes,) = publisher.published
    events.handle(pubsub_event({"trackId": "t1"}, attributes), lambda event: None)
    exporter.stop()

    published, asked, worked = collector.spans
    assert [span["name"] for span in (asked, published, worked)] == [
        "POST /v1/uploads/{track_id}",
        "publish track-queued",
        "process ai.prod.track.queued.v1",
    ]
    assert {span["traceId"] for span in collector.spans} == {"1f" * 16}
    assert [span["parentSpanId"] for span in (asked, published, worked)] == [
        "2e" * 8,
        asked["spanId"],
        published["spanId"],
    ]
    assert [span["kind"] for span in (asked, published, worked)] == [2, 4, 5]
    assert asked["attributes"] == [{"key": "http.response.status_code", "value": {"intValue": "201"}}]
    assert int(asked["startTimeUnixNano"]) <= int(published["startTimeUnixNano"])
    assert int(published["endTimeUnixNano"]) <= int(asked["endTimeUnixNano"])
    assert set(collector.paths) == {"/v1/traces application/json"}
    resource = collector.bodies[0]["resourceSpans"][0]["resource"]["attributes"]
    assert resource == [{"key": "service.name", "value": {"stringValue": "test"}}]


def test_a_step_that_fails_is_an_error_in_its_span_and_goes_on_failing(
    collector: Collector, exporter: Exporter
) -> None:
    def work(_: Event) -> None:
        with telemetry.span("decode"):
            raise events.Passing("later")

    with pytest.raises(events.Passing):
        events.handle(pubsub_event({}, {"traceparent": PARENT, "type": "x"}), work)
    exporter.stop()
    decode, process = collector.spans
    assert decode["status"] == process["status"] == {"code": 2, "message": "Passing"}
    assert decode["parentSpanId"] == process["spanId"]


def test_what_a_collector_cannot_take_now_goes_again_and_what_it_refuses_is_dropped(collector: Collector) -> None:
    warned: list[str] = []
    exporter = Exporter(collector.url, "test", warned.append)
    span = Span("1f" * 16, "2e" * 8, "", "s", "INTERNAL", 1, 2, {"a": True, "b": 0.5, "c": "d"})
    exporter._waiting.append(span)
    collector.answers = [503, 503, 400]
    exporter._send_waiting()
    exporter._send_waiting()
    assert len(exporter._waiting) == 1
    exporter._send_waiting()
    assert not exporter._waiting
    exporter._waiting.append(span)
    exporter._send_waiting()
    assert collector.spans == [
        {
            "traceId": "1f" * 16,
            "spanId": "2e" * 8,
            "name": "s",
            "kind": 1,
            "startTimeUnixNano": "1",
            "endTimeUnixNano": "2",
            "attributes": [
                {"key": "a", "value": {"boolValue": True}},
                {"key": "b", "value": {"doubleValue": 0.5}},
                {"key": "c", "value": {"stringValue": "d"}},
            ],
        }
    ]
    assert len(warned) == 1


def test_without_a_collector_nothing_is_kept_and_nothing_of_opentelemetry_is_loaded() -> None:
    code = (
        "import sys; from shared import telemetry, http, events\n"
        "with telemetry.tracing(telemetry.continued(None), 'x') as t, telemetry.span('y') as inner:\n"
        "    telemetry.describe({'a': 1})\n"
        "assert not inner.attributes and inner.trace_id == t.trace_id\n"
        "loaded = [m for m in sys.modules if m.startswith('opentelemetry') or m == 'shared.spans']\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
