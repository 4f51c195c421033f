"""The inbox answers as Slack and Discord do, refuses what they refuse, and shows what came readably."""

import asyncio
import json
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import StreamReader, web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from local import inbox_page
from local.inbox import MESSAGES_KEPT, Inbox, discord_fault, slack_fault

SLACK = {
    "text": "Error rate above 5 %",
    "blocks": [
        {"type": "header", "text": {"type": "plain_text", "text": "Error rate above 5 %"}},
        {
            "type": "section",
            "text": {"type": "mrkdwn", "text": "*chat* fails, see <https://example.com/a?b=1|the log>"},
        },
        {"type": "divider"},
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "now: `7.2 %`"}]},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "since 12:00"}]},
        {"type": "actions", "elements": [{"type": "button", "url": "https://example.com", "text": {"text": "Open"}}]},
    ],
}
DISCORD = {
    "content": "**Alert**",
    "embeds": [
        {
            "title": "Memory",
            "url": "https://example.com",
            "description": "above 90 %",
            "color": 0xFF0000,
            "fields": [{"name": "now", "value": "93 %"}],
            "footer": {"text": "prodai"},
        }
    ],
}


def request(method: str, path: str, body: Any = None) -> web.Request:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    stream = StreamReader(Mock(_reading_paused=False), limit=2**16)
    stream.feed_data(data)
    stream.feed_eof()
    return make_mocked_request(method, path, payload=stream)


KEYS = st.sampled_from(["text", "blocks", "type", "content", "embeds", "title", "fields", "value", "footer"])


class Box:
    """An inbox, asked without a network."""

    def __init__(self) -> None:
        self._inbox = Inbox()

    def slack(self, payload: Any) -> web.Response:
        return self._ask(self._inbox.slack, "POST", "/slack/T0/B0/key", payload)

    def discord(self, payload: Any) -> web.Response:
        return self._ask(self._inbox.discord, "POST", "/discord/1/key", payload)

    def behave(self, told: Any) -> web.Response:
        return self._ask(self._inbox.behave, "POST", "/behave", told)

    def messages(self) -> list[dict[str, Any]]:
        kept: list[dict[str, Any]] = json.loads(self._ask(self._inbox.messages, "GET", "/messages").text or "")
        return kept

    def page(self) -> str:
        return self._ask(self._inbox.page, "GET", "/").text or ""

    def _ask(self, handler: Any, method: str, path: str, body: Any = None) -> web.Response:
        async def run() -> web.Response:
            answer: web.Response = await handler(request(method, path, body))
            return answer

        return asyncio.run(run())


@pytest.fixture
def box() -> Box:
    return Box()


def test_slack_answers_200_ok_and_discord_204_with_nothing(box: Box) -> None:
    slack, discord = box.slack(SLACK), box.discord(DISCORD)
    assert (slack.status, slack.text) == (200, "ok")
    assert (discord.status, discord.text) == (204, None)


def test_messages_are_kept_as_they_came_up_to_a_bound(box: Box) -> None:
    for number in range(MESSAGES_KEPT + 3):
        box.slack({"text": str(number)})
    kept = box.messages()
    assert [message["payload"]["text"] for message in kept] == [str(n) for n in range(3, MESSAGES_KEPT + 3)]
    assert (kept[0]["service"], kept[0]["path"], kept[0]["status"]) == ("slack", "/slack/T0/B0/key", 200)


def test_told_to_fail_it_fails_so_many_times_and_then_works_again(box: Box) -> None:
    box.behave({"status": 429, "retryAfter": 2, "times": 2})
    slack, discord = box.slack(SLACK), box.discord(DISCORD)
    assert (slack.status, slack.headers["Retry-After"]) == (429, "2")
    assert (discord.status, json.loads(discord.text or "")["retry_after"]) == (429, 2.0)
    assert box.slack(SLACK).status == 200
    assert [message["status"] for message in box.messages()] == [429, 429, 200]


def test_an_order_that_makes_no_sense_is_refused(box: Box) -> None:
    orders: list[Any] = [{}, [], {"status": "many"}]
    assert [box.behave(order).status for order in orders] == [400, 400, 400]
    assert box.slack(SLACK).status == 200


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        (b"not JSON", "invalid_payload"),
        ({}, "no_text"),
        ({"text": "x" * 40_001}, "msg_too_long"),
        ({"blocks": [{"type": "section", "text": {"text": "x" * 3_001}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "header", "text": {"text": "x" * 151}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
    ],
)
def test_slack_refuses_with_its_own_word(box: Box, payload: Any, fault: str) -> None:
    refused = box.slack(payload)
    assert (refused.status, refused.text) == (400, fault)


@pytest.mark.parametrize(
    "payload",
    [
        b"not JSON",
        {},
        {"content": "x" * 2_001},
        {"embeds": [{"title": "x"}] * 11},
        {"embeds": [{"description": "x" * 3_000}, {"fields": [{"name": "x", "value": "x" * 3_000}]}]},
    ],
)
def test_discord_refuses_what_is_empty_or_too_long(box: Box, payload: Any) -> None:
    assert box.discord(payload).status == 400


def test_what_is_just_short_enough_is_taken() -> None:
    assert slack_fault({"blocks": [{"type": "section", "text": {"text": "x" * 3_000}}]}) is None
    assert discord_fault({"content": "x" * 2_000, "embeds": [{"description": "x" * 6_000}]}) is None


def test_the_page_shows_text_links_and_fields_and_not_markup(box: Box) -> None:
    box.slack(SLACK)
    box.discord(DISCORD)
    page = box.page()
    for shown in (
        "<h2>Error rate above 5 %</h2>",
        '<b>chat</b> fails, see <a href="https://example.com/a?b=1">the log</a>',
        "<code>7.2 %</code>",
        '<a href="https://example.com">Open</a>',
        "<b>Alert</b>",
        "<dt>now</dt><dd>93 %</dd>",
        "--bar: #ff0000",
    ):
        assert shown in page
    assert page.index("Alert") < page.index("Error rate")  # the newest first


@given(st.text(), st.sampled_from(["slack", "discord"]))
def test_no_message_can_put_a_tag_of_its_own_on_the_page(text: str, service: str) -> None:
    hostile = f'<script>{text}</script><https://x" onclick=1|a>[b](https://y\'"onclick)'
    payload = {"text": hostile, "content": hostile}
    message = {"service": service, "receivedAt": "now", "path": hostile, "status": 200, "payload": payload}
    page = inbox_page.page([message])
    assert "<script" not in page
    assert 'x" onclick' not in page
    assert "y'\"onclick" not in page


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_whatever_comes_can_be_shown(payload: Any) -> None:
    for service in ("slack", "discord"):
        message = {"service": service, "receivedAt": "now", "path": "/", "status": 400, "payload": payload}
        assert "<article" in inbox_page.page([message])


@given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner)))
def test_whatever_comes_is_judged_without_an_error_of_our_own(payload: Any) -> None:
    for fault in (slack_fault(payload), discord_fault(payload)):
        assert fault is None or fault
