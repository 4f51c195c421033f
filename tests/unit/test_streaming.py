"""The stream of an answer: every event has an id, and the pieces joined are the text."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from assistant.conversations import Asked
from assistant.questions import question
from assistant.streaming import OpenStream, sentences, wants_json
from local.client import server_sent_events
from shared.http import Request
from shared.problems import Problem


@given(st.text(max_size=500))
def test_the_pieces_joined_are_the_text(text: str) -> None:
    assert "".join(sentences(text)) == text


def test_a_text_is_released_sentence_by_sentence() -> None:
    pieces = list(sentences("It peaks at +0.4 dBTP. Lower it to -1.0 dBTP.\n- First\n- Second"))
    assert pieces == ["It peaks at +0.4 dBTP. ", "Lower it to -1.0 dBTP.\n", "- First\n", "- Second"]


def test_a_client_reads_what_was_written_whatever_the_text_holds() -> None:
    stream = OpenStream(Asked("ana", "c", "m", "?", None), {})
    texts = ["line\nbreak", "event: fake\n\ndata: {}", "ção", ""]
    written = "".join(stream.event("delta", {"text": text}) for text in texts)
    read = list(server_sent_events(iter(written.encode().split(b"\n"))))
    assert [data["text"] for _, data in read] == texts
    ids = [line for line in written.splitlines() if line.startswith("id: ")]
    assert ids == [f"id: m:{n}" for n in range(1, 5)]


def request_with(accept: str | None) -> Request:
    return Request("POST", "/v1/chat", {}, {} if accept is None else {"accept": accept}, b"")


def test_json_is_answered_only_where_it_is_asked_for() -> None:
    assert wants_json(request_with("application/json"))
    assert not wants_json(request_with("text/event-stream"))
    assert not wants_json(request_with("*/*"))
    assert not wants_json(request_with(None))


@given(
    st.dictionaries(
        st.sampled_from(["message", "trackIds", "conversationId", "locale", "images", "x"]),
        st.one_of(st.none(), st.text(), st.integers(), st.lists(st.one_of(st.text(), st.integers())), st.booleans()),
    )
)
def test_any_body_is_a_question_or_a_problem_that_names_the_faults(body: dict[str, object]) -> None:
    try:
        asked = question(json.loads(json.dumps(body)))
    except Problem as problem:
        assert problem.code == "invalid-request"
        assert problem.as_dict()["faults"]
    else:
        assert 0 < len(asked.text) <= 2000
