"""The chat through the local cloud: a stream that breaks is gone on with, as its documentation says."""

from __future__ import annotations

import json
from typing import Any

import requests

from local.asking import identified_events
from tests.cloud import LocalCloud

QUESTION = {"message": "How do I fix a muddy mix?"}


def events(cloud: LocalCloud, uid: str, last_event_id: str | None = None, **more: Any) -> list[tuple[str, str, Any]]:
    headers = {"Authorization": f"Bearer {cloud.token(uid)}", "Accept": "text/event-stream"}
    if last_event_id is not None:
        headers["Last-Event-ID"] = last_event_id
    body = json.dumps({**QUESTION, **more})
    with requests.post(f"{cloud.ready['chat']}/v1/chat", data=body, headers=headers, timeout=60, stream=True) as answer:
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        return list(identified_events(answer.iter_lines()))


def text_of(found: list[tuple[str, str, Any]]) -> str:
    return "".join(data["text"] for _, name, data in found if name == "delta")


def test_a_stream_cut_after_any_event_is_gone_on_with_to_the_letter_and_counted_once(cloud: LocalCloud) -> None:
    """A user for each cut: two requests a minute are let in even while the limiter's Redis does not answer."""
    for place in (0, 2, -3, -2):
        uid = f"goes-on{place}"
        whole = events(cloud, uid)
        assert whole[0][1] == "message.start"
        assert len({event_id for event_id, _, _ in whole}) == len(whole)
        rest = events(cloud, uid, whole[place][0])
        assert rest[-1] == whole[-1]
        answer = whole[-1][2]["answer"]
        assert text_of(whole[: whole.index(whole[place]) + 1]) + text_of(rest) == answer
        message = f"conversations/{whole[0][2]['conversationId']}/messages/{whole[0][2]['messageId']}-answer"
        assert cloud.document(message)["text"] == answer
        assert cloud.usage(uid)["messages"] == 1


def test_nobody_goes_on_with_the_stream_of_somebody_else(cloud: LocalCloud) -> None:
    whole = events(cloud, "listened-to")
    conversation = whole[0][2]["conversationId"]
    headers = {"Accept": "application/json", "Last-Event-ID": whole[1][0]}
    headers["Authorization"] = f"Bearer {cloud.token('listener')}"
    for body in (QUESTION, {**QUESTION, "conversationId": conversation}):
        answer = requests.post(f"{cloud.ready['chat']}/v1/chat", json=body, headers=headers, timeout=60)
        assert answer.status_code == 404
        assert whole[-1][2]["answer"] not in answer.text
