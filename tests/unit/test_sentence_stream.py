"""A stream is cut into sentences, whatever the pieces in which it comes, and nothing of it is lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.sentence_stream import LONGEST, SentenceStream, sentences

TEXT = "The peak is at 0.4 dBTP. Lower it!\n\n1. The bass: cut 2.5 dB. 2. The kick, e.g. its click.\n- Air\n"
CUT = [
    "The peak is at 0.4 dBTP. ",
    "Lower it!\n\n",
    "1. The bass: cut 2.5 dB. ",
    "2. The kick, e.g. its click.\n",
    "- Air\n",
]


def test_sentences_end_at_their_mark_and_keep_figures_and_list_numbers_whole() -> None:
    assert list(sentences(TEXT)) == CUT


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), max_size=40))
def test_the_pieces_in_which_a_text_comes_change_nothing(lengths: list[int]) -> None:
    stream, rest = SentenceStream(), TEXT
    found: list[str] = []
    for length in lengths:
        found += stream.feed(rest[:length])
        rest = rest[length:]
    found += stream.feed(rest)
    assert [*found, stream.rest()] == CUT


@settings(deadline=None)
@given(st.lists(st.text(max_size=20), max_size=20))
def test_joined_the_sentences_are_the_text(pieces: list[str]) -> None:
    stream = SentenceStream()
    found = [sentence for piece in pieces for sentence in stream.feed(piece)]
    assert "".join([*found, stream.rest()]) == "".join(pieces)


@pytest.mark.parametrize("text", ["word " * LONGEST, "x" * (LONGEST + 1)])
def test_what_never_ends_is_noticed(text: str) -> None:
    stream = SentenceStream()
    assert not list(stream.feed(text))
    assert stream.endless
