"""The watch: what is measured is judged, written once, acted upon within its cap, undone step by step, and told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from monitoring import alerts, judge, store, tick, watch
from shared import controls
from shared import settings as settings_module
from shared.events import Event
from tests.unit.watch_world import MIDNIGHT, MINUTE0, World, calm, failing, minutes_of, pin


@pytest.fixture(autouse=True)
def forgotten_settings() -> Iterator[None]:
    yield
    settings_module.settings.cache_clear()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


# ---- a day -----------------------------------------------------------------------------------------------------------


class Day:
    """A day with five incidents, and with what is none: a short peak, a slow minute, a single error in the night."""

    EXPECTED = (
        ("opened", "capacity"),  # 02:00 CPU of chat
        ("resolved", "capacity"),
        ("opened", "capacity"),  # 06:00 memory of analyze
        ("resolved", "capacity"),
        ("opened", "errors"),  # 10:00 errors, which burn the budget as well
        ("resolved", "errors"),
        ("opened", "latency"),  # 15:00 slow answers
        ("resolved", "latency"),
        ("opened", "regions"),  # 20:00 the storage of a region
        ("resolved", "regions"),
    )

    def __init__(self, world: World) -> None:
        self._world = world

    def happens(self, minute: int) -> None:
        """What is so in a minute of the day, from its beginning to its end."""
        world = self._world
        errors, slow = 0, False
        world.gauges = {"chat": {"cpu": 0.3, "memory": 0.4}, "analyze": {"cpu": 0.5, "memory": 0.6}}
        world.regions_down = set()
        if 120 <= minute < 150 or minute in {30, 31, 32}:  # the three are no incident
            world.gauges["chat"]["cpu"] = 0.97
        if 360 <= minute < 380:
            world.gauges["analyze"]["memory"] = 0.95
        if 600 <= minute < 630:
            errors = 30
        if 900 <= minute < 915 or minute == 800:
            slow = True
        if 1200 <= minute < 1230:
            world.regions_down = {"eu"}
        if minute == 200:
            errors = 1
        world.requests(MINUTE0 + minute, 100, errors=errors, slow=slow)


def test_a_day_with_five_incidents_gives_exactly_the_expected_notices(world: World) -> None:
    day = Day(world)
    for minute in range(1, 1441):
        day.happens(minute - 1)
        world.tick(MIDNIGHT + 60 * minute + 0.4)
    assert tuple(world.told) == Day.EXPECTED
    told = [i for i in world.incidents if i["told"]]
    assert [i["openedAt"].strftime("%H:%M") for i in told] == ["02:06", "06:03", "10:04", "15:02", "20:01"]
    assert [i["group"] for i in world.incidents if not i["told"]] == ["budget"]
    assert {i["state"] for i in world.incidents} == {"resolved"}
    assert world.controls == controls.DEFAULTS
    assert dict(world.holds) == {}


def test_ticks_that_come_twice_or_not_at_all_change_nothing_of_it(world: World) -> None:
    day = Day(world)
    for minute in range(590, 960):
        day.happens(minute - 1)
        if minute % 7 == 4:
            continue  # it did not come
        world.tick(MIDNIGHT + 60 * minute + 0.4)
        world.tick(MIDNIGHT + 60 * minute + 0.4)
        world.tick(MIDNIGHT + 60 * minute + 10.4)  # delivered again, later
    assert tuple(world.told) == Day.EXPECTED[4:8]
    assert {i["state"] for i in world.incidents} == {"resolved"}


# ---- ticks -----------------------------------------------------------------------------------------------------------


def test_minutes_that_were_missed_are_judged_afterwards(world: World) -> None:
    minutes_of(world, 1, 2)
    for minute in range(2, 12):
        failing(world)(minute) if minute < 6 else calm(world, minute)
    world.tick(MIDNIGHT + 12 * 60)
    rates = [i for i in world.incidents if i["group"] == "errors"]
    assert [entry["text"] for entry in rates[0]["timeline"] if "errors)" in entry["text"]] == [
        "POST /v1/uploads fails (more than 5 % errors): 20 %",
        "resolved: POST /v1/uploads fails (more than 5 % errors)",
    ]
    fired_at = rates[0]["alerts"]["error-rate/POST /v1/uploads"]["firedAt"]
    assert fired_at == datetime.fromtimestamp(MIDNIGHT + 6 * 60, UTC)  # 3 min after the first such minute had ended
    assert ("opened", "heartbeat") in world.told


def test_of_two_ticks_at_once_one_judges_and_the_other_does_nothing(world: World) -> None:
    minutes_of(world, 1, 1)
    world.dead_letters = {"track-queued": 2}
    documents = world.documents

    def somebody_else() -> None:
        documents.before_commit = lambda: None
        world.tick(MIDNIGHT + 120.1)

    documents.before_commit = somebody_else
    world.tick(MIDNIGHT + 120)
    assert world.told == [("opened", "dead-letters")]
    assert len(world.incidents) == 1


def test_a_tick_that_comes_late_is_told_and_is_over_with_the_next_one(world: World) -> None:
    minutes_of(world, 1, 2)
    world.tick(MIDNIGHT + 300)
    assert world.told == [("opened", "heartbeat")]
    world.tick(MIDNIGHT + 360)
    assert world.told == [("opened", "heartbeat"), ("resolved", "heartbeat")]


def test_any_instance_does_the_work_of_a_tick_that_is_overdue(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_lookout", watch._Lookout())
    monkeypatch.setattr(watch, "tell", lambda: None)
    minutes_of(world, 1, 2)
    for after_s in (30, 100, 149, 170, 240, 310):
        watch.run_if_overdue(datetime.fromtimestamp(MIDNIGHT + 120 + after_s, UTC))
    assert world.told == [("opened", "heartbeat")]
    world.tick(MIDNIGHT + 480)  # the scheduler is back, and late
    world.tick(MIDNIGHT + 540)
    assert world.told == [("opened", "heartbeat"), ("resolved", "heartbeat")]


def test_a_tick_that_never_came_is_told_by_the_instances_that_look(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "tell", lambda: None)
    for after_s in (0, 60, 120):
        monkeypatch.setattr(watch, "_lookout", watch._Lookout())  # of whichever instance is asked
        watch.run_if_overdue(datetime.fromtimestamp(MIDNIGHT + after_s, UTC))
    assert world.told == []
    watch.run_if_overdue(datetime.fromtimestamp(MIDNIGHT + 180, UTC))
    watch.run_if_overdue(datetime.fromtimestamp(MIDNIGHT + 240, UTC))
    assert world.told == [("opened", "heartbeat")]


def test_the_first_tick_after_a_first_look_is_no_late_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_lookout", watch._Lookout())
    watch.run_if_overdue(datetime.fromtimestamp(MIDNIGHT + 10, UTC))
    minutes_of(world, 1, 3)
    assert world.told == []


# ---- what is measured late -------------------------------------------------------------------------------------------


def test_a_tenth_of_each_minute_that_comes_after_its_tick_changes_nothing_of_it(world: World) -> None:
    day = Day(world)
    for minute in range(590, 960):
        day.happens(minute - 1)
        whole = world.measured[MINUTE0 + minute - 1]
        world.measured[MINUTE0 + minute - 1] = {field: count - count // 10 for field, count in whole.items()}
        world.tick(MIDNIGHT + 60 * minute + 0.4)
        world.measured[MINUTE0 + minute - 1] = whole
    assert tuple(world.told) == Day.EXPECTED[4:8]
    assert world.watch.history[MINUTE0 + 950].requests == 100


@pytest.mark.parametrize(
    ("late", "group"), [({"errors": 20}, "errors"), ({"slow": True}, "latency")], ids=["errors", "slow answers"]
)
def test_what_is_measured_after_its_tick_is_judged_with_the_next_minute(
    world: World, late: dict[str, Any], group: str
) -> None:
    """An instance that hangs tells of its last requests when it is asked again."""
    for minute in range(1, 9):
        calm(world, minute - 1)
        world.tick(MIDNIGHT + 60 * minute + 0.4)
        before = world.measured[MINUTE0 + minute - 1]
        world.measured[MINUTE0 + minute - 1] = {}
        world.requests(MINUTE0 + minute - 1, 20, **late)
        after = world.measured[MINUTE0 + minute - 1]
        world.measured[MINUTE0 + minute - 1] = {
            field: before.get(field, 0) + after.get(field, 0) for field in {*before, *after}
        }
    assert world.told == [("opened", group)]


def test_struck_answers_that_are_measured_late_close_the_model_all_the_same(world: World) -> None:
    minutes_of(world, 1, 4)
    world.measured[MINUTE0 + 2]["n|model.struck"] = 6
    minutes_of(world, 5, 5)
    assert world.told == [("opened", "model")]


def test_a_minute_that_redis_could_not_tell_counts_for_the_longer_windows_when_it_is_back(world: World) -> None:
    minutes_of(world, 1, 2)
    world.redis_answers = False
    minutes_of(world, 3, 4, failing(world))
    world.redis_answers = True
    minutes_of(world, 5, 5)
    assert [world.watch.history[MINUTE0 + minute].errors for minute in (1, 2, 3, 4)] == [0, 20, 20, 0]
    assert world.told == []


def test_what_is_measured_late_is_judged_once(world: World) -> None:
    minutes_of(world, 1, 5)
    world.requests(MINUTE0 + 3, 130, errors=30)
    rates = []
    for minute in range(6, 10):
        minutes_of(world, minute, minute)
        rates.append("error-rate/POST /v1/uploads" in world.watch.series)
    assert rates == [True, False, False, False]


def test_an_instance_that_cannot_look_says_nothing_to_its_caller(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise ConnectionError

    monkeypatch.setattr(watch, "_lookout", watch._Lookout())
    monkeypatch.setattr(world.documents, "state", away)
    watch.run_if_overdue(datetime.fromtimestamp(MIDNIGHT, UTC))


def test_an_instance_that_is_gone_is_not_judged_by_its_last_word(world: World) -> None:
    minutes_of(world, 1, 2)
    world.gauges = {"analyze": {"memory": 0.97}}
    world.seen_s_ago = {"analyze": 0.0}
    for minute in range(3, 9):  # it told of itself once, shortly before it ended
        minutes_of(world, minute, minute)
        world.seen_s_ago["analyze"] += 60
        if world.seen_s_ago["analyze"] > store.ALIVE_S:
            world.gauges = {}
    assert world.told == []


def test_without_redis_that_is_what_is_told_and_nothing_else(world: World) -> None:
    world.gauges = {"chat": {"cpu": 0.5}}
    minutes_of(world, 1, 3)
    world.redis_answers = False
    minutes_of(world, 4, 7)
    world.redis_answers = True
    minutes_of(world, 8, 12)
    assert world.told == [("opened", "redis"), ("resolved", "redis")]


def test_nothing_that_fails_beside_the_judgement_holds_up_a_tick(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def fail(what: str) -> None:
        done.append(what)
        raise ConnectionError

    monkeypatch.setattr(tick, "measure", lambda _: fail("housekeeping"))
    monkeypatch.setattr(watch, "tell", lambda: fail("the outbox"))
    tick.tick(Event("id", "", {}, None))
    assert done == ["the outbox", "housekeeping"]
    assert world.documents.state().version is not None


def test_a_tick_that_firestore_did_not_take_comes_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise ConnectionError

    monkeypatch.setattr(world.documents, "watched", away)
    with pytest.raises(ConnectionError):
        tick.tick(Event("id", "", {}, None))


def test_the_moments_of_a_tick_are_the_full_minutes_since_the_last_and_now() -> None:
    assert judge.moments(0.0, MIDNIGHT + 60.4) == [MIDNIGHT + 60]
    assert judge.moments(MIDNIGHT + 60, MIDNIGHT + 61) == []
    assert judge.moments(MIDNIGHT + 60, MIDNIGHT + 90) == [MIDNIGHT + 90]
    assert judge.moments(MIDNIGHT + 90, MIDNIGHT + 91) == []
    assert judge.moments(MIDNIGHT + 90, MIDNIGHT + 180.2) == [MIDNIGHT + 120, MIDNIGHT + 180]
    assert len(judge.moments(MIDNIGHT, MIDNIGHT + 86_400)) == judge.CATCH_UP_MINUTES


# ---- notices ---------------------------------------------------------------------------------------------------------


def test_alerts_of_one_kind_make_one_incident_and_what_fires_together_one_notice(world: World) -> None:
    world.gauges = {name: {"cpu": 0.9} for name in ("chat", "upload", "analyze")}
    minutes_of(world, 1, 12)
    assert world.told == [("opened", "capacity")]
    assert set(world.incidents[0]["alerts"]) == {"cpu/chat", "cpu/upload", "cpu/analyze"}
    world.gauges["metrics"] = {"memory": 0.99}
    minutes_of(world, 13, 16)
    assert world.told == [("opened", "capacity"), ("update", "capacity")]


def test_a_silenced_alert_is_an_incident_that_nobody_is_told_of(world: World) -> None:
    until = datetime.fromtimestamp(MIDNIGHT + 86_400, UTC).isoformat()
    pin(world, {"silences": [{"alert": "queue-age", "until": until, "reason": "load test"}]})
    world.queue_age_s = 400
    minutes_of(world, 1, 5)
    world.queue_age_s = 0
    minutes_of(world, 6, 12)
    assert world.told == []
    assert [i["state"] for i in world.incidents] == ["resolved"]
    assert [n["state"] for n in world.documents.under("notices")] == ["silenced"]


def test_an_incident_that_outlives_its_silence_is_told_and_what_comes_after_is_an_update(world: World) -> None:
    until = datetime.fromtimestamp(MIDNIGHT + 600, UTC).isoformat()
    pin(world, {"silences": [{"alert": "*", "until": until}]})
    world.dead_letters = {"usage": 1}
    minutes_of(world, 1, 9)
    assert world.told == []
    minutes_of(world, 10, 12)
    assert world.told == [("opened", "dead-letters")]
    payload = next(n["payload"] for n in world.documents.under("notices") if n["state"] != "silenced")
    assert "Dead letters of usage" in payload
    world.dead_letters = {"usage": 1, "tick": 1}
    minutes_of(world, 13, 14)
    assert world.told == [("opened", "dead-letters"), ("update", "dead-letters")]


def test_a_budget_that_still_burns_when_the_errors_and_what_they_left_are_over_is_told(world: World) -> None:
    """Of 20 % errors 3 % are left: too few for the alert of errors, enough to use the month up in a day."""
    minutes_of(world, 1, 2)
    minutes_of(world, 3, 10, failing(world))
    minutes_of(world, 11, 60, lambda minute: world.requests(MINUTE0 + minute, 100, errors=3))
    assert world.told == [("opened", "errors"), ("resolved", "errors"), ("opened", "budget")]
    minutes_of(world, 61, 420)
    assert world.told[3:] == [("resolved", "budget")]


def test_a_budget_that_burnt_only_by_errors_that_were_told_is_not_told_again(world: World) -> None:
    minutes_of(world, 1, 2)
    minutes_of(world, 3, 33, failing(world))
    minutes_of(world, 34, 200)
    assert world.told == [("opened", "errors"), ("resolved", "errors")]
    assert {i["group"] for i in world.incidents} == {"errors", "budget"}


# ---- tables that change ----------------------------------------------------------------------------------------------


def test_an_incident_of_an_alert_that_is_no_longer_in_the_table_is_closed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.gauges = {"chat": {"cpu": 0.9, "memory": 0.95}}
    minutes_of(world, 1, 8)
    rest = tuple(alert for alert in alerts.table() if alert.name != "memory")
    monkeypatch.setattr(alerts, "table", lambda *_: rest)
    minutes_of(world, 9, 10)
    (incident,) = world.incidents
    assert incident["alerts"]["memory/chat"]["resolvedAt"] is not None
    assert incident["state"] == "open"
    monkeypatch.setattr(alerts, "table", lambda *_: tuple(alert for alert in rest if alert.name != "cpu"))
    minutes_of(world, 11, 12)
    assert world.incidents[0]["state"] == "resolved"
    assert world.told[-1] == ("resolved", "capacity")
    assert dict(world.watch.open) == {}


@pytest.mark.parametrize("left", [{"watch": '{"before": "all was different"}'}, {"watch": None}])
def test_a_watch_that_begins_anew_closes_what_was_open_and_goes_on_with_what_still_fires(
    world: World, left: dict[str, object]
) -> None:
    world.gauges = {"chat": {"cpu": 0.9}}
    world.dead_letters = {"usage": 1}
    minutes_of(world, 1, 8)
    world.documents.write("alerts/state", left)
    world.documents.write("incidents/20260101-000000-cost", {"group": "cost", "state": "open", "what": "another form"})
    minutes_of(world, 9, 10)
    states = {i["group"]: i["state"] for i in world.incidents}
    assert states == {"dead-letters": "open", "capacity": "resolved", "cost": "open"}
    texts = [entry["text"] for i in world.incidents if i["group"] == "capacity" for entry in i["timeline"]]
    assert texts[-1] == "closed, no longer judged: CPU above 80 % in chat"
    minutes_of(world, 11, 16)
    assert world.told[-1] == ("opened", "capacity")  # it is still so, and was seen anew


def test_each_notice_is_written_for_each_webhook_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, DISCORD_WEBHOOK_URL="http://inbox/discord")
    world.dead_letters = {"usage": 1}
    minutes_of(world, 1, 2)
    assert sorted(n["service"] for n in world.documents.under("notices")) == ["discord", "slack"]
    assert all(json.loads(n["payload"]) for n in world.documents.under("notices"))
