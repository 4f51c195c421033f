"""The router on Google's emulator: each event reaches its function until acknowledged, or becomes a dead letter."""

from __future__ import annotations

import base64
import itertools
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from local import emulators, pubsub
from tests.contract.part_process import eventually, free_port, running_part, running_process

pytestmark = pytest.mark.skipif(emulators.missing() is not None, reason=str(emulators.missing()))

QUICK = {
    "ackDeadlineSeconds": 600,
    "retryPolicy": {"minimumBackoff": "1s", "maximumBackoff": "1s"},
    "deadLetterPolicy": {"maxDeliveryAttempts": 5},
}
PATIENT = {**QUICK, "retryPolicy": {"minimumBackoff": "600s", "maximumBackoff": "600s"}}
DEPLOYABLES = pubsub.table()["deployables"]
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
projects = (f"router-{number}" for number in itertools.count())


class Function:
    """Stands for a deployed function: remembers each event, answers as told (200 where nothing is)."""

    def __init__(self, answers: Callable[[int], int] = lambda _: 200, port: int = 0) -> None:
        self.events: list[tuple[dict[str, str], Any]] = []
        self.arrivals_s: list[float] = []
        self.hold = threading.Event()
        self.hold.set()
        self.at_once_most = 0
        self._at_once = 0
        self._lock = threading.Lock()
        function = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = answers(function._enter({k.lower(): v for k, v in self.headers.items()}, body))
                function.hold.wait(20)
                function._leave()
                if status == 0:
                    return  # the connection breaks
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def handle(self) -> None:
                with suppress(OSError):
                    super().handle()

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

        self._server = Server(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def _enter(self, headers: dict[str, str], body: Any) -> int:
        with self._lock:
            self.events.append((headers, body))
            self.arrivals_s.append(time.monotonic())
            self._at_once += 1
            self.at_once_most = max(self.at_once_most, self._at_once)
            return len(self.events)

    def _leave(self) -> None:
        with self._lock:
            self._at_once -= 1

    def __enter__(self) -> Function:
        return self

    def __exit__(self, *_: object) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    port = free_port()
    with running_process(emulators.pubsub_command(port), port, "/"):
        yield f"127.0.0.1:{port}"


@pytest.fixture
def project(emulator: str) -> str:
    """A project of its own for each test: nothing of another test is in it."""
    name = next(projects)
    pubsub.set_up(emulator, name, DEPLOYABLES, QUICK)
    return name


def routing(emulator: str, project: str, **routes: str) -> Any:
    as_json = json.dumps({name.replace("_", "-"): url for name, url in routes.items()})
    return running_part("router", "--pubsub", emulator, "--project", project, "--routes", as_json)


def dead_letters(emulator: str, project: str, topic: str) -> list[dict[str, Any]]:
    url = f"http://{emulator}/v1/projects/{project}/subscriptions/{topic}-dead-letter:pull"
    answer = requests.post(url, json={"maxMessages": 10}, timeout=30).json()
    return [received["message"] for received in answer.get("receivedMessages", [])]


def test_a_message_arrives_as_eventarc_delivers_it(emulator: str, project: str) -> None:
    with Function() as function, routing(emulator, project, analyze=function.url):
        message_id = pubsub.publish(emulator, project, "track-queued", b'{"a": 1}', {"traceparent": TRACEPARENT})
        eventually(lambda: function.events)
    headers, body = function.events[0]
    assert headers["ce-id"] == message_id
    assert headers["ce-type"] == "google.cloud.pubsub.topic.v1.messagePublished"
    assert headers["ce-source"] == f"//pubsub.googleapis.com/projects/{project}/topics/track-queued"
    assert headers["traceparent"] == TRACEPARENT
    assert base64.b64decode(body["message"]["data"]) == b'{"a": 1}'
    assert body["subscription"] == f"projects/{project}/subscriptions/analyze"


def test_a_finished_object_reaches_upload_and_other_storage_events_are_dropped(emulator: str, project: str) -> None:
    resource = {"bucket": "tracks-us", "name": "uploads/canção 1.wav", "generation": "7"}
    with Function() as function, routing(emulator, project, upload_finalized=function.url) as (url, _):
        for kind in ("OBJECT_DELETE", "OBJECT_METADATA_UPDATE", "OBJECT_FINALIZE"):
            pubsub.publish(emulator, project, "storage-events", json.dumps(resource).encode(), {"eventType": kind})
        eventually(lambda: function.events)
        assert [d["status"] for d in eventually(lambda: requests.get(f"{url}/deliveries", timeout=5).json())] == [200]
    headers, body = function.events[0]
    assert body == resource
    assert headers["ce-type"] == "google.cloud.storage.object.v1.finalized"
    assert headers["ce-subject"] == "objects/uploads/can%C3%A7%C3%A3o%201.wav"


def test_a_message_on_tick_reaches_every_function_that_hears_of_it(emulator: str, project: str) -> None:
    with (
        Function() as sweep,
        Function() as tick,
        routing(emulator, project, upload_sweep=sweep.url, metrics_tick=tick.url),
    ):
        pubsub.publish(emulator, project, "tick", b"{}", {})
        eventually(lambda: sweep.events and tick.events)


def test_the_scheduler_ticks_at_full_intervals_and_says_which(emulator: str, project: str) -> None:
    ticking = running_part("scheduler", "--pubsub", emulator, "--project", project, "--interval-s", "1")
    with Function() as tick, routing(emulator, project, metrics_tick=tick.url), ticking:
        eventually(lambda: len(tick.events) >= 2)
    scheduled = sorted(body["message"]["attributes"]["scheduledTime"] for _, body in tick.events)
    assert all(time_.endswith(".000Z") for time_ in scheduled)
    assert len(set(scheduled)) == len(scheduled)


def test_a_refused_event_comes_five_times_with_a_pause_and_becomes_a_dead_letter(emulator: str, project: str) -> None:
    with Function(lambda _: 500) as function, routing(emulator, project, chat_opening=function.url) as (url, _):
        pubsub.publish(emulator, project, "track-analysed", b"poison", {})
        (dead,) = eventually(lambda: dead_letters(emulator, project, "track-analysed"), 40)
        deliveries = requests.get(f"{url}/deliveries", timeout=5).json()
    assert base64.b64decode(dead["data"]) == b"poison"
    assert dead["attributes"]["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    assert [(d["status"], d["attempt"]) for d in deliveries] == [(500, attempt) for attempt in range(1, 6)]
    pauses = [later - earlier for earlier, later in itertools.pairwise(function.arrivals_s)]
    assert all(pause > 0.9 for pause in pauses)


def test_a_redirect_and_a_broken_connection_are_no_acknowledgement(emulator: str, project: str) -> None:
    statuses = {1: 0, 2: 302, 3: 204}
    function = Function(lambda n: statuses[n])
    with function, routing(emulator, project, metrics_ingest=function.url) as (url, _):
        pubsub.publish(emulator, project, "usage", b"{}", {})
        eventually(lambda: len(requests.get(f"{url}/deliveries", timeout=5).json()) == 3)
        deliveries = requests.get(f"{url}/deliveries", timeout=5).json()
    assert [d["status"] for d in deliveries] == [None, 302, 204]
    assert deliveries[0]["error"] == "the connection broke (ServerDisconnectedError)"
    assert deliveries[2] == {
        "subscription": "metrics-ingest",
        "eventId": function.events[0][0]["ce-id"],
        "type": "google.cloud.pubsub.topic.v1.messagePublished",
        "status": 204,
        "attempt": 3,
        "durationMs": deliveries[2]["durationMs"],
        "error": None,
    }


def test_no_more_analyses_run_at_once_than_the_table_allows(emulator: str, project: str) -> None:
    (analyze,) = (d for d in DEPLOYABLES if d["name"] == "analyze")
    most = analyze["maxInstances"] * analyze["concurrency"]
    with Function() as function, routing(emulator, project, analyze=function.url):
        function.hold.clear()
        for _ in range(most + 3):
            pubsub.publish(emulator, project, "track-queued", b"{}", {})
        eventually(lambda: len(function.events) == most)
        time.sleep(0.3)
        assert len(function.events) == most
        function.hold.set()
        eventually(lambda: len(function.events) == most + 3)
    assert function.at_once_most == most


def test_a_function_that_starts_a_little_later_gets_the_event_at_its_first_attempt(emulator: str, project: str) -> None:
    port = free_port()
    with routing(emulator, project, analyze=f"http://127.0.0.1:{port}") as (url, _):
        pubsub.publish(emulator, project, "track-queued", b"{}", {})
        time.sleep(0.7)
        with Function(port=port) as function:
            eventually(lambda: function.events)
            (delivery,) = eventually(lambda: requests.get(f"{url}/deliveries", timeout=5).json())
    assert (delivery["status"], delivery["attempt"]) == (200, 1)


def test_the_last_events_can_be_delivered_a_second_time(emulator: str, project: str) -> None:
    with Function() as function, routing(emulator, project, chat_opening=function.url) as (url, _):
        for number in range(3):
            pubsub.publish(emulator, project, "track-analysed", str(number).encode(), {})
            eventually(lambda: len(function.events) == number + 1)  # noqa: B023
        again = requests.post(f"{url}/replay", json={"subscription": "chat-opening", "last": 2}, timeout=10).json()
    ids = [headers["ce-id"] for headers, _ in function.events]
    assert ids[3:] == ids[1:3]
    assert [delivery["status"] for delivery in again] == [200, 200]


def test_a_replay_of_an_unknown_subscription_is_refused(emulator: str, project: str) -> None:
    with routing(emulator, project, analyze="http://127.0.0.1:1") as (url, _):
        refused = requests.post(f"{url}/replay", json={"subscription": "nothing", "last": 1}, timeout=10)
    assert refused.status_code == 400


def test_a_router_that_is_ended_gives_back_what_it_holds(emulator: str) -> None:
    project = next(projects)
    pubsub.set_up(emulator, project, DEPLOYABLES, PATIENT)
    with Function() as function:
        function.hold.clear()
        with routing(emulator, project, analyze=function.url) as (_, process):
            pubsub.publish(emulator, project, "track-queued", b"{}", {})
            eventually(lambda: function.events)
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
        with routing(emulator, project, analyze=function.url):
            eventually(lambda: len(function.events) == 2)


def test_the_router_outlives_an_emulator_that_goes_away_and_comes_back(project: str) -> None:
    port = free_port()
    host, command = f"127.0.0.1:{port}", emulators.pubsub_command(port)
    with Function() as function, ExitStack() as left_running:
        with running_process(command, port, "/"):
            pubsub.set_up(host, project, DEPLOYABLES, QUICK)
            left_running.enter_context(routing(host, project, analyze=function.url))
        with running_process(command, port, "/"):
            pubsub.set_up(host, project, DEPLOYABLES, QUICK)
            pubsub.publish(host, project, "track-queued", b"{}", {})
            eventually(lambda: function.events)
            left_running.close()


def test_setting_up_twice_changes_nothing_and_every_dead_letter_can_be_pulled(emulator: str, project: str) -> None:
    pubsub.set_up(emulator, project, DEPLOYABLES, QUICK)
    base = f"http://{emulator}/v1/projects/{project}"
    topics = {t["name"].rpartition("/")[2] for t in requests.get(f"{base}/topics", timeout=5).json()["topics"]}
    subscriptions = requests.get(f"{base}/subscriptions", timeout=5).json()["subscriptions"]
    names = {s["name"].rpartition("/")[2] for s in subscriptions}
    dead = {f"{topic}-dead-letter" for topic in pubsub.table()["topics"]}
    assert topics == {*pubsub.table()["topics"], *dead}
    assert names == {d["name"] for d in DEPLOYABLES if d["trigger"]} | dead
