"""An Idempotency-Key stands for one request, whichever conversation it names and whichever instance it comes to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest

from assistant import conversations
from assistant.conversations import named
from assistant.questions import Question
from shared.documents import account, requests
from shared.documents.records import Conversation
from shared.identity import Caller
from shared.problems import Problem

KEY = {"idempotency-key": "k-1"}
BODIES = (
    Question("Why?", (), None, None),
    Question("Why?", ("song",), None, None),
    Question("Why?", (), "talk", None),
    Question("Why?", (), None, "pt-BR"),
    Question("Why?", (), None, None, (), ("picture",)),
)


class Documents:
    """What a user sees who has nothing; messages are counted as they are written."""

    written: ClassVar[list[str]] = []

    def __init__(self, caller: Caller) -> None:
        self._uid = caller.uid

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_: None

    def add_message(self, _conversation: Conversation, message_id: str, _text: str, *, new: bool) -> None:
        self.written.append(f"{self._uid}/{message_id}")


def refusal(question: Question, uid: str = "twice-ana", headers: Mapping[str, str] = KEY) -> str | None:
    """Asks, with the key where nothing else is said; the code of the problem, if any."""
    try:
        asyncio.run(conversations.ask(named(Caller(uid, "token"), question, headers, 0.0)))
    except Problem as problem:
        return problem.code
    return None


@pytest.mark.usefixtures("client")
def test_the_same_key_with_another_body_is_refused_whatever_differs_and_nothing_is_written_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conversations, "UserDocuments", Documents)
    monkeypatch.setattr(Documents, "written", [])
    assert refusal(BODIES[0]) is None
    assert [refusal(body) for body in BODIES[1:]] == ["unprocessable"] * 4
    assert refusal(BODIES[0]) is None, "the same request again"
    assert refusal(BODIES[1], "twice-bob") == "not-found", "another user's key is another key"
    assert len(Documents.written) == 2
    assert len(set(Documents.written)) == 1


@pytest.mark.usefixtures("client")
def test_who_goes_on_with_a_stream_is_held_to_the_key_it_was_asked_with_and_bound_by_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conversations, "UserDocuments", Documents)
    last = {"last-event-id": f"{named(Caller('back-ana', 't'), BODIES[0], KEY, 0.0).message_id}:0:00000000"}
    assert refusal(BODIES[1], "back-ana", last) == "not-found"
    assert refusal(BODIES[0], "back-ana") is None, "the key was not bound to the request before it"
    assert refusal(BODIES[1], "back-ana", last) == "unprocessable"


@pytest.mark.usefixtures("client")
def test_of_many_bodies_at_once_a_key_stands_for_one() -> None:
    with ThreadPoolExecutor(8) as threads:
        bound = set(threads.map(lambda n: requests.bind("at-once", "m", f"digest-{n}"), range(24)))
    assert len(bound) == 1


@pytest.mark.usefixtures("client")
def test_a_deleted_account_leaves_no_digest_of_what_it_asked() -> None:
    assert requests.bind("deleted-ana", "m", "first") == "first"
    account.begin_deletion("deleted-ana")
    list(account.delete_rest("deleted-ana"))
    deletion = account.deletion("deleted-ana")
    assert deletion is not None
    assert deletion.counts["requests"] == 1
    assert requests.bind("deleted-ana", "m", "second") == "second"
