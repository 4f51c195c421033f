"""Conversations and messages: who takes part, about which tracks, and what must come together in one batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.rules.cases import LATER, Writes, allow, deny, each_field, given
from tests.rules.firestore import NOW, Increment, Write, create, replace, update
from tests.rules.matrix import Case
from tests.rules.world import World

MOST_TRACKS = 8


def opening(world: World, changes: Mapping[str, Any]) -> list[Write]:
    return world.opening_batch(conversation=changes)


def move(world: World, changes: Mapping[str, Any]) -> list[Write]:
    _, message, count = world.message_batch()
    return [update(f"conversations/{world.conversation}", {"lastMessageAt": NOW, **changes}), message, count]


def say(world: World, changes: Mapping[str, Any]) -> list[Write]:
    return world.message_batch(message=changes)


def conversations() -> Iterator[Case]:
    kinds: dict[str, Sequence[str]] = {
        "participants": (),
        "trackIds": ("an empty list",),
        "createdAt": (),
        "lastMessageAt": (),
    }
    yield from each_field("conversations", opening, kinds)
    yield from opened_about()
    yield from opened_by()
    yield from moved()


def opened_about() -> Iterator[Case]:
    for count in range(MOST_TRACKS + 1):
        yield allow("conversations", f"one about {count} tracks", about_tracks(count))
    yield deny("conversations", f"one about {MOST_TRACKS + 1} tracks", about_tracks(MOST_TRACKS + 1))
    for index in range(MOST_TRACKS):
        yield deny("conversations", f"one about a stranger's track, number {index}", about_tracks(MOST_TRACKS, index))
    yield deny("conversations", "one about a track that is not there", given(opening, trackIds=["nowhere"]))


def about_tracks(count: int, strange: int | None = None) -> Writes:
    """A conversation about so many own tracks; the one at `strange` is a stranger's."""

    def writes(world: World) -> list[Write]:
        ids = [f"{world.name}-{index}" for index in range(count)]
        if ids:
            world.seed(*(replace(f"tracks/{name}", world.stored_track()) for name in ids))
        if strange is not None:
            ids[strange] = world.strange_track
        return opening(world, {"trackIds": ids})

    return writes


def opened_by() -> Iterator[Case]:
    yield deny("conversations", "one of a stranger", lambda w: opening(w, {"participants": [w.stranger]}))
    yield deny("conversations", "one with a stranger", lambda w: opening(w, {"participants": [w.owner, w.stranger]}))
    yield deny("conversations", "one of nobody", given(opening, participants=[]))
    yield deny("conversations", "one opened earlier", lambda w: opening(w, {"createdAt": w.ago(1)}))
    yield deny("conversations", "one moved earlier", lambda w: opening(w, {"lastMessageAt": w.ago(1)}))
    yield deny("conversations", "a silent one moved earlier", lambda w: opening(w, {"lastMessageAt": w.ago(1)})[:1])


def moved() -> Iterator[Case]:
    yield deny("conversations", "a move without a message", lambda w: move(w, {})[:1])
    yield deny("conversations", "a stranger's move", lambda w: move(w, {})[:1], actor="stranger")
    yield deny("conversations", "a participant's silent move", lambda w: move(w, {})[:1], actor="participant")
    yield deny("conversations", "a move with a track's count", lambda w: [move(w, {})[0], *w.track_batch()])
    yield deny("conversations", "a move with a message elsewhere", lambda w: [move(w, {})[0], *w.opening_batch()])
    yield deny("conversations", "two moves for one message", two_moves)
    yield deny("conversations", "a second move for the message counted last", moved_again)
    yield deny("conversations", "a new one written over an old one", written_over)
    for field in ("participants", "trackIds", "createdAt", "extra"):
        yield deny("conversations", f"a move that changes {field}", moved_with_owner_in(field))
    yield deny("conversations", "a move to an earlier time", lambda w: move(w, {"lastMessageAt": w.ago(1)}))
    yield deny("conversations", "a move to a later time", given(move, lastMessageAt=LATER))


def moved_with_owner_in(field: str) -> Writes:
    return lambda w: move(w, {field: [w.owner]})


def written_over(world: World) -> list[Write]:
    return [replace(f"conversations/{world.conversation}", world.new_conversation())]


def two_moves(world: World) -> list[Write]:
    second = f"conversations/{world.name}-second"
    world.seed(replace(second, world.stored_conversation()))
    return [*world.message_batch(), update(second, {"lastMessageAt": NOW})]


def moved_again(world: World) -> list[Write]:
    count_last(world, f"conversations/{world.conversation}/messages/earlier")
    return move(world, {})[:1]


def count_last(world: World, name: str) -> None:
    """Lets the usage name this as what was counted last."""
    world.seed(replace(f"usage/{world.usage_id}", {**world.stored_usage(1, 1), "lastCounted": name}))


def messages() -> Iterator[Case]:
    kinds: dict[str, Sequence[str]] = {"role": (), "text": ("a text",), "uid": (), "createdAt": ()}
    yield from each_field("messages", say, kinds)
    yield from said()
    yield from said_together()
    yield Case("messages", "a reading of all conversations' together", False, read_all_messages)


def said() -> Iterator[Case]:
    yield allow("messages", "2,000 characters", given(say, text="ç" * 2000))
    yield deny("messages", "2,001 characters", given(say, text="ç" * 2001))
    yield allow("messages", "one character", given(say, text="?"))
    yield deny("messages", "no character", given(say, text=""))
    yield deny("messages", "the role of the assistant", given(say, role="assistant"))
    yield deny("messages", "another's name", lambda w: say(w, {"uid": w.participant}))
    yield deny("messages", "an earlier time", lambda w: say(w, {"createdAt": w.ago(1)}))
    yield allow("messages", "a participant's own", lambda w: w.message_batch(actor="participant"), actor="participant")
    yield deny("messages", "a stranger's own", lambda w: w.message_batch(actor="stranger"), actor="stranger")
    yield allow("messages", "one 2 s after the last", after_earlier_message(2))
    yield deny("messages", "one within 2 s", after_earlier_message(1.1), in_time_s=0.8)


def after_earlier_message(seconds: float) -> Writes:
    def writes(world: World) -> list[Write]:
        world.seed(update(f"conversations/{world.conversation}", {"lastMessageAt": world.ago(seconds)}))
        return world.message_batch()

    return writes


def said_together() -> Iterator[Case]:
    yield deny("messages", "one that does not move the conversation", lambda w: say(w, {})[1:])
    yield deny("messages", "one that is not counted", lambda w: say(w, {})[:2])
    yield deny("messages", "an opening one that is not counted", lambda w: w.opening_batch()[:2])
    yield deny("messages", "a first one that is not counted", lambda w: w.opening_batch()[:2], analyses=None)
    yield allow("messages", "a first one that is counted", World.opening_batch, analyses=None)
    yield deny("messages", "one in a conversation that is not there", lambda w: w.opening_batch()[1:])
    yield deny("messages", "one counted as another", counted_as_another)
    yield deny("messages", "two for one count", two_for_one_count)
    yield deny("messages", "the one counted last, written again without a count", counted_last_written_again)
    yield deny("messages", "the one counted last, opened again without a count", counted_last_opened_again)


def counted_as_another(world: World) -> list[Write]:
    other = f"conversations/{world.conversation}/messages/other"
    return [*say(world, {})[:2], world.count(other, messages=Increment(1))]


def two_for_one_count(world: World) -> list[Write]:
    second = f"conversations/{world.conversation}/messages/{world.new}-2"
    return [*world.message_batch(), create(second, world.new_message())]


def counted_last_written_again(world: World) -> list[Write]:
    """The service has deleted the message that was counted last."""
    *written, count = world.message_batch()
    count_last(world, count.fields["lastCounted"])
    return written


def counted_last_opened_again(world: World) -> list[Write]:
    """The service has deleted the conversation with the message that was counted last."""
    *written, count = world.opening_batch()
    count_last(world, count.fields["lastCounted"])
    return written


def read_all_messages(world: World) -> bool:
    return world.firestore.query("messages", world.token("owner"), all_descendants=True)


CASES = [*conversations(), *messages()]
