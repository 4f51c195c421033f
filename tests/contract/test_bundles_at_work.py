"""The staged bundles, each under functions-framework with only its own requirements, against a local cloud."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy import bundle
from local import cloud, emulators, environments, parts, pubsub, synth
from local.logs import Log
from local.processes import FreePorts, Part, Processes
from tests.cloud import LocalCloud, eventually

pytestmark = pytest.mark.xdist_group("bundles")

PAST = datetime.now(UTC) - timedelta(minutes=1)
UNREADABLE = {  # what deploy.sh asks a new revision that hears events
    "Content-Type": "application/json",
    "ce-specversion": "1.0",
    "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
    "ce-source": "//deploy.sh",
    "ce-id": "question",
}
START_DEADLINE_S = 90.0


class AtWork(LocalCloud):
    """A cloud whose functions run as bundles; no scheduler gives it ticks."""

    def __init__(self, ready_file: Path, hearing: dict[str, str]) -> None:
        super().__init__(ready_file)
        self.hearing = hearing  # the addresses of what hears events

    def figures(self) -> dict[str, Any]:
        """What operators see."""
        operator = {"Authorization": f"Bearer {self.token('operator', claims={'operator': True})}"}
        shown = requests.get(f"{self.ready['metrics']}/v1/metrics", headers=operator, timeout=10)
        assert shown.status_code == 200, shown.text
        content: dict[str, Any] = shown.json()
        return content


@pytest.fixture(scope="module")
def at_work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtWork]:
    reason = emulators.missing()
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("at-work")
    ports, log = FreePorts(), Log(folder / "log", None)
    at, processes = parts.Addresses.choose(ports), Processes(log, ports, parts.ROOT)
    deployables = parts.deployables()
    try:
        emulated, services = parts.emulator_parts(at), parts.service_parts(at, folder)
        started = [*emulated, *services, *_functions(at, deployables, folder)]
        for part in started:
            processes.start(part)
        processes.wait_ready([part.name for part in emulated], START_DEADLINE_S, threading.Event())
        emulators.put_rules(at.host("firestore"), parts.PROJECT, parts.RULES.read_text(encoding="utf-8"))
        cloud.seed_plans(at.host("firestore"))
        pubsub.set_up(at.host("pubsub"), parts.PROJECT, deployables)
        router = _router(at, deployables)
        processes.start(router)
        processes.wait_ready([part.name for part in (*started, router)], START_DEADLINE_S, threading.Event())
        cloud.Cloud(log, at, processes, folder / "ready.json").write_ready_file()
        hearing = {row["name"]: at.url(row["name"]) for row in deployables if row["trigger"]}
        yield AtWork(folder / "ready.json", hearing)
    finally:
        processes.stop()
        for port in at.ports.values():
            ports.release(port)
        log.close()


def _functions(at: parts.Addresses, deployables: list[dict[str, Any]], folder: Path) -> Iterator[Part]:
    pythons: dict[str, Path] = {}
    as_usual = {part.name: part for part in parts.function_parts(at)}
    for deployable in deployables:
        staged = folder / Path(deployable["source"]).name
        if deployable["source"] not in pythons:
            bundle.stage(deployable["source"], staged)
            requirements = staged / "requirements.txt"
            pythons[deployable["source"]] = environments.linked(requirements, staged.with_suffix(".venv"))
        part = as_usual[deployable["name"]]
        _, *options = parts.function_command({**deployable, "source": str(staged)}, part.port)
        # -I: neither this folder nor an environment variable leads to the repository.
        yield replace(part, command=[str(pythons[deployable["source"]]), "-I", *options])


def _router(at: parts.Addresses, deployables: list[dict[str, Any]]) -> Part:
    """The router, with routes to what is at work here alone."""
    as_usual = next(part for part in parts.event_parts(at) if part.name == "router")
    options = as_usual.command[: as_usual.command.index("--routes")]
    routes = {deployable["name"]: at.url(deployable["name"]) for deployable in deployables if deployable["trigger"]}
    return replace(as_usual, command=[*options, "--routes", json.dumps(routes)])


def test_a_track_goes_from_the_upload_to_the_answer_of_the_chat(at_work: AtWork, tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    synth.make(song)
    client = at_work.client("bundled")
    upload = client.create_upload(song)
    client.send(upload, song, lambda _: None)
    ended = client.wait(upload["trackId"], 60.0, lambda _: None)
    assert ended["state"] == "done"
    assert ended["analysis"]["loudness"]["integratedLufs"] < 0
    opening = f"conversations/{upload['trackId']}/messages/opening"
    assert eventually(lambda: at_work.document(opening)), "chat-opening"
    assert eventually(lambda: at_work.figures()["totals"].get("analysis.done")), "metrics-ingest"
    told = dict(client.ask("What should I change first?", [upload["trackId"]]))
    assert len(told["done"]["answer"]) > 50


def test_a_tick_sweeps_and_measures(at_work: AtWork, tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    song.write_bytes(bytes(1000))
    client = at_work.client("forgetful")
    track_id = client.create_upload(song)["trackId"]
    cloud.write_document(at_work.ready["firestore"], f"uploadSessions/{track_id}", {"expiresAt": PAST})
    pubsub.publish(at_work.ready["pubsub"], at_work.ready["project"], "tick", b"{}", {})
    assert eventually(lambda: client.status(track_id)["state"] == "expired"), "upload-sweep"
    assert eventually(lambda: at_work.figures()["gauges"]), "metrics-tick"


def test_metrics_answers_operators_and_prometheus(at_work: AtWork) -> None:
    assert "totals" in at_work.figures()
    scraped = requests.get(f"{at_work.ready['metrics']}/metrics", timeout=10)
    assert scraped.headers["Content-Type"].startswith("text/plain; version=0.0.4")


def test_what_hears_events_drops_the_one_that_a_deployment_asks_with(at_work: AtWork) -> None:
    for name, address in at_work.hearing.items():
        answer = requests.post(address, json={"message": None}, headers=UNREADABLE, timeout=30)
        assert answer.status_code == 200, name
