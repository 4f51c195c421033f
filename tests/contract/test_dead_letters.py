"""`prodai dead-letters` on Google's emulator: shown, kept until replayed, and then sent on whole."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from local import cli, emulators, pubsub
from tests.contract.part_process import free_port, running_process

pytestmark = pytest.mark.skipif(emulators.missing() is not None, reason=str(emulators.missing()))

PROJECT = "dead-letters"
GIVEN_UP = {"type": "t", "id": "a/queued", "CloudPubSubDeadLetterSourceDeliveryCount": "20"}


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    port = free_port()
    with running_process(emulators.pubsub_command(port), port, "/"):
        host = f"127.0.0.1:{port}"
        pubsub.set_up(host, PROJECT, [d for d in pubsub.table()["deployables"] if d["name"] == "analyze"])
        yield host


@pytest.fixture
def ask(emulator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    ready = tmp_path / "ready.json"
    ready.write_text(json.dumps({"project": PROJECT, "pubsub": emulator}))
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", emulator)  # so that the command's own is taken back

    def run(*arguments: str) -> tuple[int, list[Any], str]:
        where = ("--topic", "track-queued", "--ready-file", str(ready), "--json")
        code = cli.main(["dead-letters", *arguments, *where])
        said = capsys.readouterr()
        return code, [json.loads(line) for line in said.out.splitlines()], said.err

    return run


def waiting(emulator: str, subscription: str = "analyze") -> list[Any]:
    """What the function would be given, which is acknowledged here."""
    base = f"http://{emulator}/v1/projects/{PROJECT}/subscriptions/{subscription}"
    found = requests.post(f"{base}:pull", json={"maxMessages": 10, "returnImmediately": True}, timeout=10).json()
    received: list[Any] = found.get("receivedMessages", [])
    if received:
        acks = {"ackIds": [one["ackId"] for one in received]}
        requests.post(f"{base}:acknowledge", json=acks, timeout=10).raise_for_status()
    return [one["message"] for one in received]


def test_dead_letters_are_listed_as_often_as_asked_and_replayed_once(emulator: str, ask: Any) -> None:
    for number in range(3):
        pubsub.publish(emulator, PROJECT, "track-queued-dead-letter", b'{"n": %d}' % number, GIVEN_UP)
    for _ in range(2):
        code, listed, _ = ask("list")
        assert code == 0
        assert sorted(letter["data"] for letter in listed) == ['{"n": 0}', '{"n": 1}', '{"n": 2}']
        assert {letter["attempts"] for letter in listed} == {"20"}
    chosen = listed[1]
    assert ask("replay", chosen["id"])[1] == [chosen]
    (message,) = waiting(emulator)
    assert base64.b64decode(message["data"]).decode() == chosen["data"]
    assert message["attributes"] == {"type": "t", "id": "a/queued"}
    assert len(ask("replay", "--all")[1]) == 2
    assert len(waiting(emulator)) == 2
    assert ask("list")[1] == []


def test_a_replay_that_names_nothing_or_what_is_not_there_is_refused_with_the_reason(ask: Any) -> None:
    assert ask("replay")[0] == 1
    code, _, told = ask("replay", "12345")
    assert (code, "there is no dead letter 12345" in told) == (1, True)


BUCKETS_EVENT = {"eventType": "OBJECT_FINALIZE", "CloudPubSubDeadLetterSourceSubscription": "eventarc-us-sub-001"}
OF_STORAGE = ("--project", PROJECT, "--topic", "storage-events", "--json")


def test_a_buckets_dead_letter_is_replayed_on_the_topic_of_its_trigger(
    emulator: str, ask: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    pubsub.publish(emulator, PROJECT, "storage-events-dead-letter", b"{}", BUCKETS_EVENT)
    assert cli.main(["dead-letters", "replay", "--all", *OF_STORAGE]) == 1
    assert "eventarc-us-sub-001, which gave it up, is gone with its trigger" in capsys.readouterr().err
    base = f"http://{emulator}/v1/projects/{PROJECT}"
    own = f"projects/{PROJECT}/topics/eventarc-us"
    requests.put(f"{base}/topics/eventarc-us", json={}, timeout=10).raise_for_status()
    subscribed = requests.put(f"{base}/subscriptions/eventarc-us-sub-001", json={"topic": own}, timeout=10)
    subscribed.raise_for_status()
    assert cli.main(["dead-letters", "replay", "--all", *OF_STORAGE]) == 0
    (message,) = waiting(emulator, "eventarc-us-sub-001")
    assert message["attributes"] == {"eventType": "OBJECT_FINALIZE"}


def test_a_project_without_a_subscription_is_told_which_and_shown_the_others(
    emulator: str, ask: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    base = f"http://{emulator}/v1/projects/half-set-up"
    dead = "usage-dead-letter"
    requests.put(f"{base}/topics/{dead}", json={}, timeout=10).raise_for_status()
    of_topic = {"topic": f"projects/half-set-up/topics/{dead}"}
    requests.put(f"{base}/subscriptions/{dead}", json=of_topic, timeout=10).raise_for_status()
    pubsub.publish(emulator, "half-set-up", dead, b"{}", GIVEN_UP)
    assert cli.main(["dead-letters", "list", "--project", "half-set-up"]) == 1
    said = capsys.readouterr()
    assert "1 dead letters" in said.out
    missing = {line.split("/")[-2].split(";")[0] for line in said.err.splitlines()}
    assert missing == {f"{topic}-dead-letter" for topic in pubsub.table()["topics"] if topic != "usage"}
