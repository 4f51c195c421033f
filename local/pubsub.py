"""Topics, dead-letter topics and subscriptions on the Pub/Sub emulator, and publishing, over its REST interface.

Only the standard library: the scheduler starts with nothing else.
"""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

TABLE = Path(__file__).resolve().parent.parent / "functions" / "deployables.json"
STORAGE_TOPIC = "storage-events"
DEADLINE_S = 10.0


class PubSubError(Exception):
    """The emulator refused; the message has its answer."""


def table() -> dict[str, Any]:
    """The whole of functions/deployables.json: topics, the policy of every subscription, deployables."""
    content: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return content


def topic_of(deployable: Mapping[str, Any]) -> str | None:
    """The topic whose messages a deployable is given; None for one that is called over HTTP."""
    trigger = deployable["trigger"]
    if trigger is None:
        return None
    return STORAGE_TOPIC if trigger.get("storage") else str(trigger["topic"])


def set_up(
    pubsub: str, project: str, deployables: Sequence[Mapping[str, Any]], policy: Mapping[str, Any] | None = None
) -> None:
    """Creates what is not there yet: every topic with its dead-letter topic, and a subscription for each deployable.

    `policy` replaces the table's `subscription` (ack deadline, retry and dead-letter policy): a test waits no 10 s.
    Raises PubSubError or OSError.
    """
    whole = table()
    with closing(_connection(pubsub)) as connection:
        for topic in whole["topics"]:
            dead = topic + whole["deadLetterSuffix"]
            for name in (topic, dead):
                _create(connection, f"/v1/projects/{project}/topics/{name}", {})
            _create_subscription(connection, project, dead, dead, {})
        for deployable in deployables:
            topic = topic_of(deployable)
            if topic is None:
                continue
            settings = json.loads(json.dumps(policy or whole["subscription"]))
            dead = f"projects/{project}/topics/{topic}{whole['deadLetterSuffix']}"
            settings["deadLetterPolicy"]["deadLetterTopic"] = dead
            _create_subscription(connection, project, deployable["name"], topic, settings)


def publish(pubsub: str, project: str, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
    """Publishes one message and returns its id. Raises PubSubError or OSError."""
    message = {"data": base64.b64encode(data).decode(), "attributes": dict(attributes)}
    with closing(_connection(pubsub)) as connection:
        path = f"/v1/projects/{project}/topics/{topic}:publish"
        answer = _call(connection, "POST", path, {"messages": [message]})
    return str(answer["messageIds"][0])


def _create_subscription(
    connection: http.client.HTTPConnection, project: str, name: str, topic: str, settings: Mapping[str, Any]
) -> None:
    body = {"topic": f"projects/{project}/topics/{topic}", **settings}
    _create(connection, f"/v1/projects/{project}/subscriptions/{name}", body)


def _create(connection: http.client.HTTPConnection, path: str, body: Mapping[str, Any]) -> None:
    _call(connection, "PUT", path, body, accepted=(200, 409))


def _call(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: Mapping[str, Any],
    accepted: Sequence[int] = (200,),
) -> dict[str, Any]:
    connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read().decode(errors="replace")
    if answer.status not in accepted:
        raise PubSubError(f"the Pub/Sub emulator answered {answer.status} to {method} {path}: {text[:300]}")
    content: dict[str, Any] = json.loads(text or "{}")
    return content


def _connection(pubsub: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(pubsub, timeout=DEADLINE_S)
