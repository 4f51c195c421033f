"""What a question names: metrics, problems, terms, platforms. Longest phrase first, so that "low end in mono" is not "mono"."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from assistant import knowledge
from assistant.language import words


@dataclass(frozen=True)
class Mention:
    kind: str
    id: str
    start: int  # the first word of the phrase in the question
    length: int  # in words


@cache
def _index() -> tuple[dict[tuple[str, ...], list[tuple[str, str]]], list[tuple[tuple[str, ...], str, str]], int]:
    """Exact phrases, phrases whose last word is open ("distort*"), and the length of the longest."""
    exact: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    open_ended: list[tuple[tuple[str, ...], str, str]] = []
    for kind, key, phrase in knowledge.aliases():
        parts = [w for chunk in phrase.split() for w in _parts(chunk)]
        if any(part.endswith("*") for part in parts):
            open_ended.append((tuple(parts), kind, key))
        else:
            exact.setdefault(tuple(parts), []).append((kind, key))
    longest = max(len(p) for p in [*exact, *(p for p, _, _ in open_ended)])
    return exact, open_ended, longest


def _parts(chunk: str) -> list[str]:
    parts = words(chunk)
    if chunk.endswith("*"):
        parts[-1] += "*"
    return parts


def find(tokens: list[str]) -> list[Mention]:
    """Mentions in the order of the question; a phrase within a longer one of another topic does not count."""
    exact, open_ended, longest = _index()
    found: list[Mention] = []
    for start in range(len(tokens)):
        for length in range(min(longest, len(tokens) - start), 0, -1):
            for kind, key in exact.get(tuple(tokens[start : start + length]), ()):
                found.append(Mention(kind, key, start, length))
        for pattern, kind, key in open_ended:
            if _fits(pattern, tokens, start):
                found.append(Mention(kind, key, start, len(pattern)))
    kept = [m for m in found if not any(_within(m, other) for other in found)]
    unique: dict[tuple[str, str], Mention] = {}
    for mention in kept:
        unique.setdefault((mention.kind, mention.id), mention)
    return list(unique.values())


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
