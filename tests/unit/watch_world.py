"""The watch with documents, measurements, Redis and the clock in memory, by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from monitoring import actions, deadletters, judge, scaling, standing, store, watch
from monitoring.store import Instance, Queue, State
from monitoring.windows import Minute
from shared import clients, controls
from shared import settings as settings_module
from shared.documents.operations import Changes, Stored, StoredNotice
from shared.observations import bucket_of

MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC).timestamp()
MINUTE0 = int(MIDNIGHT // 60)
ENVIRONMENT = {
    "GOOGLE_CLOUD_PROJECT": "p",
    "UPLOAD_BUCKETS": "us=a,eu=b,asia=c",
    "UPSTASH_REDIS_REST_URL": "http://127.0.0.1:9",
    "UPSTASH_REDIS_REST_TOKEN": "t",
    "SLACK_WEBHOOK_URL": "http://inbox/slack",
    "ACTIONS": "on",
}


class Documents:
    """What shared/documents/operations.py does, in memory, preconditions included."""

    def __init__(self) -> None:
        self.documents: dict[str, tuple[dict[str, Any], int]] = {}
        self._version = 0
        self.before_commit: Callable[[], None] = lambda: None  # somebody else, at the worst moment

    def watched(self) -> tuple[Stored, Stored, Stored]:
        return self._read("alerts/state"), self.controls(), self._read("alerts/scaling")

    def controls(self) -> Stored:
        return self._read("controls/current")

    def state(self) -> Stored:
        return self._read("alerts/state")

    def open_incidents(self, most: int) -> dict[str, Mapping[str, Any]]:
        found = ((path, data) for path, (data, _) in self.documents.items() if path.startswith("incidents/"))
        return {path.partition("/")[2]: data for path, data in found if data["state"] == "open"}

    def incidents(self, ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        return {i: self.documents[f"incidents/{i}"][0] for i in ids if f"incidents/{i}" in self.documents}

    def commit(self, changes: Changes, now: datetime, *, state: Stored | None, controls: Stored | None) -> bool:
        self.before_commit()
        wanted = (("alerts/state", changes.state, state), ("controls/current", changes.controls, controls))
        writes = [(path, data, before) for path, data, before in wanted if data is not None and before is not None]
        created = {f"notices/{i}": data for i, data in changes.notices.items()}
        created |= {f"audit/{i}": data for i, data in changes.audit.items()}
        if any(self._read(path).version != before.version for path, _, before in writes):
            return False
        if any(path in self.documents for path in created):
            return False
        for path, data, _ in writes:
            self.write(path, {**self._read(path).data, **data})
        for incident, data in changes.incidents.items():
            self.write(f"incidents/{incident}", data)
        for path, data in created.items():
            self.write(path, data)
        return True

    def put_scaling(self, applied: Mapping[str, Any]) -> None:
        self.write("alerts/scaling", applied)

    def notices_to_send(self, _: Iterable[str]) -> list[StoredNotice]:
        return []

    def mark_notice(self, notice_id: str, version: object, **fields: object) -> object:
        raise NotImplementedError

    def under(self, collection: str) -> list[dict[str, Any]]:
        """A collection's documents in the order of their creation."""
        return [data for path, (data, _) in self.documents.items() if path.startswith(f"{collection}/")]

    def write(self, path: str, data: Mapping[str, Any]) -> None:
        self._version += 1
        self.documents[path] = (dict(data), self._version)

    def _read(self, path: str) -> Stored:
        data, version = self.documents.get(path, ({}, None))
        return Stored(data, version)


class Redis:
    """As much of Redis as the controls need."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.denied: frozenset[str] = frozenset()

    def get(self, key: str) -> str | None:
        return self.values.get(key)

    def smembers(self, _: str) -> set[str]:
        return set(self.denied)

    def store(self, wanted: controls.Controls) -> None:
        self.values[controls.KEY], self.denied = wanted.as_json(), wanted.denied


class World:
    """A service under watch: what it measures is set by hand, minute by minute."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **environment: str) -> None:
        for name, value in {**ENVIRONMENT, **environment}.items():
            monkeypatch.setenv(name, value)
        settings_module.settings.cache_clear()
        self.documents = Documents()
        self.redis = Redis()
        self.redis_answers = True
        self.measured: dict[int, dict[str, int]] = {}  # epoch minute -> fields
        self.gauges: dict[str, dict[str, float]] = {}
        self.seen_s_ago: dict[str, float] = {}  # by service, since its instance last told of itself
        self.uploads_open = 0
        self.queue_age_s = 0.0
        self.cost_usd = 0.0
        self.regions_down: set[str] = set()
        self.dead_letters: dict[str, int] = {}
        self.scaled: list[tuple[str, int]] = []
        monkeypatch.setattr(watch, "operations", self.documents)
        monkeypatch.setattr(store, "minutes", self._minutes)
        monkeypatch.setattr(store, "now_state", self._state)
        monkeypatch.setattr(deadletters, "counted", lambda: dict(self.dead_letters))
        monkeypatch.setattr(clients, "redis", lambda: self.redis)
        monkeypatch.setattr(controls, "store", self.redis.store)
        monkeypatch.setattr(scaling, "_scale", self._scale)

    def tick(self, at: float, *, scheduled: bool = True) -> None:
        watch.run(datetime.fromtimestamp(at, UTC), scheduled=scheduled)

    def requests(
        self, minute: int, count: int, *, errors: int = 0, slow: bool = False, endpoint: str = "POST /v1/uploads"
    ) -> None:
        fields = self.measured.setdefault(minute, {})
        fields[f"s|{endpoint}|201"] = count - errors
        if errors:
            fields[f"s|{endpoint}|500"] = errors
        fields[f"h|{endpoint}|{bucket_of(3000 if slow else 120)}"] = count

    @property
    def told(self) -> list[tuple[str, str]]:
        """Each notice: opened, update or resolved, and of what."""
        notices = [n for n in self.documents.under("notices") if n["state"] != "silenced"]
        return [(n["kind"], n["incident"].split("-", 2)[2]) for n in notices]

    @property
    def incidents(self) -> list[dict[str, Any]]:
        return self.documents.under("incidents")

    @property
    def controls(self) -> controls.Controls:
        return controls.parse(self.redis.values.get(controls.KEY, "{}"))

    @property
    def holds(self) -> Mapping[str, actions.Hold]:
        return standing.of_document(self.documents.controls().data).holds

    @property
    def watch(self) -> judge.Watch:
        return judge.Watch.of(self.documents.state().data.get("watch"))

    def _minutes(self, now: datetime, n: int) -> list[Minute]:
        if not self.redis_answers:
            raise ConnectionError
        last = int(now.timestamp()) // 60
        return [
            Minute.of(datetime.fromtimestamp(minute * 60, UTC), self.measured.get(minute, {}))
            for minute in range(last - n, last)
        ]

    def _state(self, now: datetime) -> State:
        if not self.redis_answers:
            raise ConnectionError
        return State(
            uploads_open=self.uploads_open,
            queue=Queue(0, 0, self.queue_age_s),
            cost_today_usd=self.cost_usd,
            instances=tuple(
                Instance(s, "i", now.timestamp() - self.seen_s_ago.get(s, 0), 0.0, g) for s, g in self.gauges.items()
            ),
            active_minute=0,
            active_5_minutes=0,
            unhealthy_regions=dict.fromkeys(self.regions_down, now.timestamp() + 60),
        )

    def _scale(self, service: str, instances: int) -> bool:
        self.scaled.append((service, instances))
        return True


def calm(world: World, minute: int) -> None:
    world.requests(MINUTE0 + minute, 100)


def minutes_of(world: World, first: int, last: int, happening: Callable[[int], None] = lambda _: None) -> None:
    """A tick at each full minute, after the minute that just ended had happened."""
    for minute in range(first, last + 1):
        calm(world, minute - 1)
        happening(minute - 1)
        world.tick(MIDNIGHT + 60 * minute + 0.4)


def failing(world: World) -> Callable[[int], None]:
    return lambda minute: world.requests(MINUTE0 + minute, 100, errors=20)


def pin(world: World, body: dict[str, object]) -> None:
    """As PUT /v1/controls does."""
    before = standing.of_document(world.documents.controls().data)
    after = standing.wanted(body, before, MIDNIGHT)
    world.documents.write("controls/current", after.as_document("ana", datetime.fromtimestamp(MIDNIGHT, UTC)))
    controls.store(after.controls)
