"""Who may do what: every collection, every operation, every kind of user."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.rules.firestore import NOW, Firestore, Write, create, delete, replace, update
from tests.rules.world import World

Do = Callable[[World, str | None], bool]  # does it with a token; whether the rules allow it
OWNERS = ("owner", "owner, expired", "owner, suspended", "owner, without a plan", "owner, missing")
ACTORS = ("anonymous", *OWNERS, "stranger", "participant", "operator")
ACTIVE = ("owner", "owner, expired")
SIGNED_IN = ACTORS[1:]
NOBODY: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """One request in one world, and what the law says to it. `in_time_s`: beyond that it says nothing; try anew."""

    article: str
    title: str
    allowed: bool
    do: Callable[[World], bool]
    world: Mapping[str, Any] = field(default_factory=dict)
    in_time_s: float | None = None

    @property
    def id(self) -> str:
        return f"{self.article}: {self.title} is {'allowed' if self.allowed else 'denied'}"

    def is_allowed(self, firestore: Firestore, new_name: Callable[[], str]) -> bool:
        """What the rules in force say."""
        while True:
            world = World(firestore, new_name(), **self.world)
            answer = self.do(world)
            if self.in_time_s is None or world.age_s() < self.in_time_s:
                return answer


@dataclass(frozen=True)
class Operation:
    article: str
    title: str
    do: Do
    allowed: tuple[str, ...]
    actors: tuple[str, ...] = ACTORS
    world: Mapping[str, Any] = field(default_factory=dict)

    def cases(self) -> Iterator[Case]:
        for actor in self.actors:
            who, _, profile = actor.partition(", ")
            world = {"profile": profile or "free", **self.world}
            title = f"{self.title} by {'the ' if who != 'anonymous' else ''}{actor}"
            yield Case(self.article, title, actor in self.allowed, self._by(who), world)

    def _by(self, who: str) -> Callable[[World], bool]:
        return lambda world: self.do(world, world.token(who))


def get(path: Callable[[World], str]) -> Do:
    return lambda world, token: world.firestore.get(path(world), token)


def query(collection: Callable[[World], str], where: Callable[[World], tuple[str, str, Any]] | None = None) -> Do:
    return lambda world, token: world.firestore.query(collection(world), token, where(world) if where else None)


def commit(*writes: Callable[[World], Write | list[Write]]) -> Do:
    def do(world: World, token: str | None) -> bool:
        made = [write(world) for write in writes]
        return world.firestore.commit([w for m in made for w in (m if isinstance(m, list) else [m])], token)

    return do


def of_owner(world: World) -> tuple[str, str, Any]:
    return ("uid", "EQUAL", world.owner)


def with_owner(world: World) -> tuple[str, str, Any]:
    return ("participants", "ARRAY_CONTAINS", world.owner)


def own_name(world: World) -> dict[str, Any]:
    return {"displayName": "Ana", "locale": "pt-BR", "defaultGenre": "trap", "lastUpdate": NOW}


def cancelled(world: World) -> Write:
    return update(f"tracks/{world.track}", {"state": "cancelled", "cancelledAt": NOW})


def _closed(article: str, stored: str, new: str = "{0.new}-2", *, reads: tuple[str, ...] = NOBODY) -> list[Operation]:
    """The operations of a document that no user writes. {0} is the world."""

    def at(name: str) -> Callable[[World], str]:
        return lambda w: f"{article}/{name.format(w)}"

    fields = {"uid": "x", "title": "x"}
    return [
        Operation(article, "get", get(at(stored)), reads),
        Operation(article, "create", commit(lambda w: create(at(new)(w), fields)), NOBODY),
        Operation(article, "update", commit(lambda w: update(at(stored)(w), {"title": "y"})), NOBODY),
        Operation(article, "delete", commit(lambda w: delete(at(stored)(w))), NOBODY),
    ]


OPERATIONS = [
    Operation("users", "get", get(lambda w: f"users/{w.owner}"), OWNERS),
    Operation("users", "list", query(lambda w: "users"), NOBODY),
    Operation(
        "users",
        "create",
        commit(lambda w: create(f"users/{w.owner}", own_name(w))),
        ("owner",),
        ("anonymous", "owner", "stranger", "participant", "operator"),
        {"profile": "missing"},
    ),
    Operation(
        "users",
        "update",
        commit(lambda w: update(f"users/{w.owner}", own_name(w))),
        OWNERS[:-1],
        tuple(actor for actor in ACTORS if actor != "owner, missing"),
    ),
    Operation("users", "delete", commit(lambda w: delete(f"users/{w.owner}")), NOBODY),
    *_closed("plans", "{0.new}", reads=SIGNED_IN),
    Operation("plans", "list", query(lambda w: "plans"), SIGNED_IN),
    Operation("usage", "get", get(lambda w: f"usage/{w.usage_id}"), OWNERS),
    Operation(
        "usage", "get before the first count", get(lambda w: f"usage/{w.usage_id}"), OWNERS, world={"analyses": None}
    ),
    Operation("usage", "list the own", query(lambda w: "usage", of_owner), OWNERS),
    Operation("usage", "list all", query(lambda w: "usage"), NOBODY),
    Operation("usage", "create", commit(World.track_batch), ACTIVE, world={"analyses": None}),
    Operation("usage", "update", commit(World.track_batch), ACTIVE),
    Operation("usage", "delete", commit(lambda w: delete(f"usage/{w.usage_id}")), NOBODY),
    Operation("tracks", "get", get(lambda w: f"tracks/{w.track}"), OWNERS),
    Operation("tracks", "list the own", query(lambda w: "tracks", of_owner), OWNERS),
    Operation("tracks", "list all", query(lambda w: "tracks"), NOBODY),
    Operation("tracks", "create", commit(World.track_batch), ACTIVE),
    Operation("tracks", "cancel", commit(cancelled), OWNERS),
    Operation("tracks", "delete", commit(lambda w: delete(f"tracks/{w.track}")), NOBODY),
    *_closed("analyses", "{0.track}", reads=OWNERS),
    Operation("analyses", "list the own", query(lambda w: "analyses", of_owner), OWNERS),
    Operation("analyses", "list all", query(lambda w: "analyses"), NOBODY),
    Operation("conversations", "get", get(lambda w: f"conversations/{w.conversation}"), (*ACTIVE, "participant")),
    Operation("conversations", "list the own", query(lambda w: "conversations", with_owner), ACTIVE),
    Operation("conversations", "list all", query(lambda w: "conversations"), NOBODY),
    Operation("conversations", "create", commit(World.opening_batch), ACTIVE),
    Operation(
        "conversations",
        "create without a message",
        commit(lambda w: create(f"conversations/{w.new}", w.new_conversation())),
        ACTIVE,
    ),
    Operation("conversations", "update", commit(World.message_batch), ACTIVE),
    Operation("conversations", "delete", commit(lambda w: delete(f"conversations/{w.conversation}")), NOBODY),
    Operation(
        "messages", "get", get(lambda w: f"conversations/{w.conversation}/messages/first"), (*ACTIVE, "participant")
    ),
    Operation(
        "messages",
        "list",
        query(lambda w: f"conversations/{w.conversation}/messages"),
        (*ACTIVE, "participant"),
    ),
    Operation("messages", "create", commit(World.message_batch), ACTIVE),
    Operation(
        "messages",
        "update",
        commit(lambda w: update(f"conversations/{w.conversation}/messages/first", {"text": "x"})),
        NOBODY,
    ),
    Operation("messages", "delete", commit(lambda w: delete(f"conversations/{w.conversation}/messages/first")), NOBODY),
    *_closed("incidents", "{0.new}", reads=("operator",)),
    Operation("incidents", "list", query(lambda w: "incidents"), ("operator",)),
    Operation("controls", "get", get(lambda w: f"controls/{w.new}"), ("operator",)),
    Operation("controls", "list", query(lambda w: "controls"), ("operator",)),
    Operation("controls", "create", commit(lambda w: create(f"controls/{w.new}-2", {"chat": False})), ("operator",)),
    Operation("controls", "update", commit(lambda w: replace(f"controls/{w.new}", {"chat": False})), ("operator",)),
    Operation("controls", "delete", commit(lambda w: delete(f"controls/{w.new}")), ("operator",)),
    *_closed("uploadSessions", "{0.track}"),
    Operation("uploadSessions", "list", query(lambda w: "uploadSessions"), NOBODY),
    *_closed("anything", "{0.new}"),
    Operation("anything", "list", query(lambda w: "anything"), NOBODY),
]

CASES = [case for operation in OPERATIONS for case in operation.cases()]
