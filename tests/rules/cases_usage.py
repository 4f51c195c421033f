"""Usage: one more at a time, only together with what is counted, at most the plan's limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from shared import plans
from tests.rules.cases import allow, deny, each_field, given
from tests.rules.firestore import Increment, Write, replace
from tests.rules.matrix import Case
from tests.rules.world import World, month

FREE, PRO = plans.plans()["free"], plans.plans()["pro"]
ANALYSES, MESSAGES = FREE.analyses_per_month, FREE.messages_per_month or 0


def track(world: World, changes: Mapping[str, Any]) -> list[Write]:
    return world.track_batch(usage=changes)


def message(world: World, changes: Mapping[str, Any]) -> list[Write]:
    return world.message_batch(usage=changes)


def usage() -> Iterator[Case]:
    yield from each_field_of_usage()
    yield from limits()
    yield from steps()
    yield from what_is_counted()
    yield Case("usage", "last month's read by its user", True, read_last_month("owner"))
    yield Case("usage", "last month's read by a stranger", False, read_last_month("stranger"))


def each_field_of_usage() -> Iterator[Case]:
    kinds: dict[str, tuple[str, ...]] = dict.fromkeys(("uid", "month", "analyses", "messages", "lastCounted"), ())
    for analyses in (None, 1):
        title = "the first count" if analyses is None else "a count"
        for made in each_field("usage", track, kinds, analyses=analyses):
            # A merge keeps what it does not name, so only the first count can lack a field.
            if analyses is None or not made.title.startswith("no "):
                yield Case(made.article, f"{title} with {made.title}", made.allowed, made.do, made.world)


def limits() -> Iterator[Case]:
    yield allow("usage", "the last full analysis", World.track_batch, analyses=ANALYSES - 1)
    yield deny("usage", "one beyond the plan", World.track_batch, analyses=ANALYSES)
    yield allow("usage", "more than free on pro", World.track_batch, analyses=ANALYSES, profile="pro")
    yield deny("usage", "one beyond pro", World.track_batch, analyses=PRO.analyses_per_month, profile="pro")
    yield deny("usage", "one beyond free, pro expired", World.track_batch, analyses=ANALYSES, profile="expired")
    yield allow("usage", "the last message", World.message_batch, messages=MESSAGES - 1)
    yield deny("usage", "a message beyond the plan", World.message_batch, messages=MESSAGES)
    yield allow("usage", "any number of messages on pro", World.message_batch, messages=100_000, profile="pro")


def steps() -> Iterator[Case]:
    yield deny("usage", "two at once", given(track, analyses=Increment(2)))
    yield deny("usage", "two at first", given(track, analyses=Increment(2)), analyses=None)
    yield deny("usage", "none", given(track, analyses=Increment(0)))
    yield deny("usage", "one given back", given(track, analyses=Increment(-1)))
    yield deny("usage", "a message on the side", given(track, messages=Increment(1)))
    yield deny("usage", "an analysis on the side", given(message, analyses=Increment(1)))
    yield deny("usage", "messages given back on the side", given(track, messages=Increment(-1)))
    yield deny("usage", "analyses given back on the side", given(message, analyses=Increment(-1)))
    yield deny("usage", "a count as a fraction", given(track, analyses=2.0))
    yield deny("usage", "the other count as a fraction", given(track, messages=1.0))


def what_is_counted() -> Iterator[Case]:
    yield deny("usage", "a stranger's name", lambda w: w.track_batch(usage={"uid": w.stranger}))
    yield deny("usage", "another month", given(track, month="209901"))
    yield deny("usage", "a count in last month's", counted_last_month)
    yield deny("usage", "a count in a stranger's", counted_for_stranger)
    yield deny("usage", "a count in a stranger's too", counted_for_stranger_too)
    yield deny("usage", "a count set back with a reduced track", set_back_with_reduced_track, analyses=ANALYSES)
    yield deny("usage", "a count of nothing", lambda w: w.track_batch()[1:])
    yield deny("usage", "a first count of nothing", lambda w: w.track_batch()[1:], analyses=None)
    yield deny("usage", "a count of a message that never comes", lambda w: w.message_batch()[2:])
    yield deny("usage", "a count of a track that is there", counted_again)
    yield deny("usage", "a count of a message that is there", message_counted_again)
    yield deny(
        "usage", "a message counted as an analysis", given(message, messages=Increment(0), analyses=Increment(1))
    )
    yield deny("usage", "a track as a message", given(track, analyses=Increment(0), messages=Increment(1)))


def counted_last_month(world: World) -> list[Write]:
    last = month(world.now.replace(day=1) - timedelta(days=1))
    fields = {"uid": world.owner, "month": last, "analyses": 1, "messages": 0, "lastCounted": f"tracks/{world.new}"}
    return [world.track_batch()[0], replace(f"usage/{world.owner}_{last}", fields)]


def counted_for_stranger(world: World) -> list[Write]:
    return [world.track_batch()[0], world.count(f"tracks/{world.new}", "stranger", analyses=Increment(1))]


def set_back_with_reduced_track(world: World) -> list[Write]:
    return world.track_batch(track={"tier": "reduced"}, usage={"analyses": 0})


def counted_for_stranger_too(world: World) -> list[Write]:
    """The owner's own count, and one more in a document of another name."""
    same = {**world.stored_usage(1, 0), "lastCounted": f"tracks/{world.new}"}
    return [*world.track_batch(), replace(f"usage/{world.stranger}_{month(world.now)}", same)]


def counted_again(world: World) -> list[Write]:
    return [world.count(f"tracks/{world.track}", analyses=Increment(1))]


def message_counted_again(world: World) -> list[Write]:
    return [world.count(f"conversations/{world.conversation}/messages/first", messages=Increment(1))]


def read_last_month(actor: str) -> Callable[[World], bool]:
    def read(world: World) -> bool:
        path = f"usage/{world.owner}_200001"
        world.seed(replace(path, {"uid": world.owner}))
        return world.firestore.get(path, world.token(actor))

    return read


CASES = list(usage())
