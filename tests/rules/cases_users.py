"""Profiles: four fields of the user's own, once in 60 s; the plan's fields never. And the operators' claim."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.rules.cases import LATER, TEXT_OR_NULL, Writes, allow, deny, each_field, given
from tests.rules.firestore import NOW, Write, merge, replace
from tests.rules.matrix import Case
from tests.rules.world import ABSENT, World


def profile(world: World, changes: Mapping[str, Any]) -> list[Write]:
    fields = {"displayName": "Ana", "locale": "pt-BR", "defaultGenre": "trap", "lastUpdate": NOW, **changes}
    return [merge(f"users/{world.owner}", {key: value for key, value in fields.items() if value is not ABSENT})]


def after_earlier_update(seconds: float) -> Writes:
    def writes(world: World) -> list[Write]:
        world.seed(merge(f"users/{world.owner}", {"lastUpdate": world.ago(seconds)}))
        return profile(world, {})

    return writes


def users() -> Iterator[Case]:
    kinds = {"displayName": TEXT_OR_NULL, "locale": (), "defaultGenre": TEXT_OR_NULL, "lastUpdate": ()}
    yield from each_field("users", profile, kinds, ("displayName", "locale", "defaultGenre"))
    yield allow("users", "the locale en", given(profile, locale="en"))
    yield allow("users", "a name of 100 characters", given(profile, displayName="é" * 100))
    yield deny("users", "a name of 101 characters", given(profile, displayName="é" * 101))
    yield allow("users", "a default genre of 64 characters", given(profile, defaultGenre="g" * 64))
    yield deny("users", "a default genre of 65 characters", given(profile, defaultGenre="g" * 65))
    yield allow("users", "a write 60 s after the last", after_earlier_update(60))
    yield deny("users", "a write within 60 s", after_earlier_update(59.1), in_time_s=0.8)
    yield deny("users", "plan fields swept away", lambda w: [replace(f"users/{w.owner}", {"lastUpdate": NOW})])
    for field, value in {"plan": "plus", "planStatus": "active", "planExpiresAt": LATER}.items():
        change = given(profile, **{field: value})
        yield deny("users", f"{field} written by the user", change, profile="suspended")
        yield deny("users", f"a new profile with {field}", change, profile="missing")


def operators() -> Iterator[Case]:
    for claim in (None, False, "true", 1):
        title = f"an update with the claim operator {claim!r}"
        yield Case("controls", title, False, update_controls_claiming(claim))


def update_controls_claiming(operator: object) -> Callable[[World], bool]:
    return lambda w: w.firestore.commit([replace(f"controls/{w.new}", {"chat": False})], w.claiming(operator))


CASES = [*users(), *operators()]
