"""What Eventarc makes of a Pub/Sub message: a CloudEvent in the binary mode of the HTTP binding."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from local import pubsub

OBJECT_FINALIZED = "google.cloud.storage.object.v1.finalized"
MESSAGE_PUBLISHED = "google.cloud.pubsub.topic.v1.messagePublished"


@dataclass(frozen=True)
class CloudEvent:
    """An event in the binary mode of the CloudEvents HTTP binding (1.0.2, 3.1): attributes as headers, data as body."""

    id: str
    type: str
    headers: Mapping[str, str]
    body: bytes


def cloud_event(project: str, subscription: str, topic: str, received: Mapping[str, Any]) -> CloudEvent | None:
    """What Eventarc makes of an element of `receivedMessages`; None for a storage event that no trigger asks for."""
    message = received["message"]
    if topic == pubsub.STORAGE_TOPIC:
        return _object_finalized(message)
    body: dict[str, Any] = {
        "message": message,
        "subscription": f"projects/{project}/subscriptions/{subscription}",
    }
    if "deliveryAttempt" in received:
        body["deliveryAttempt"] = received["deliveryAttempt"]
    source = f"//pubsub.googleapis.com/projects/{project}/topics/{topic}"
    traceparent = message.get("attributes", {}).get("traceparent")
    return _event(message, MESSAGE_PUBLISHED, source, json.dumps(body).encode(), {"traceparent": traceparent})


def _object_finalized(message: Mapping[str, Any]) -> CloudEvent | None:
    attributes = message.get("attributes", {})
    if attributes.get("eventType") != "OBJECT_FINALIZE":
        return None
    body = base64.b64decode(message["data"])
    resource = json.loads(body)
    source = f"//storage.googleapis.com/projects/_/buckets/{resource['bucket']}"
    traceparent = (resource.get("metadata") or {}).get("traceparent") or attributes.get("traceparent")
    more = {"ce-subject": f"objects/{resource['name']}", "ce-bucket": resource["bucket"], "traceparent": traceparent}
    return _event(message, OBJECT_FINALIZED, source, body, more)


def _event(
    message: Mapping[str, Any], event_type: str, source: str, body: bytes, more: Mapping[str, str | None]
) -> CloudEvent:
    headers = {
        "Content-Type": "application/json",
        "ce-id": message["messageId"],
        "ce-source": source,
        "ce-type": event_type,
        "ce-specversion": "1.0",
        "ce-time": message["publishTime"],
        **{name: value for name, value in more.items() if value},
    }
    return CloudEvent(message["messageId"], event_type, {k: _header_value(v) for k, v in headers.items()}, body)


def _header_value(text: str) -> str:
    """CloudEvents HTTP binding 3.1.3.2: a space, `"`, `%` and all that is not printable ASCII are percent-encoded."""
    return "".join(c if "!" <= c <= "~" and c not in '"%' else quote(c, safe="") for c in text)
