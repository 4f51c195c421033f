"""A stream of text cut into sentences as it comes, so that each can be checked before it is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator

LONGEST = 1_000  # characters; longer than any sentence of advice
_END = re.compile(r"[.!?…][)\]”\"'*_]*\s+|\n+")
# "1. Turn it down" and "e.g. the bass" are not over at their dot.
_NOT_OVER = re.compile(r"^\s*\d+\.\s+$|\b(?:e\.g|i\.e|approx|etc|vs|ex|aprox|p\. ?ex)\.\s+$", re.IGNORECASE)


class SentenceStream:
    """Takes text in any pieces; gives whole sentences with the space behind them. Joined, they are the text."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, text: str) -> Iterator[str]:
        self._rest += text
        start = searched = 0
        while (end := _END.search(self._rest, searched)) is not None and end.end() < len(self._rest):
            searched = end.end()
            if not _NOT_OVER.search(self._rest[start:searched]):
                yield self._rest[start:searched]
                start = searched
        self._rest = self._rest[start:]

    @property
    def endless(self) -> bool:
        """Whether what is waiting is too long for a sentence: whoever wrote it has lost the thread."""
        return len(self._rest) > LONGEST

    def rest(self) -> str:
        """What is left at the end of the stream."""
        rest, self._rest = self._rest, ""
        return rest


def sentences(text: str) -> Iterator[str]:
    """A whole text in sentences."""
    stream = SentenceStream()
    yield from stream.feed(text)
    if rest := stream.rest():
        yield rest
