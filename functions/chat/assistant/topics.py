"""What a question names: metrics, problems, terms, platforms. The longest phrase wins: "bass in mono" is not "mono"."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from assistant import knowledge
from assistant.language import words

WORDS_READ = 150  # of a question; what comes later is hardly its subject
SPELT_FROM = 7  # shorter words have too many neighbours that are words themselves
SPELT_TO = 30


@dataclass(frozen=True)
class Mention:
    kind: str
    id: str
    start: int  # the first word of the phrase in the question
    length: int  # in words


Phrase = tuple[str, ...]


@dataclass(frozen=True)
class _Phrases:
    """What names what: whole phrases, and open ones ("distort*") by the first two letters they begin with."""

    exact: dict[Phrase, list[tuple[str, str]]]
    open_ended: dict[str, list[tuple[Phrase, str, str]]]

    @property
    def every(self) -> list[Phrase]:
        return [*self.exact, *(phrase for rows in self.open_ended.values() for phrase, _, _ in rows)]


@cache
def _phrases() -> _Phrases:
    table = _Phrases({}, {})
    for kind, key, phrase in knowledge.aliases():
        parts = tuple(w for chunk in phrase.split() for w in _parts(chunk))
        if any(part.endswith("*") for part in parts):
            table.open_ended.setdefault(parts[0][:2], []).append((parts, kind, key))
        else:
            table.exact.setdefault(parts, []).append((kind, key))
    return table


@cache
def _longest() -> int:
    return max(map(len, _phrases().every))


def _parts(chunk: str) -> list[str]:
    parts = words(chunk)
    if chunk.endswith("*"):
        parts[-1] += "*"
    return parts


def find(tokens: list[str]) -> list[Mention]:
    """Mentions in the order of the question, each topic once; a phrase within another's does not count."""
    unique: dict[tuple[str, str], Mention] = {}
    for mention in every(tokens):
        unique.setdefault((mention.kind, mention.id), mention)
    return list(unique.values())


def every(tokens: list[str]) -> list[Mention]:
    """As `find`, with a topic as often as it is named."""
    tokens = [_spelt(token) for token in tokens]
    found = [mention for start in range(len(tokens)) for mention in _at(tokens, start)]
    return [m for m in found if not any(_within(m, other) for other in found)]


def _at(tokens: list[str], start: int) -> Iterator[Mention]:
    phrases = _phrases()
    for length in range(min(_longest(), len(tokens) - start), 0, -1):
        for kind, key in phrases.exact.get(tuple(tokens[start : start + length]), ()):
            yield Mention(kind, key, start, length)
    for pattern, kind, key in phrases.open_ended.get(tokens[start][:2], ()):
        if _fits(pattern, tokens, start):
            yield Mention(kind, key, start, len(pattern))


@cache
def _vocabulary() -> tuple[frozenset[str], dict[str, list[str]]]:
    """The words of all phrases; and the long ones with any one letter left out, to find a slip of the finger."""
    every = frozenset(word.rstrip("*") for phrase in _phrases().every for word in phrase)
    shortened: dict[str, list[str]] = {}
    for word in sorted(w for w in every if len(w) >= SPELT_FROM):
        for short in {word[:i] + word[i + 1 :] for i in range(1, len(word))} | {word}:
            shortened.setdefault(short, []).append(word)
    return every, shortened


def _spelt(token: str) -> str:
    """A long word one slip away from one of the phrases ("loudnes", "compresssion") as it is spelt there."""
    every, shortened = _vocabulary()
    if token in every or not SPELT_FROM - 1 <= len(token) <= SPELT_TO:
        return token
    shorts = (token, *(token[:i] + token[i + 1 :] for i in range(1, len(token))))
    return next((word for short in shorts for word in shortened.get(short, ()) if _one_slip(token, word)), token)


def _one_slip(typed: str, word: str) -> bool:
    """One letter missing, added or wrong, or two neighbours swapped; the candidates share all other letters already."""
    if len(typed) != len(word):
        return True
    wrong = [i for i, (a, b) in enumerate(zip(typed, word, strict=True)) if a != b]
    swapped = len(wrong) == 2 and typed[wrong[0]] == word[wrong[1]] and typed[wrong[1]] == word[wrong[0]]
    return len(wrong) == 1 or swapped


def _fits(pattern: tuple[str, ...], tokens: list[str], start: int) -> bool:
    if start + len(pattern) > len(tokens):
        return False
    return all(
        token.startswith(part[:-1]) if part.endswith("*") else token == part
        for part, token in zip(pattern, tokens[start:], strict=False)
    )


def _within(inner: Mention, outer: Mention) -> bool:
    return (
        inner.length < outer.length
        and outer.start <= inner.start
        and inner.start + inner.length <= outer.start + outer.length
    )
