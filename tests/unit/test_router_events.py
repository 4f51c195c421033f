"""What the router makes of messages is what Eventarc delivers, and what our functions read."""

import base64
import json
import re
from typing import Any
from urllib.parse import unquote

from cloudevents.http import from_http
from hypothesis import given
from hypothesis import strategies as st

from local.eventarc import cloud_event
from shared import events

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def pulled(data: Any, attributes: dict[str, str] | None = None) -> dict[str, Any]:
    """An element of `receivedMessages`, as the emulator answers it."""
    message: dict[str, Any] = {
        "data": base64.b64encode(json.dumps(data).encode()).decode(),
        "messageId": "42",
        "publishTime": "2026-11-24T15:31:20.335Z",
    }
    if attributes:
        message["attributes"] = attributes
    return {"ackId": "a", "message": message, "deliveryAttempt": 3}


def finalized(resource: dict[str, Any], event_type: str = "OBJECT_FINALIZE") -> dict[str, Any]:
    return pulled(resource, {"eventType": event_type, "bucketId": resource["bucket"], "objectId": resource["name"]})


def test_a_message_has_all_attributes_that_the_specification_requires() -> None:
    event = cloud_event("p", "analyze", "track-queued", pulled({}))
    assert event is not None
    assert event.headers == {
        "Content-Type": "application/json",
        "ce-id": "42",
        "ce-source": "//pubsub.googleapis.com/projects/p/topics/track-queued",
        "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
        "ce-specversion": "1.0",
        "ce-time": "2026-11-24T15:31:20.335Z",
    }


def test_a_message_is_wrapped_with_its_subscription_and_attempt() -> None:
    event = cloud_event("p", "analyze", "track-queued", pulled({"a": 1}))
    assert event is not None
    body = json.loads(event.body)
    assert body["subscription"] == "projects/p/subscriptions/analyze"
    assert body["deliveryAttempt"] == 3
    assert body["message"]["messageId"] == "42"


def test_the_trace_of_a_message_is_continued() -> None:
    event = cloud_event("p", "analyze", "track-queued", pulled({}, {"traceparent": TRACEPARENT}))
    assert event is not None
    assert event.headers["traceparent"] == TRACEPARENT


def test_the_functions_read_what_the_router_makes_of_a_message() -> None:
    attributes = {"type": events.TRACK_QUEUED, "id": "track-1", "traceparent": TRACEPARENT}
    event = cloud_event("p", "analyze", "track-queued", pulled({"trackId": "1"}, attributes))
    assert event is not None
    read = events.received(from_http(dict(event.headers), event.body))
    assert (read.id, read.type, read.data, read.traceparent) == (
        "track-1",
        events.TRACK_QUEUED,
        {"trackId": "1"},
        TRACEPARENT,
    )


def test_the_functions_read_what_the_router_makes_of_a_finished_object() -> None:
    resource = {"bucket": "b", "name": "uploads/1", "generation": "7", "metadata": {"traceparent": TRACEPARENT}}
    event = cloud_event("p", "upload-finalized", "storage-events", finalized(resource))
    assert event is not None
    assert event.headers["ce-source"] == "//storage.googleapis.com/projects/_/buckets/b"
    assert event.headers["ce-subject"] == "objects/uploads/1"
    assert event.headers["traceparent"] == TRACEPARENT
    read = events.received(from_http(dict(event.headers), event.body))
    assert (read.id, read.type, read.data) == ("b/uploads/1#7", events.OBJECT_FINALIZED, resource)


def test_other_storage_events_are_not_for_a_finalize_trigger() -> None:
    for kind in ("OBJECT_DELETE", "OBJECT_ARCHIVE", "OBJECT_METADATA_UPDATE"):
        assert cloud_event("p", "s", "storage-events", finalized({"bucket": "b", "name": "n"}, kind)) is None


@given(st.text(min_size=1))
def test_any_object_name_makes_a_valid_header_that_can_be_read_back(name: str) -> None:
    name = name.encode(errors="replace").decode()
    event = cloud_event("p", "s", "storage-events", finalized({"bucket": "b", "name": name, "generation": "1"}))
    assert event is not None
    subject = event.headers["ce-subject"]
    assert re.fullmatch(r"[!-~]+", subject)
    assert unquote(subject) == f"objects/{name}"
