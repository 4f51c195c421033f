"""A question asked at the terminal: however often its line breaks, the answer is read to its end, once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from assistant.drafts import Cursor, Draft, position_of
from assistant.pieces import TokenUsage
from local import asking
from local.client import Refused
from shared.problems import CONTENT_TYPE, Problem

PIECES = ("Lower the ceiling. ", "Then raise ", "the loudness.")


@dataclass
class Chat:
    """A chat that breaks its lines after so many events, one number a request, or refuses."""

    plan: Sequence[int | Problem]
    asked: list[dict[str, str]] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        step = self.plan[min(len(self.asked), len(self.plan) - 1)]
        self.asked.append(dict(handler.headers.items()))
        if isinstance(step, Problem):
            handler.send_response(step.kind.status)
            handler.send_header("Content-Type", CONTENT_TYPE)
            handler.end_headers()
            handler.wfile.write(step.as_json().encode())
            return
        handler.send_response(200)
        handler.end_headers()
        last = handler.headers.get("Last-Event-ID")
        cursor = Cursor(whole(), position_of(last)[1] if last else None)
        for event in list(cursor.events())[:step]:
            handler.wfile.write(event.encode())
        handler.wfile.write(b"id: half an eve")


def whole() -> Draft:
    draft = Draft("c", "m" * 20)
    for piece in PIECES:
        draft.add(piece)
    draft.finish(TokenUsage())
    return draft


@contextmanager
def serving(chat: Chat) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            chat.answer(self)

        def log_message(self, *_: object) -> None:
            """Tests are quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def asked(chat: Chat) -> list[tuple[str, dict[str, object]]]:
    with serving(chat) as address, requests.Session() as http:
        return list(asking.answer(http, address, {"message": "Why?"}))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "LONGEST_PAUSE_S", 0.01)


def test_an_answer_is_read_to_its_end_over_any_number_of_broken_lines() -> None:
    chat = Chat([2, 0, 1, 1, 100])
    events = asked(chat)
    assert [name for name, _ in events] == ["message.start", "delta", "delta", "delta", "usage", "done"]
    assert "".join(str(data["text"]) for name, data in events if name == "delta") == "".join(PIECES)
    assert len({headers["Idempotency-Key"] for headers in chat.asked}) == 1
    assert [("Last-Event-ID" in headers) for headers in chat.asked] == [False, True, True, True, True]


def test_a_line_that_breaks_before_the_first_event_is_asked_again_with_the_same_key() -> None:
    chat = Chat([0, 100])
    assert asked(chat)[-1][0] == "done"
    assert len({headers["Idempotency-Key"] for headers in chat.asked}) == 1


def test_a_refusal_is_told_at_once_and_a_passing_one_after_a_broken_line_is_waited_out() -> None:
    with pytest.raises(Refused, match="used up"):
        asked(Chat([Problem("quota-used-up", "All messages are used.")]))
    assert asked(Chat([2, Problem("rate-limited", "Too many."), 100]))[-1][0] == "done"


def test_a_line_that_stays_broken_is_given_up_with_a_plain_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "GIVE_UP_AFTER_S", 0.05)
    with pytest.raises(requests.ConnectionError, match="could not be gone on with"):
        asked(Chat([2, 0]))
