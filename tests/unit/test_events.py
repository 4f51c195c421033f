"""Events: read as Eventarc delivers them; permanent errors are acknowledged, passing ones come again."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cloudevents.http import CloudEvent

from shared import telemetry
from shared.events import OBJECT_FINALIZED, Event, Passing, handle, received
from shared.problems import Problem

TRACEPARENT = "00-" + "1f" * 16 + "-" + "2e" * 8 + "-01"


def pubsub_event(data: Any, attributes: dict[str, str] | None = None) -> CloudEvent:
    body = {"message": {"data": base64.b64encode(json.dumps(data).encode()).decode(), "attributes": attributes or {}}}
    return CloudEvent({"type": "google.cloud.pubsub.topic.v1.messagePublished", "source": "//pubsub/t"}, body)


def test_a_published_event_keeps_its_id_type_data_and_trace() -> None:
    attributes = {"id": "t1/queued", "type": "ai.prod.track.queued.v1", "traceparent": TRACEPARENT}
    event = received(pubsub_event({"trackId": "t1"}, attributes))
    assert event == Event("t1/queued", "ai.prod.track.queued.v1", {"trackId": "t1"}, TRACEPARENT)


def test_a_storage_event_is_known_by_bucket_object_and_generation() -> None:
    data = {
        "bucket": "b",
        "name": "tracks/u/t",
        "generation": "7",
        "size": "3",
        "metadata": {"traceparent": TRACEPARENT},
    }
    event = received(CloudEvent({"type": OBJECT_FINALIZED, "source": "//storage/b"}, data))
    assert (event.id, event.traceparent) == ("b/tracks/u/t#7", TRACEPARENT)


def test_the_work_runs_inside_the_trace_of_the_event() -> None:
    seen: list[str] = []
    handle(pubsub_event({}, {"traceparent": TRACEPARENT}), lambda _: seen.append(telemetry.current_trace().trace_id))
    assert seen == ["1f" * 16]


def test_a_permanent_error_is_recorded_and_acknowledged(capsys: pytest.CaptureFixture[str]) -> None:
    def work(_: Event) -> None:
        raise Problem("not-found", "no such track")

    handle(pubsub_event({}), work)
    assert "no such track" in capsys.readouterr().out


def test_a_passing_error_is_raised_so_that_the_event_comes_again(capsys: pytest.CaptureFixture[str]) -> None:
    def work(_: Event) -> None:
        raise Passing("later")

    with pytest.raises(Passing):
        handle(pubsub_event({}), work)
    assert "WARNING" in capsys.readouterr().out


@pytest.mark.parametrize("data", [{"nothing": 1}, {"message": None}, {"message": {"data": "bm8="}}, None])
def test_an_event_that_cannot_be_read_is_dropped_and_recorded(data: Any, capsys: pytest.CaptureFixture[str]) -> None:
    handle(CloudEvent({"type": "x", "source": "y"}, data), lambda _: pytest.fail("not reached"))
    assert "cannot be read" in capsys.readouterr().out
