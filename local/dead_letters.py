"""`prodai dead-letters list|replay`: the messages that were given up, and sending them on their way again.

Against the running local cloud, or with `--project` against Google's Pub/Sub with the credentials of this machine.
Each topic's dead letters lie in the subscription `TOPIC-dead-letter`. A replayed message is published on its topic with
its own data and attributes, then acknowledged: were this command to die in between, it would come twice, which every
receiver can bear. In production a bucket's events come on a topic of Eventarc's own: there they are published again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from local import pubsub, readyfile

PULL_WAIT_S = 3.0  # an empty subscription costs about this long
CALL_DEADLINE_S = 30.0
AT_ONCE = 100
GOOGLES_ATTRIBUTES = "CloudPubSubDeadLetterSource"
GIVEN_UP_BY = f"{GOOGLES_ATTRIBUTES}Subscription"
CURSOR_KEEPS_S = 600  # for so long nobody else is given what is being looked at; it is given back at the end


@dataclass(frozen=True)
class DeadLetter:
    id: str
    topic: str
    published_at: str
    attempts: str
    attributes: dict[str, str]
    data: bytes
    ack_id: str

    def as_json(self) -> dict[str, Any]:
        shown = {"id": self.id, "topic": self.topic, "publishedAt": self.published_at, "attempts": self.attempts}
        return {**shown, "attributes": self.attributes, "data": self.data.decode(errors="replace")}


def run(options: argparse.Namespace) -> int:
    """Raises ValueError for a command that says too little or names what is not there."""
    if options.action == "replay" and not options.ids and not options.all:
        raise ValueError("name the messages to replay, or give --all")
    if options.project is None:
        ready = readyfile.find(options.ready_file)
        os.environ["PUBSUB_EMULATOR_HOST"] = ready["pubsub"]
    topics = _topics(options.topic)
    office = Office(options.project or ready["project"])
    try:
        with ThreadPoolExecutor(len(topics)) as pool:
            letters = [letter for found in pool.map(office.pull, topics) for letter in found]
        for name in office.missing:
            print(f"prodai dead-letters: there is no subscription {name}; ./deploy.sh setup makes it", file=sys.stderr)
        chosen = letters if options.action == "list" or options.all else _named(letters, options.ids)
        if options.action == "replay":
            for letter, topic in [(letter, office.topic_of(letter)) for letter in chosen]:
                office.replay(letter, topic)
        for letter in chosen:
            _print(letter, as_json=options.json)
        if not options.json:
            print(f"{len(chosen)} {'sent again' if options.action == 'replay' else 'dead letters'}")
    finally:
        office.give_back()
    return 1 if office.missing else 0


class Office:
    """The subscriptions of dead letters of one project. What is pulled and not replayed, is given back."""

    def __init__(self, project: str) -> None:
        from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

        self._project = project
        self._subscriber = SubscriberClient()
        self._publisher = PublisherClient()
        self._held: dict[str, list[str]] = {}  # subscription -> ack ids
        self.missing: list[str] = []  # subscriptions that are not there

    def pull(self, topic: str) -> list[DeadLetter]:
        """All dead letters of a topic, each once."""
        from google.api_core.exceptions import NotFound

        subscription = self._subscription(topic)
        found: dict[str, DeadLetter] = {}
        try:
            while received := self._pulled(subscription):
                self._held.setdefault(subscription, []).extend(one.ack_id for one in received)
                found |= {one.message.message_id: _letter(topic, one) for one in received}
        except NotFound:
            self.missing.append(subscription)
        return list(found.values())

    def topic_of(self, letter: DeadLetter) -> str:
        """Where its function will hear it again. Raises ValueError where nobody would."""
        from google.api_core.exceptions import NotFound

        source = letter.attributes.get(GIVEN_UP_BY)
        if letter.topic != pubsub.STORAGE_TOPIC or source is None:
            return str(self._publisher.topic_path(self._project, letter.topic))
        subscription = self._subscriber.subscription_path(self._project, source)
        try:
            return str(self._subscriber.get_subscription(subscription=subscription, timeout=CALL_DEADLINE_S).topic)
        except NotFound:
            raise ValueError(
                f"{letter.id} cannot be sent again, and nothing was: {source}, which gave it up, is gone with its "
                "trigger. It need not be: the sweep finds what has arrived in the bucket"
            ) from None

    def replay(self, letter: DeadLetter, topic: str) -> None:
        own = {k: v for k, v in letter.attributes.items() if not k.startswith(GOOGLES_ATTRIBUTES)}
        self._publisher.publish(topic, letter.data, **own).result(timeout=CALL_DEADLINE_S)
        subscription = self._subscription(letter.topic)
        request = {"subscription": subscription, "ack_ids": [letter.ack_id]}
        self._subscriber.acknowledge(request=request, timeout=CALL_DEADLINE_S)
        self._held[subscription].remove(letter.ack_id)

    def give_back(self) -> None:
        for subscription, ack_ids in self._held.items():
            if ack_ids:
                request = {"subscription": subscription, "ack_ids": ack_ids, "ack_deadline_seconds": 0}
                self._subscriber.modify_ack_deadline(request=request, timeout=CALL_DEADLINE_S)
        self._subscriber.close()

    def _pulled(self, subscription: str) -> Sequence[Any]:
        from google.api_core.exceptions import DeadlineExceeded

        request = {"subscription": subscription, "max_messages": AT_ONCE}
        try:
            received = self._subscriber.pull(request=request, timeout=PULL_WAIT_S, retry=None).received_messages
        except DeadlineExceeded:
            return []
        if received:
            ack_ids = [one.ack_id for one in received]
            held = {"subscription": subscription, "ack_ids": ack_ids, "ack_deadline_seconds": CURSOR_KEEPS_S}
            self._subscriber.modify_ack_deadline(request=held, timeout=CALL_DEADLINE_S)
        return list(received)

    def _subscription(self, topic: str) -> str:
        name = topic + pubsub.table()["deadLetterSuffix"]
        return str(self._subscriber.subscription_path(self._project, name))


def _letter(topic: str, received: Any) -> DeadLetter:
    message = received.message
    attributes = dict(message.attributes)
    attempts = attributes.get(f"{GOOGLES_ATTRIBUTES}DeliveryCount", "")
    published_at = message.publish_time.isoformat()
    return DeadLetter(message.message_id, topic, published_at, attempts, attributes, message.data, received.ack_id)


def _topics(wanted: list[str] | None) -> list[str]:
    known: list[str] = pubsub.table()["topics"]
    unknown = sorted(set(wanted or []) - set(known))
    if unknown:
        raise ValueError(f"there is no topic {', '.join(unknown)}; there are {', '.join(known)}")
    return wanted or known


def _named(letters: Sequence[DeadLetter], ids: Sequence[str]) -> list[DeadLetter]:
    missing = sorted(set(ids) - {letter.id for letter in letters})
    if missing:
        raise ValueError(f"there is no dead letter {', '.join(missing)}; nothing was replayed")
    return [letter for letter in letters if letter.id in ids]


def _print(letter: DeadLetter, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(letter.as_json(), ensure_ascii=False))
        return
    shown = letter.data.decode(errors="replace")
    print(f"{letter.id}  {letter.topic}  {letter.published_at}  {letter.attempts or '?'} attempts  {shown[:200]}")
