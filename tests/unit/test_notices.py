"""Notices fit what Slack and Discord take, and go out in order, once, at the pace they are asked to keep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.inbox import discord_fault, slack_fault
from monitoring import notices, outbox
from monitoring.alerts import Alert, Transition
from monitoring.incidents import as_document, joined, left, of_document, opened, shown
from monitoring.judge import Notice
from monitoring.outbox import Outcome
from shared import clients
from shared.documents import operations
from shared.documents.operations import StoredNotice

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
ALERT = Alert("error-rate", "errors", "critical", "errorRate", 0.05, 180, 120, "share", "{label} fails", ())
FIRED = Transition("fired", ALERT, "POST /v1/chat", START.timestamp(), 0.2)
WEBHOOKS = {"slack": "http://slack", "discord": "http://discord"}


# ---- what is said --------------------------------------------------------------------------------------------------


def notice(
    kind: str = "opened", lines: tuple[str, ...] = ("it fails", "limits are halved"), members: int = 1
) -> Notice:
    incident = opened(FIRED)
    for i in range(1, members):
        incident = joined(incident, replace(FIRED, label=f"endpoint {i}"))
    if kind == "resolved":
        incident = left(incident, FIRED.key, FIRED.at + 600)
    return Notice(incident, kind, 3, lines, False)


@pytest.mark.parametrize("kind", ["opened", "update", "resolved"])
def test_a_notice_says_what_is_wrong_since_when_what_was_done_and_where_to_read_on(kind: str) -> None:
    text = str(notices.for_slack(notice(kind))) + str(notices.for_discord(notice(kind)))
    for part in (
        "POST /v1/chat fails",
        "20 %",
        "12:00:00 UTC",
        "limits are halved",
        "20261124-120000-errors",
        "runbook",
    ):
        assert part in text
    assert ("10 min" in text) == (kind == "resolved")


@given(st.lists(st.text(max_size=4_000), max_size=30), st.integers(1, 40), st.text(min_size=1, max_size=500))
def test_a_notice_fits_whatever_it_has_to_say(lines: list[str], members: int, title: str) -> None:
    said = notice("update", tuple(lines), members)
    key, first = next(iter(said.incident.members.items()))
    members_now = {**said.incident.members, key: replace(first, title=title)}
    incident = replace(said.incident, title=title, members=members_now)
    said = replace(said, incident=incident)
    assert slack_fault(notices.for_slack(said)) is None
    assert discord_fault(notices.for_discord(said)) is None
    blocks = notices.for_slack(said)["blocks"]
    assert len(blocks[2]["fields"]) <= 10
    assert all(len(field["text"]) <= 2_000 for field in blocks[2]["fields"])
    embed = notices.for_discord(said)["embeds"][0]
    assert len(embed["title"]) <= 256
    assert len(embed["description"]) <= 4_096


def test_nobody_is_called_by_a_notice() -> None:
    said = notice(lines=("<!channel> @everyone & <https://evil.example|here>",))
    assert "&lt;!channel&gt; @everyone &amp; &lt;https://" in str(notices.for_slack(said))
    assert notices.for_discord(said)["allowed_mentions"] == {"parse": []}


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.925, "share", "92.5 %"),
        (0.9, "share", "90 %"),
        (3.04, "s", "3.04 s"),
        (51, "count", "51"),
        (15, "times", "15.0 times"),
    ],
)
def test_values_are_shown_for_people(value: float, unit: str, text: str) -> None:
    assert shown(value, unit) == text


def test_an_incident_survives_being_written_and_read() -> None:
    incident = notice("resolved", members=3).incident
    assert of_document(incident.id, as_document(incident)) == incident


# ---- what waits to go out ------------------------------------------------------------------------------------------


class Waiting:
    """The collection `notices`, as far as it is asked for by what a field is."""

    def __init__(self, found: list[tuple[str, dict[str, Any]]], most: int | None = None) -> None:
        self._found = found
        self._most = most

    def collection(self, _: str) -> Waiting:
        return self

    def where(self, *, filter: Any) -> Waiting:  # Firestore's word for it
        wanted = filter.value if filter.op_string == "in" else [filter.value]
        return Waiting([(i, data) for i, data in self._found if data[filter.field_path] in wanted])

    def limit(self, most: int) -> Waiting:
        return Waiting(self._found, most)

    def stream(self, **_: object) -> list[Any]:
        return [
            SimpleNamespace(id=i, to_dict=lambda data=data: data, update_time=START)
            for i, data in self._found[: self._most]
        ]


def test_what_one_webhook_does_not_take_holds_up_no_other_however_much_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(f"{i:03}-slack", "slack", "waiting") for i in range(60)]
    rows += [("060-discord", "discord", "waiting"), ("061-discord", "discord", "sent")]
    rest = {"payload": "{}", "attempts": 0, "createdAt": START, "notBefore": START}
    notices_now = [(i, {"service": service, "state": state, **rest}) for i, service, state in rows]
    monkeypatch.setattr(clients, "firestore", lambda: Waiting(notices_now))
    found = operations.notices_to_send(["slack", "discord"])
    assert [notice.id for notice in found if notice.service == "discord"] == ["060-discord"]
    assert len(found) == 51


# ---- how it goes out -----------------------------------------------------------------------------------------------


class Box:
    """The outbox's documents, a webhook whose answers are foreseen, and a clock."""

    def __init__(self, *answers: Outcome) -> None:
        self.now = START.timestamp() + 60
        self.answers = list(answers)
        self.asked: list[tuple[str, str]] = []
        self.slept: list[float] = []
        self.notices: dict[str, StoredNotice] = {}
        self.states: dict[str, str] = {}
        self.dies = False

    def put(self, notice_id: str, service: str = "slack", **fields: object) -> None:
        stored = StoredNotice(notice_id, service, f"payload of {notice_id}", "waiting", 0, START, START, START)
        self.notices[notice_id] = replace(stored, **fields)  # type: ignore[arg-type]
        self.states[notice_id] = "waiting"

    def deliver(self) -> None:
        outbox.deliver(WEBHOOKS, store=self, post=self.post, clock=lambda: self.now, sleep=self.sleep)

    def notices_to_send(self, services: Iterable[str]) -> list[StoredNotice]:
        due = [n for n in self.notices.values() if self.states[n.id] in {"waiting", "sending"}]
        return sorted((n for n in due if n.service in set(services)), key=lambda n: (n.created_at, n.id))

    def mark_notice(self, notice_id: str, version: object, **fields: object) -> object:
        before = self.notices[notice_id]
        if before.version != version:
            return None
        self.states[notice_id] = str(fields["state"])
        self.now += 0.01
        after = replace(before, state=str(fields["state"]), version=datetime.fromtimestamp(self.now, UTC))
        after = replace(after, attempts=fields.get("attempts", after.attempts))  # type: ignore[arg-type]
        after = replace(after, not_before=fields.get("notBefore", after.not_before))  # type: ignore[arg-type]
        self.notices[notice_id] = after
        return after.version

    def post(self, url: str, payload: str) -> Outcome:
        self.asked.append((url, payload))
        if self.dies:
            raise KeyboardInterrupt
        return self.answers.pop(0) if self.answers else Outcome(200)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def payloads(box: Box) -> list[str]:
    return [payload.removeprefix("payload of ") for _, payload in box.asked]


def test_notices_go_out_in_order_once_and_a_second_apart() -> None:
    box = Box()
    box.put("b", created_at=START + timedelta(seconds=1))
    box.put("a")
    box.deliver()
    box.deliver()
    assert payloads(box) == ["a", "b"]
    assert set(box.states.values()) == {"sent"}
    assert box.slept == [outbox.PACE_S]


def test_retry_after_is_obeyed_and_what_was_refused_goes_again_once() -> None:
    box = Box(Outcome(429, 3.0))
    box.put("a")
    box.put("b")
    box.deliver()
    assert payloads(box) == ["a", "a", "b"]
    assert box.slept[0] == pytest.approx(3.0, abs=0.1)
    assert set(box.states.values()) == {"sent"}


def test_a_long_retry_after_is_waited_for_by_later_ticks() -> None:
    box = Box(Outcome(429, 100.0))
    box.put("a")
    box.deliver()
    box.now += 60
    box.deliver()
    assert payloads(box) == ["a"]
    box.now += 60
    box.deliver()
    assert payloads(box) == ["a", "a"]
    assert box.states == {"a": "sent"}


def test_a_webhook_that_fails_holds_up_its_own_notices_only_and_in_order() -> None:
    box = Box(Outcome(204), Outcome(500))
    box.put("opened", service="slack")
    box.put("resolved", service="slack")
    box.put("other", service="discord")
    box.deliver()
    assert payloads(box) == ["other", "opened"]
    box.now += 31
    box.deliver()
    assert payloads(box) == ["other", "opened", "opened", "resolved"]


def test_a_message_that_a_webhook_will_never_take_is_given_up_and_the_next_one_goes() -> None:
    box = Box(Outcome(404), Outcome(200))
    box.put("a")
    box.put("b")
    box.deliver()
    assert box.states == {"a": "given-up", "b": "sent"}


def test_after_a_day_of_failures_a_notice_is_given_up() -> None:
    box = Box()
    box.put("a")
    box.now += 86_400
    box.deliver()
    assert box.states == {"a": "given-up"}
    assert box.asked == []


def test_a_notice_for_a_webhook_that_is_no_longer_set_is_given_up() -> None:
    box = Box()
    box.put("a", service="discord")
    outbox.deliver({"slack": "http://slack"}, store=box, post=box.post, clock=lambda: box.now, sleep=box.sleep)
    assert box.states == {"a": "given-up"}


def test_two_who_deliver_at_once_send_one_message() -> None:
    box = Box()
    box.put("a")
    stale = box.notices_to_send(WEBHOOKS)
    box.deliver()
    box.notices_to_send = lambda services: stale  # type: ignore[method-assign]  # read before the other one sent it
    box.deliver()
    assert payloads(box) == ["a"]


def test_a_sender_that_died_is_waited_for_and_then_the_message_goes_again() -> None:
    box = Box()
    box.put("a")
    box.dies = True
    with pytest.raises(KeyboardInterrupt):
        box.deliver()
    box.dies = False
    assert box.states == {"a": "sending"}
    box.deliver()
    assert payloads(box) == ["a"]  # it may be under way
    box.now += 121
    box.deliver()
    assert payloads(box) == ["a", "a"]
    assert box.states == {"a": "sent"}


def test_waits_grow_from_half_a_minute_to_a_quarter_of_an_hour() -> None:
    box = Box(*[Outcome(500)] * 12)
    box.put("a")
    waits: list[int] = []
    while box.states["a"] == "waiting" and len(waits) < 8:
        box.deliver()
        waits.append(round((box.notices["a"].not_before - datetime.fromtimestamp(box.now, UTC)).total_seconds()))
        box.now = box.notices["a"].not_before.timestamp()
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]


@pytest.mark.parametrize(
    ("header", "body", "wait_s"),
    [
        ("7", "", 7.0),
        ("", '{"retry_after": 0.5}', 0.5),
        ("", "no", None),
        ("soon", "", None),
        ("7200", "", 7200.0),
        ("1e9", "", 86_400.0),
        ("nan", "", None),
        ("inf", '{"retry_after": 2}', 2.0),
        ("", '{"retry_after": NaN}', None),
        ("", "[]", None),
        ("-3", "", 0.0),
        ("Tue, 24 Nov 2026 12:02:00 GMT", "", 120.0),
        ("Tue, 24 Nov 2026 11:00:00 GMT", "", 0.0),
        ("Tue, 99 Nov 2026 11:00:00 GMT", "", None),
    ],
)
def test_what_a_webhook_asks_to_wait_is_read(header: str, body: str, wait_s: float | None) -> None:
    assert outbox.retry_after_of(header, body, START) == wait_s


def test_a_webhook_that_does_not_answer_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object, **__: object) -> httpx.Response:
        raise httpx.ConnectTimeout("")

    monkeypatch.setattr(httpx, "post", silent)
    assert outbox.post_json("http://127.0.0.1:9", "{}") == Outcome(None)
