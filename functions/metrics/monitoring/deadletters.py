"""How many dead letters lie on which topic: looked at in their subscriptions, and left there.

A pull whose lease is given back at once. Why so: it tells what lies there now, so the alert resolves when somebody has
dealt with them. A push to metrics-ingest would count arrivals only, and wants six subscriptions more; Cloud
Monitoring's `num_undelivered_messages` is 2 to 4 minutes late and not in the local cloud. Pub/Sub may leave messages
out of a pull, so the alert goes on firing for 5 minutes after the last one was seen. Six pulls a minute are 0.26
million calls a month of 1 kB, within the free 10 GB.
Source: Pub/Sub REST v1, projects.subscriptions.pull and modifyAckDeadline.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from monitoring import googleapi
from shared import events, telemetry
from shared.settings import settings

SUFFIX = "-dead-letter"
TOPICS = (*events.TOPICS.values(), "storage-events", "tick")
MOST = 100


def counted(topics: Iterable[str] = TOPICS) -> dict[str, int] | None:
    """Dead letters by topic, those with any, MOST at most; None where Pub/Sub does not answer."""
    names = list(topics)
    try:
        with ThreadPoolExecutor(len(names)) as pool:
            counts = list(pool.map(_lying, names))
    except googleapi.Refused as refused:
        telemetry.warning("dead letters could not be counted", error=str(refused))
        return None
    return {topic: count for topic, count in zip(names, counts, strict=True) if count}


def _lying(topic: str) -> int | None:
    """None where the topic keeps no dead letters, so that the others are counted all the same."""
    host = settings().pubsub_emulator_host
    base = f"http://{host}" if host else "https://pubsub.googleapis.com"
    subscription = f"{base}/v1/projects/{settings().project}/subscriptions/{topic}{SUFFIX}"
    try:
        answer = googleapi.call("POST", f"{subscription}:pull", {"maxMessages": MOST, "returnImmediately": True})
    except googleapi.Refused as refused:
        if refused.status == 404:
            telemetry.warning(f"there is no subscription {topic}{SUFFIX}: ./deploy.sh setup makes it")
            return None
        raise
    received = answer.get("receivedMessages", [])
    if received:
        leases = {"ackIds": [message["ackId"] for message in received], "ackDeadlineSeconds": 0}
        googleapi.call("POST", f"{subscription}:modifyAckDeadline", leases)
    return len(received)
