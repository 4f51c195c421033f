"""The staged bundles, each under functions-framework with only its own requirements, against a local cloud."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy import bundle
from local import cloud, emulators, environments, parts, pubsub, synth
from local.client import Client
from local.logs import Log
from local.processes import FreePorts, Part, Processes
from local.user import make_user

pytestmark = pytest.mark.xdist_group("bundles")

AT_WORK = ("upload", "upload-finalized", "analyze", "chat", "metrics")
START_DEADLINE_S = 90.0


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What a ready file says, of a cloud whose functions run as bundles."""
    reason = emulators.missing()
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("at-work")
    ports, log = FreePorts(), Log(folder / "log", None)
    at, processes = parts.Addresses.choose(ports), Processes(log, ports, parts.ROOT)
    deployables = [row for row in parts.deployables() if row["name"] in AT_WORK]
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
        yield cloud.Cloud(log, at, processes, folder / "ready.json").ready()
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


def test_a_track_goes_from_the_upload_to_the_answer_of_the_chat(ready: dict[str, Any], tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    synth.make(song)
    client = Client(ready, make_user(ready, "bundled", "pro", {}))
    upload = client.create_upload(song)
    client.send(upload, song, lambda _: None)
    ended = client.wait(upload["trackId"], 60.0, lambda _: None)
    assert ended["state"] == "done"
    assert ended["analysis"]["loudness"]["integratedLufs"] < 0
    told = dict(client.ask("What should I change first?", [upload["trackId"]]))
    assert len(told["done"]["answer"]) > 50


def test_metrics_answers_operators_and_prometheus(ready: dict[str, Any]) -> None:
    operator = make_user(ready, "operator", "pro", {"operator": True})
    shown = requests.get(f"{ready['metrics']}/v1/metrics", headers={"Authorization": f"Bearer {operator}"}, timeout=10)
    assert shown.status_code == 200, shown.text
    scraped = requests.get(f"{ready['metrics']}/metrics", timeout=10)
    assert scraped.headers["Content-Type"].startswith("text/plain; version=0.0.4")
