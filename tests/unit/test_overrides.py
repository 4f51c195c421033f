"""Operators overrule the system: validated, audited, and no two of them overwrite each other unseen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from monitoring import deadletters, googleapi, overrides, scaling
from shared import controls
from shared import settings as settings_module
from shared.problems import Problem
from tests.unit.watch_world import World

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
REAL_SCALE, REAL_COUNTED = scaling._scale, deadletters.counted


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(monkeypatch)
    monkeypatch.setattr(overrides, "operations", made.documents)
    yield made
    settings_module.settings.cache_clear()


def test_what_is_put_is_in_force_at_once_and_audited_with_who_and_when(world: World) -> None:
    overrides.put({"closed": ["chat"], "rateFactor": 0.5}, None, "ana", NOW)
    assert world.controls.closed == {"chat"}
    assert world.controls.rate_factor == 0.5
    (row,) = world.documents.under("audit")
    assert (row["who"], row["at"]) == ("ana", NOW)
    assert (row["before"]["closed"], row["after"]["closed"]) == ([], ["chat"])


def test_what_a_later_put_does_not_name_is_released(world: World) -> None:
    overrides.put({"closed": ["chat"], "rateFactor": 0.5}, None, "ana", NOW)
    overrides.put({"rateFactor": 0.8}, None, "ana", NOW)
    assert world.controls == controls.validated({"rateFactor": 0.8})
    overrides.put({}, None, "ana", NOW)
    assert world.controls == controls.DEFAULTS


def test_what_was_read_and_is_put_again_pins_nothing_of_what_the_system_does_by_itself(world: World) -> None:
    world.regions_down = {"eu"}
    world.cost_usd = 100
    world.tick(NOW.timestamp())
    overrides.put({"rateFactor": 0.5, "regionWeights": {"us": 0.5}}, None, "ana", NOW)
    read = json.loads(json.dumps(overrides.shown(world.documents.controls().data), default=str))
    assert read["regionWeights"] == {"us": 0.5, "eu": 0, "asia": 1}
    assert read["closed"] == ["model"]
    overrides.put({**read, "denied": ["user:eve"]}, None, "ana", NOW)
    pinned = {"rateFactor": 0.5, "regionWeights": {"us": 0.5}, "denied": ["user:eve"]}
    assert overrides.shown(world.documents.controls().data)["pinned"] == pinned
    world.regions_down, world.cost_usd = set(), 0
    for minute in range(1, 12):
        world.tick(NOW.timestamp() + 60 * minute)
    assert world.controls.region_weights["eu"] == 1
    assert world.controls.closed == frozenset()


def test_who_writes_the_fields_of_a_get_alone_pins_only_what_differs(world: World) -> None:
    """As a client made from docs/openapi.yaml does, which leaves out what may only be read."""
    world.cost_usd = 100
    world.tick(NOW.timestamp())
    overrides.put({"closed": ["model"], "rateFactor": 1, "dailyCostLimitUsd": 250}, None, "ana", NOW)
    assert overrides.shown(world.documents.controls().data)["pinned"] == {"dailyCostLimitUsd": 250}
    overrides.put({"closed": [], "rateFactor": 1}, None, "ana", NOW)
    assert overrides.shown(world.documents.controls().data)["pinned"] == {"closed": []}


def test_a_version_that_is_no_longer_the_newest_is_refused(world: World) -> None:
    first = overrides.etag_of(world.documents.controls())
    second = overrides.etag_of(overrides.put({"rateFactor": 0.8}, first, "ana", NOW))
    with pytest.raises(Problem, match="precondition-failed"):
        overrides.put({"rateFactor": 0.1}, first, "bob", NOW)
    assert world.controls.rate_factor == 0.8
    overrides.put({"rateFactor": 0.9}, f'W/"other", {second}', "bob", NOW)
    overrides.put({"rateFactor": 0.7}, "*", "bob", NOW)
    assert len({row["who"] for row in world.documents.under("audit")}) == 2


def test_a_change_in_between_is_seen_and_neither_is_lost(world: World) -> None:
    documents = world.documents

    def somebody_else() -> None:
        documents.before_commit = lambda: None
        documents.write(
            "controls/current", {"pinned": {}, "automatic": [], "silences": [], "actions": {"scale": "off"}}
        )

    documents.before_commit = somebody_else
    with pytest.raises(Problem, match="precondition-failed"):
        overrides.put({"rateFactor": 0.5}, overrides.etag_of(documents.controls()), "ana", NOW)
    documents.before_commit = somebody_else
    assert overrides.put({"rateFactor": 0.5}, None, "ana", NOW).data["rateFactor"] == 0.5


def test_what_cannot_be_meant_changes_nothing(world: World) -> None:
    with pytest.raises(Problem, match="invalid-request"):
        overrides.put({"closed": ["everything"]}, None, "ana", NOW)
    assert world.documents.documents == {}


def test_without_redis_a_put_is_kept_and_the_next_tick_puts_it_in_force(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setattr(world.redis, "get", lambda _: 1 / 0)
        overrides.put({"closed": ["chat"]}, None, "ana", NOW)
    assert world.controls == controls.DEFAULTS
    world.tick(NOW.timestamp() + 60)
    assert world.controls.closed == {"chat"}


def test_who_is_denied_and_nothing_else_is_put_in_force_and_taken_back(world: World) -> None:
    overrides.put({"rateFactor": 0.5}, None, "ana", NOW)
    overrides.put({"rateFactor": 0.5, "denied": ["user:eve"]}, None, "ana", NOW)
    assert world.redis.denied == {"user:eve"}
    overrides.put({"rateFactor": 0.5, "denied": []}, None, "ana", NOW)
    assert world.redis.denied == frozenset()


def test_what_is_shown_says_where_it_comes_from(world: World) -> None:
    world.regions_down = {"eu"}
    world.tick(NOW.timestamp())
    overrides.put({"rateFactor": 0.5}, None, "ana", NOW)
    shown = overrides.shown(world.documents.controls().data)
    assert shown["regionWeights"]["eu"] == 0
    assert shown["pinned"] == {"rateFactor": 0.5}
    assert shown["changedBy"] == "ana"
    (hold,) = shown["automatic"]
    assert (hold["action"], hold["target"], hold["causes"]) == ("shift-uploads", "eu", ["region-unhealthy/eu"])


# ---- what goes to Google ---------------------------------------------------------------------------------------------


class Google:
    """Answers calls as it is told to, by a part of the address."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.calls: list[tuple[str, str, Any]] = []

    def __call__(self, method: str, url: str, body: Any = None) -> dict[str, Any]:
        self.calls.append((method, url, body))
        answer: Any = next((found for part, found in self.answers.items() if part in url), {})
        if isinstance(answer, int):
            raise googleapi.Refused("told to", answer)
        assert isinstance(answer, dict)
        return answer


def test_a_function_is_scaled_in_every_region_where_it_stands(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    google = Google({"europe-west1": 404, "asia-northeast1": 404})
    monkeypatch.setattr(googleapi, "call", google)
    monkeypatch.setattr(scaling, "_scale", REAL_SCALE)
    assert scaling.reconcile({"analyze": 3}, {}) == {"analyze": 3}
    method, url, body = google.calls[0]
    path = "projects/p/locations/us-central1/services/analyze"
    assert (method, url) == ("PATCH", f"https://run.googleapis.com/v2/{path}?updateMask=scaling.minInstanceCount")
    assert body == {"name": path, "scaling": {"minInstanceCount": 3}}
    assert scaling.reconcile({"analyze": 3}, {"analyze": 3}) == {"analyze": 3}
    assert len(google.calls) == 3


def test_where_google_refuses_it_is_tried_again_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "_scale", REAL_SCALE)
    monkeypatch.setattr(googleapi, "call", Google({"asia-northeast1": 403}))
    assert scaling.reconcile({"chat": 3}, {}) == {}
    assert scaling.reconcile({}, {"chat": 3}) == {"chat": 3}
    monkeypatch.setattr(googleapi, "call", Google({}))
    assert scaling.reconcile({}, {"chat": 3}) == {}


def test_dead_letters_are_counted_and_left_where_they_are(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    two = {"receivedMessages": [{"ackId": "1"}, {"ackId": "2"}]}
    google = Google({"track-queued-dead-letter:pull": two, "storage-events-dead-letter:pull": 404})
    monkeypatch.setattr(googleapi, "call", google)
    assert REAL_COUNTED() == {"track-queued": 2}
    assert "there is no subscription storage-events-dead-letter" in capsys.readouterr().out
    given_back = [body for _, url, body in google.calls if url.endswith("track-queued-dead-letter:modifyAckDeadline")]
    assert given_back == [{"ackIds": ["1", "2"], "ackDeadlineSeconds": 0}]
    assert not any(":acknowledge" in url for _, url, _ in google.calls)


def test_where_pubsub_does_not_answer_nothing_is_said_of_dead_letters(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(googleapi, "call", Google({"usage-dead-letter": 503}))
    assert REAL_COUNTED() is None
