"""Clicking fifty times at once passes no limit, through Firestore's own interface."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from shared import plans
from tests.rules.firestore import Firestore, Increment, Refused, Write, create
from tests.rules.world import World

ATTEMPTS = 50
LEFT = 3


@pytest.fixture
def world(firestore: Firestore) -> World:
    """A free user with three messages left; the month's analyses not yet counted, so three of them are left too."""
    assert plans.plans()["free"].analyses_per_month == LEFT
    return World(firestore, "simultaneous", analyses=None)


def full_track(world: World, name: str) -> list[Write]:
    return [create(f"tracks/{name}", world.new_track()), world.count(f"tracks/{name}", analyses=Increment(1))]


def committed(world: World, writes: list[Write]) -> bool:
    """Whether the batch was written; contention that the server gives up on is tried again, as clients do."""
    while True:
        try:
            return world.firestore.commit(writes, world.token("owner"))
        except Refused as contention:
            if not str(contention).startswith(("409", "503")) or "ALREADY_EXISTS" in str(contention):
                return False


def test_of_fifty_simultaneous_tracks_with_three_left_exactly_three_are_created(world: World) -> None:
    names = [f"{world.name}-{number}" for number in range(ATTEMPTS)]
    with ThreadPoolExecutor(ATTEMPTS) as pool:
        results = list(pool.map(lambda name: committed(world, full_track(world, name)), names))

    created = [name for name in names if world.firestore.read(f"tracks/{name}") is not None]
    usage = world.firestore.read(f"usage/{world.usage_id}") or {}
    assert results.count(True) == LEFT
    assert len(created) == LEFT
    assert usage["analyses"] == LEFT


def test_the_same_track_sent_fifty_times_at_once_is_created_and_counted_once(firestore: Firestore) -> None:
    world = World(firestore, "repeated", analyses=None)
    with ThreadPoolExecutor(ATTEMPTS) as pool:
        results = list(pool.map(lambda _: committed(world, full_track(world, world.new)), range(ATTEMPTS)))

    assert results.count(True) == 1
    assert (firestore.read(f"usage/{world.usage_id}") or {})["analyses"] == 1
