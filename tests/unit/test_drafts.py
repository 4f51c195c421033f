"""The stream of an answer: whoever comes back, at whatever event, ends with the very text of whoever stayed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.drafts import Cursor, Draft, Position, position_of
from assistant.pieces import TokenUsage
from local.client import server_sent_events
from shared.problems import Problem

MESSAGE = "m" * 20
TEXTS = st.lists(st.text(max_size=12), max_size=8)


@dataclass
class Reader:
    """A client as the documents have it: `message.start` begins a text, `delta` goes on with it."""

    text: str = ""
    last_event_id: str | None = None
    names: list[str] = field(default_factory=list)
    answer: str | None = None

    def read(self, events: list[str]) -> None:
        for event in events:
            ((name, data),) = server_sent_events(iter(event.encode().split(b"\n")))
            self.names.append(name)
            self.last_event_id = next(line[4:] for line in event.splitlines() if line.startswith("id: "))
            if name == "message.start":
                self.text = ""
            elif name == "delta":
                self.text += data["text"]
            elif name == "done":
                self.answer = data["answer"]

    @property
    def position(self) -> Position | None:
        return None if self.last_event_id is None else position_of(self.last_event_id)[1]


def finished(pieces: list[str]) -> Draft:
    draft = Draft("c", MESSAGE)
    for piece in pieces:
        draft.add(piece)
    draft.finish(TokenUsage())
    return draft


@given(TEXTS)
def test_a_client_that_stays_gets_start_deltas_usage_and_done_and_the_deltas_joined_are_the_answer(
    pieces: list[str],
) -> None:
    reader = Reader()
    reader.read(list(Cursor(finished(pieces), None).events()))
    deltas = len([piece for piece in pieces if piece])
    assert reader.names == ["message.start", *["delta"] * deltas, "usage", "done"]
    assert reader.text == reader.answer == finished(pieces).text


@given(TEXTS, st.lists(st.integers(0, 40), max_size=6), st.data())
def test_cut_at_any_event_and_continued_with_any_pieces_the_text_is_that_of_an_uncut_stream(
    pieces: list[str], cuts: list[int], data: st.DataObject
) -> None:
    """Each time on another instance, which knows the answer in other pieces, and perhaps not all of it yet."""
    whole, reader = finished(pieces).text, Reader()
    for cut in [*cuts, 100]:
        known = data.draw(st.integers(0, len(whole))) if cut < 100 else len(whole)
        draft = Draft("c", MESSAGE)
        start = 0
        while start < known:
            end = data.draw(st.integers(start + 1, known))
            draft.add(whole[start:end])
            start = end
        if known == len(whole):
            draft.finish(TokenUsage())
        reader.read(list(Cursor(draft, reader.position).events())[:cut])
        assert whole.startswith(reader.text)
    assert reader.text == whole
    assert reader.names.count("message.start") == 1
    assert reader.names.count("usage") == reader.names.count("done") == 1
    assert reader.answer == whole


@given(TEXTS, TEXTS, st.integers(0, 10))
def test_an_answer_made_anew_is_read_from_its_beginning_wherever_the_old_one_was_cut(
    old: list[str], new: list[str], cut: int
) -> None:
    reader = Reader()
    reader.read(list(Cursor(finished(old), None).events())[: max(1, min(cut, len(old)))])
    reader.read(list(Cursor(finished(new), reader.position).events()))
    assert reader.text == reader.answer == finished(new).text


def test_a_client_ahead_of_what_is_known_waits_and_then_goes_on() -> None:
    draft = Draft("c", MESSAGE)
    cursor = Cursor(draft, Position().after("Hello wor"))
    draft.add("Hello ")
    assert list(cursor.events()) == []
    draft.add("world")
    (event,) = cursor.events()
    assert json.loads(event.splitlines()[2][6:]) == {"text": "ld"}


def test_a_draft_begun_anew_under_a_listening_client_tells_it_to_begin_anew_too() -> None:
    draft, reader = Draft("c", MESSAGE), Reader()
    cursor = Cursor(draft, None)
    draft.add("one ")
    reader.read(list(cursor.events()))
    draft.become("two!")
    reader.read(list(cursor.events()))
    assert (reader.text, reader.names) == ("two!", ["message.start", "delta", "message.start", "delta"])


def test_a_draft_that_goes_on_as_before_tells_nobody_to_begin_anew() -> None:
    draft, reader = Draft("c", MESSAGE), Reader()
    cursor = Cursor(draft, None)
    draft.add("one ")
    reader.read(list(cursor.events()))
    draft.begin_anew()
    draft.add("one two")
    reader.read(list(cursor.events()))
    assert (reader.text, reader.names.count("message.start")) == ("one two", 1)


def test_a_problem_is_told_as_an_error_and_the_client_may_come_back_to_where_it_was() -> None:
    draft, reader = Draft("c", MESSAGE), Reader()
    draft.add("one ")
    draft.problem = Problem("unavailable", "The answer took too long.")
    reader.read(list(Cursor(draft, None).events()))
    assert reader.names == ["message.start", "delta", "error"]
    assert reader.position == Position().after("one ")


@pytest.mark.parametrize("forged", ["", "x", "opening:0:00000000", f"{MESSAGE}:-1:00000000", f"{MESSAGE}:1:0", "a:b:c"])
def test_an_event_id_that_is_not_ours_is_refused(forged: str) -> None:
    with pytest.raises(Problem, match="Last-Event-ID"):
        position_of(forged)


def test_half_a_character_from_a_model_is_replaced_and_never_breaks_the_stream() -> None:
    draft = Draft("c", MESSAGE)
    draft.add("a\ud83d")
    assert draft.text == "a?"
    assert all(event.encode() for event in Cursor(draft, None).events())
