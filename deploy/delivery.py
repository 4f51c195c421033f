"""How events are delivered and how often the tick comes: both stand in functions/deployables.json.

    python3 -m deploy.delivery subscription     ack deadline, attempts, and the least and longest wait between them
    python3 -m deploy.delivery cron             the tick's schedule

Limits: Pub/Sub, "Subscription properties" and "Handle message failures"; Cloud Scheduler, "Cron job format" (2026-11).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

TABLE = Path(__file__).resolve().parent.parent / "functions" / "deployables.json"
STORAGE_TOPIC = "storage-events"
ACK_DEADLINE_S = (10, 600)
ATTEMPTS = (5, 100)
BACKOFF_MOST_S = 600
CRON_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))


def table() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return content


def topics() -> list[str]:
    """What events come on: each has a topic for dead letters, and a subscription that keeps those."""
    return [str(topic) for topic in table()["topics"]]


def own_topics() -> list[str]:
    """Those that our functions and the scheduler publish on: a bucket's events come on a topic of Eventarc's own."""
    return [topic for topic in topics() if topic != STORAGE_TOPIC]


def dead_letters() -> list[str]:
    return [topic + str(table()["deadLetterSuffix"]) for topic in topics()]


def faults(content: Mapping[str, Any]) -> Iterator[str]:
    """What Google would refuse, and what would deliver an event again to a function that is still at work."""
    subscription = content["subscription"]
    ack_s, attempts = subscription["ackDeadlineSeconds"], subscription["deadLetterPolicy"]["maxDeliveryAttempts"]
    if not ACK_DEADLINE_S[0] <= ack_s <= ACK_DEADLINE_S[1]:
        yield f"an ack deadline of {ack_s} s is not within {ACK_DEADLINE_S[0]} to {ACK_DEADLINE_S[1]} s"
    for row in content["deployables"]:
        if row["trigger"] and row["timeoutS"] >= ack_s:
            yield f"{row['name']} may work for {row['timeoutS']} s, but its event comes again after {ack_s} s"
    if not ATTEMPTS[0] <= attempts <= ATTEMPTS[1]:
        yield f"{attempts} attempts before the dead letter are not within {ATTEMPTS[0]} to {ATTEMPTS[1]}"
    least_s, most_s = (int(subscription["retryPolicy"][f"{which}Backoff"][:-1]) for which in ("minimum", "maximum"))
    if not 0 <= least_s <= most_s <= BACKOFF_MOST_S:
        yield f"a wait of {least_s} to {most_s} s between attempts is not within 0 to {BACKOFF_MOST_S} s"
    yield from cron_faults(content["tickCron"])


def cron_faults(expression: str) -> Iterator[str]:
    """The five fields of unix-cron: numbers, ranges, steps and lists of them."""
    parts = expression.split()
    if len(parts) != len(CRON_FIELDS):
        yield f"the schedule {expression!r} has {len(parts)} fields, not {len(CRON_FIELDS)}"
        return
    for part, (name, least, most) in zip(parts, CRON_FIELDS, strict=True):
        if not all(_is_cron(item, least, most) for item in part.split(",")):
            yield f"the schedule {expression!r}: {part} is no {name} from {least} to {most}"


def _is_cron(item: str, least: int, most: int) -> bool:
    matched = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/([1-9]\d*))?", item)
    if matched is None:
        return False
    first, last = int(matched[1] or least), int(matched[2] or matched[1] or most)
    return least <= first <= last <= most


def main(arguments: list[str]) -> str:
    content = table()
    match arguments:
        case ["cron"]:
            return str(content["tickCron"])
        case ["subscription"]:
            given, retry = content["subscription"], content["subscription"]["retryPolicy"]
            attempts = given["deadLetterPolicy"]["maxDeliveryAttempts"]
            return f"{given['ackDeadlineSeconds']} {attempts} {retry['minimumBackoff']} {retry['maximumBackoff']}"
    raise ValueError(f"{arguments} is no part of the delivery")


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:]) + "\n")
