"""The local cloud scales as Cloud Run does: the count is kept at once, workers follow, events are spread over them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from deploy import preflight
from local.run_api import PLACES, Services
from monitoring import scaling

ANALYZE = {"name": "analyze", "trigger": {"topic": "track-queued"}}
FINALIZED = {"name": "upload-finalized", "trigger": {"storage": True}}
CHAT = {"name": "chat", "trigger": None}


class Worker:
    def __init__(self, number: int) -> None:
        self.url, self.pid, self.stopped = f"http://worker-{number}", number, False

    async def stop(self) -> None:
        self.stopped = True


class Machine:
    def __init__(self) -> None:
        self.started: list[Worker] = []
        self.spread: list[tuple[str, list[str]]] = []
        self.services = Services([ANALYZE, FINALIZED, CHAT], self._start, self._spread)

    def scale(self, *wanted: tuple[str, str, int]) -> None:
        async def all_of_them() -> None:
            await asyncio.gather(*[self.services.scale(*each) for each in wanted])

        asyncio.run(all_of_them())

    async def _start(self, _: Mapping[str, Any]) -> Worker:
        self.started.append(Worker(len(self.started) + 1))
        return self.started[-1]

    async def _spread(self, name: str, urls: Sequence[str]) -> None:
        assert not any(worker.stopped for worker in self.started if worker.url in urls)
        self.spread.append((name, list(urls)))


def test_workers_are_started_spread_over_and_stopped() -> None:
    machine = Machine()
    machine.scale(("analyze", "us-central1", 3))
    assert machine.spread == [("analyze", ["http://worker-1", "http://worker-2"])]
    machine.scale(("analyze", "us-central1", 0))
    assert machine.spread[-1] == ("analyze", [])
    assert [worker.stopped for worker in machine.started] == [True, True]


def test_the_regions_of_a_function_are_one_here_and_the_highest_counts() -> None:
    machine = Machine()
    machine.scale(*[("upload-finalized", place, 2) for place in PLACES])
    machine.scale(("upload-finalized", "us-central1", 0))
    assert [worker.stopped for worker in machine.started] == [False]


def test_a_small_machine_is_not_filled() -> None:
    machine = Machine()
    machine.scale(("analyze", "us-central1", 50))
    assert len(machine.started) == 2


def test_what_is_called_over_http_is_only_counted() -> None:
    machine = Machine()
    machine.scale(("chat", "europe-west1", 3))
    assert machine.services.wanted == {"chat": 3}
    assert machine.started == []


def test_a_function_stands_where_it_is_deployed() -> None:
    services = Machine().services
    assert services.stands("chat", "asia-northeast1")
    assert services.stands("upload-finalized", "asia-northeast1")
    assert not services.stands("analyze", "asia-northeast1")
    assert not services.stands("chat", "mars")
    assert not services.stands("nothing", "us-central1")


def test_the_places_of_the_regions_are_those_that_are_deployed_to() -> None:
    assert scaling.PLACES == preflight.PLACES
    assert set(PLACES) == set(preflight.PLACES.values())
