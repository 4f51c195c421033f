"""Events between the functions: Pub/Sub messages with a type, an id that survives repetition, and the trace."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from shared import observations, telemetry
from shared.problems import Problem
from shared.settings import settings

DEADLINE_S = 10.0

TRACK_QUEUED = "ai.prod.track.queued.v1"
TRACK_ANALYSED = "ai.prod.track.analysed.v1"
TRACK_FAILED = "ai.prod.track.failed.v1"
USAGE = "ai.prod.usage.v1"
ACCOUNT_DELETED = "account.deleted"  # a usage event's name, at which metrics forgets the user too
OBJECT_FINALIZED = "google.cloud.storage.object.v1.finalized"

TOPICS: Mapping[str, str] = {
    TRACK_QUEUED: "track-queued",
    TRACK_ANALYSED: "track-analysed",
    TRACK_FAILED: "track-failed",
    USAGE: "usage",
}


class Passing(Exception):  # noqa: N818  # the design's word
    """An error that will pass: the delivery fails, and the event comes again."""


@dataclass(frozen=True)
class Event:
    id: str
    type: str
    data: Mapping[str, Any]
    traceparent: str | None


def publish(event_type: str, event_id: str, data: Mapping[str, Any]) -> None:
    """Publishes an event and waits until Pub/Sub has it. Raises what the client raises."""
    from shared import clients

    client = clients.publisher()
    topic = client.topic_path(settings().project, TOPICS[event_type])
    with telemetry.span(f"publish {TOPICS[event_type]}", "PRODUCER") as span:
        attributes = {"type": event_type, "id": event_id, "traceparent": span.traceparent}
        client.publish(topic, json.dumps(data).encode(), **attributes).result(timeout=DEADLINE_S)


def track_usage(name: str, uid: str, event_id: str, data: Mapping[str, Any]) -> None:
    """Tells metrics what happened. Measuring never harms the work: a failure is logged and forgotten."""
    try:
        publish(USAGE, event_id, {"name": name, "uid": uid, **data})
    except Exception as error:
        telemetry.warning("a usage event could not be published", error=type(error).__name__)


def received(cloud_event: Any) -> Event:
    """The event inside a CloudEvent as Eventarc delivers it: of Pub/Sub, or of Storage.

    Raises ValueError for one that is neither.
    """
    attributes = cloud_event.get_attributes() if hasattr(cloud_event, "get_attributes") else cloud_event
    data = cloud_event.data if hasattr(cloud_event, "data") else cloud_event.get_data()
    if attributes["type"] == OBJECT_FINALIZED:
        traceparent = (data.get("metadata") or {}).get("traceparent")
        event_id = f"{data['bucket']}/{data['name']}#{data['generation']}"
        return Event(event_id, OBJECT_FINALIZED, data, traceparent)
    message = data["message"]
    carried = message.get("attributes") or {}
    payload = json.loads(base64.b64decode(message.get("data") or "") or "{}")
    event_id = carried.get("id") or f"{attributes['source']}/{attributes['id']}"
    return Event(event_id, carried.get("type", ""), payload, carried.get("traceparent"))


def handle(cloud_event: Any, work: Callable[[Event], None]) -> None:
    """Runs the work of an event. A permanent error is recorded and acknowledged; a passing one is raised again."""
    try:
        event = received(cloud_event)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        telemetry.error("an event that cannot be read was dropped", error=repr(error))
        return
    with _traced(event):
        try:
            work(event)
        except Problem as problem:
            telemetry.error("an event was given up", event=event.id, problem=problem.as_dict())
        except Passing as error:
            telemetry.warning(f"an event will come again: {error}", event=event.id)
            raise
        except Exception as error:
            telemetry.error("an event failed and will come again", event=event.id, error=repr(error))
            raise
        finally:
            observations.flush_old()


@contextmanager
def _traced(event: Event) -> Iterator[None]:
    with telemetry.tracing(telemetry.continued(event.traceparent), f"process {event.type or 'tick'}", "CONSUMER"):
        yield
