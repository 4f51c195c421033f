"""How the details of an article are put into cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.rules.firestore import Write
from tests.rules.matrix import Case
from tests.rules.world import ABSENT, World

Writes = Callable[[World], Sequence[Write]]
ChangedWrites = Callable[[World, Mapping[str, Any]], Sequence[Write]]
LATER = datetime(2999, 1, 1, tzinfo=UTC)
VALUES: Mapping[str, Any] = {
    "null": None,
    "a truth value": True,
    "a whole number": 7,
    "a fraction": 1.5,
    "a text": "x/y",
    "a time": LATER,
    "a list": ["a"],
    "an empty list": [],
    "a map": {"a": 1},
    "an empty map": {},
}
TEXT_OR_NULL = ("null", "a text")


def case(
    article: str,
    title: str,
    allowed: bool,
    writes: Writes,
    *,
    actor: str = "owner",
    in_time_s: float | None = None,
    **world: Any,
) -> Case:
    return Case(article, title, allowed, lambda w: w.firestore.commit(writes(w), w.token(actor)), world, in_time_s)


def allow(article: str, title: str, writes: Writes, **options: Any) -> Case:
    return case(article, title, True, writes, **options)


def deny(article: str, title: str, writes: Writes, **options: Any) -> Case:
    return case(article, title, False, writes, **options)


def given(writes: ChangedWrites, **changes: Any) -> Writes:
    """The writes with some fields changed."""
    return lambda world: writes(world, changes)


def each_field(
    article: str, writes: ChangedWrites, kinds: Mapping[str, Sequence[str]], optional: Sequence[str] = (), **world: Any
) -> Iterator[Case]:
    """Every field with every wrong type, every field left out, one field too many.

    `kinds`: which of VALUES each field may be.
    """
    for name, allowed in kinds.items():
        for kind, value in VALUES.items():
            if kind not in allowed:
                yield deny(article, f"{name} as {kind}", given(writes, **{name: value}), **world)
        yield case(article, f"no {name}", name in optional, given(writes, **{name: ABSENT}), **world)
    yield deny(article, "a field too many", given(writes, extra=1), **world)
