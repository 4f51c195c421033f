"""What the chat takes, and in which form it answers."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from assistant.questions import question
from assistant.streaming import wants_json
from shared.http import Request
from shared.problems import Problem


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
