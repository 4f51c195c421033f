"""Notices go out: in order, at the pace a webhook allows, each once as far as a webhook lets one know.

A notice is marked `sending` before the request and `sent` after it; a refusal puts it back for later. One gap remains:
where the answer was lost (a timeout, or the process died between the request and the second mark), nobody knows
whether the message arrived, and it is sent again, since a message too many is better than none. Its footer says which
one it is.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Protocol

from monitoring.notices import FORMATS
from shared import telemetry
from shared.documents import operations
from shared.documents.operations import StoredNotice

SEND_TIMEOUT_S = 5.0
PACE_S = 1.0  # Slack: one message a second
BUDGET_S = 8.0  # for one webhook in one tick
LOST_AFTER = timedelta(minutes=2)  # a notice that is being sent for longer was lost with its sender
GIVEN_UP_AFTER = timedelta(hours=24)
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 30.0, 900.0


@dataclass(frozen=True)
class Outcome:
    """What a webhook answered; no status where there was no answer."""

    status: int | None
    retry_after_s: float | None = None

    @property
    def sent(self) -> bool:
        return self.status is not None and self.status < 300

    @property
    def hopeless(self) -> bool:
        """The webhook will never take this message: it is gone, or the message is wrong."""
        return self.status is not None and 300 <= self.status < 500 and self.status not in {408, 429}


class Store(Protocol):
    def notices_to_send(self, services: Iterable[str]) -> list[StoredNotice]: ...
    def mark_notice(self, notice_id: str, version: object, **fields: object) -> object: ...


Post = Callable[[str, str], Outcome]


def deliver(
    webhooks: Mapping[str, str],
    *,
    store: Store = operations,
    post: Post | None = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Sends what waits to the webhooks, by service. Never raises for a webhook that fails."""
    waiting = store.notices_to_send(FORMATS)
    for service in sorted(FORMATS):
        queue = [notice for notice in waiting if notice.service == service]
        _Sender(webhooks.get(service, ""), store, post or post_json, clock, sleep).run(queue)


class _Sender:
    """One webhook during one tick."""

    def __init__(
        self, url: str, store: Store, post: Post, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._url = url
        self._store = store
        self._post = post
        self._clock = clock
        self._sleep = sleep
        self._ends = clock() + BUDGET_S
        self._sent_any = False

    def run(self, queue: Sequence[StoredNotice]) -> None:
        """In order: what comes after one that cannot go yet waits as well."""
        for notice in queue:
            if not self._give(notice):
                return

    def _give(self, notice: StoredNotice) -> bool:
        """Whether the next notice may go: this one was sent, or given up."""
        now = self._now()
        if not self._url or now - notice.created_at > GIVEN_UP_AFTER:
            self._store.mark_notice(notice.id, notice.version, state="given-up")
            telemetry.error("a notice was given up", notice=notice.id, service=notice.service)
            return True
        if notice.state == "sending" and now - _moment(notice.version) < LOST_AFTER:
            return False
        pause_s = max((notice.not_before - now).total_seconds(), PACE_S if self._sent_any else 0)
        while True:
            if self._clock() + pause_s > self._ends:
                return False
            if pause_s > 0:
                self._sleep(pause_s)
            settled, pause_s = self._try(notice)
            if settled is not None:
                return settled
            notice = self._again(notice)

    def _try(self, notice: StoredNotice) -> tuple[bool | None, float]:
        """One attempt: settled or not (None: to be tried again after a pause, perhaps in this tick)."""
        version = self._store.mark_notice(
            notice.id, notice.version, state="sending", attempts=notice.attempts + 1, sendingAt=self._now()
        )
        if version is None:
            return False, 0  # somebody else sends it
        outcome = self._post(self._url, notice.payload)
        self._sent_any = True
        if outcome.sent:
            self._store.mark_notice(notice.id, version, state="sent", sentAt=self._now())
            return True, 0
        if outcome.hopeless:
            self._store.mark_notice(notice.id, version, state="given-up", status=outcome.status)
            telemetry.error("a webhook refuses a notice", notice=notice.id, status=outcome.status)
            return True, 0
        backoff_s = min(FIRST_BACKOFF_S * 2**notice.attempts, LONGEST_BACKOFF_S)
        wait_s = backoff_s if outcome.retry_after_s is None else outcome.retry_after_s
        not_before = self._now() + timedelta(seconds=wait_s)
        telemetry.warning("a notice waits", notice=notice.id, status=outcome.status, waitS=wait_s)
        self._version = self._store.mark_notice(
            notice.id, version, state="waiting", notBefore=not_before, status=outcome.status
        )
        return (None if self._version is not None else False), wait_s

    def _again(self, notice: StoredNotice) -> StoredNotice:
        return StoredNotice(
            notice.id,
            notice.service,
            notice.payload,
            "waiting",
            notice.attempts + 1,
            notice.created_at,
            self._now(),
            self._version,
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _moment(version: object) -> datetime:
    """The update time of a document, which is its version."""
    return version.astimezone(UTC) if isinstance(version, datetime) else datetime.now(UTC)


def post_json(url: str, payload: str) -> Outcome:
    import httpx

    try:
        answer = httpx.post(url, content=payload, headers={"Content-Type": "application/json"}, timeout=SEND_TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL):
        return Outcome(None)
    wait_s = retry_after_of(answer.headers.get("Retry-After", ""), answer.text, datetime.now(UTC))
    return Outcome(answer.status_code, wait_s)


def retry_after_of(header: str, body: str, now: datetime) -> float | None:
    """How many seconds a webhook asks to wait: the header (RFC 9110, 10.2.3), else Discord's `retry_after`.

    A day at most: by then a notice is given up.
    """
    for read in (lambda: header, lambda: _until(header, now), lambda: json.loads(body)["retry_after"]):
        try:
            told = float(read())
        except (KeyError, TypeError, ValueError):
            continue
        if math.isfinite(told):
            return min(max(told, 0.0), GIVEN_UP_AFTER.total_seconds())
    return None


def _until(date: str, now: datetime) -> float:
    """Raises ValueError for what is no HTTP date."""
    return (parsedate_to_datetime(date).astimezone(UTC) - now).total_seconds()
