"""What the system does by itself: within its cap, undone step by step, never against what operators pinned."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from monitoring import standing
from shared import controls
from shared import settings as settings_module
from shared.problems import Problem
from tests.unit.watch_world import MIDNIGHT, MINUTE0, World, failing, minutes_of, pin

OPENED_AND_RESOLVED = ["opened", "resolved"]


@pytest.fixture(autouse=True)
def forgotten_settings() -> Iterator[None]:
    yield
    settings_module.settings.cache_clear()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


# ---- what each signal leads to ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "group", "hold"),
    [
        (lambda w: w.gauges.update(chat={"cpu": 0.9}), "capacity", "scale/chat"),
        (lambda w: w.gauges.update(upload={"memory": 0.95}), "capacity", "scale/upload"),
        (lambda w: setattr(w, "uploads_open", 51), "uploads", "scale/upload"),
        (lambda w: setattr(w, "queue_age_s", 301), "queue", "shed-lowest-plan"),
        (lambda w: w.regions_down.add("asia"), "regions", "shift-uploads/asia"),
        (lambda w: setattr(w, "cost_usd", 100), "cost", "close-model"),
        (lambda w: w.dead_letters.update({"usage": 1}), "dead-letters", None),
        (lambda w: setattr(w, "cost_usd", 80), "cost", None),
    ],
)
def test_each_signal_makes_its_incident_and_its_action(
    world: World, change: Callable[[World], None], group: str, hold: str | None
) -> None:
    minutes_of(world, 1, 2)
    assert world.told == []
    change(world)
    minutes_of(world, 3, 9)
    assert world.told == [("opened", group)]
    assert hold is None or hold in world.holds


def test_answers_that_were_struck_close_the_model_for_a_while(world: World) -> None:
    minutes_of(world, 1, 2)
    minutes_of(world, 3, 4, lambda minute: world.measured[MINUTE0 + minute].update({"n|model.struck": 3}))
    assert world.told == [("opened", "model")]
    assert world.controls.closed == {"model"}
    minutes_of(world, 5, 30)
    assert world.told == [("opened", "model"), ("resolved", "model")]
    assert world.controls.closed == frozenset()


def test_what_is_refused_on_purpose_is_no_error(world: World) -> None:
    def refused(minute: int) -> None:
        world.measured[MINUTE0 + minute] = {"s|POST /v1/chat|503": 100, "n|refused.closed POST /v1/chat": 100}

    pin(world, {"closed": ["chat"]})
    minutes_of(world, 1, 10, refused)
    assert world.told == []


def test_while_something_is_closed_what_fails_elsewhere_is_an_error_all_the_same(world: World) -> None:
    def unavailable(minute: int) -> None:
        world.measured[MINUTE0 + minute] = {
            "s|POST /v1/chat|503": 100,
            "n|refused.closed POST /v1/chat": 100,
            "s|POST /v1/uploads|503": 20,
            "s|POST /v1/uploads|201": 80,
        }

    pin(world, {"closed": ["chat"], "shedPlans": ["free"]})
    minutes_of(world, 1, 10, unavailable)
    assert world.told == [("opened", "errors")]
    assert list(world.incidents[0]["alerts"]) == ["error-rate/POST /v1/uploads"]


def test_a_slow_error_burn_over_hours_is_told_though_no_minute_is_bad(world: World) -> None:
    minutes_of(world, 1, 200, lambda minute: world.requests(MINUTE0 + minute, 100, errors=1))
    assert world.told == [("opened", "budget")]
    assert list(world.incidents[0]["alerts"]) == ["budget-slow"]


# ---- actions ---------------------------------------------------------------------------------------------------------


def test_limits_are_tightened_and_come_back_step_by_step(world: World) -> None:
    minutes_of(world, 1, 2)
    minutes_of(world, 3, 8, failing(world))
    assert world.controls.rate_factor == 0.5
    factors = []
    for minute in range(9, 25):
        minutes_of(world, minute, minute)
        factors.append(world.controls.rate_factor)
    steps = [factor for i, factor in enumerate(factors) if i == 0 or factor != factors[i - 1]]
    assert steps == [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert any(e["text"].startswith("undone (no longer needed)") for e in world.incidents[0]["timeline"])


def test_a_region_gets_its_uploads_back_a_quarter_a_minute(world: World) -> None:
    minutes_of(world, 1, 2)
    world.regions_down = {"eu"}
    minutes_of(world, 3, 4)
    assert world.controls.region_weights == {"us": 1.0, "eu": 0.0, "asia": 1.0}
    world.regions_down = set()
    weights = []
    for minute in range(5, 20):
        minutes_of(world, minute, minute)
        weights.append(world.controls.region_weights["eu"])
    assert sorted(set(weights)) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert weights == sorted(weights)


def test_when_all_regions_fail_uploads_still_go_somewhere(world: World) -> None:
    minutes_of(world, 1, 2)
    world.regions_down = {"us", "eu", "asia"}
    minutes_of(world, 3, 4)
    assert set(world.controls.region_weights.values()) == {1.0}


def test_a_function_is_scaled_once_and_back_once(world: World) -> None:
    minutes_of(world, 1, 2)
    world.queue_age_s = 400
    minutes_of(world, 3, 10)
    world.queue_age_s = 0
    minutes_of(world, 11, 20)
    assert world.scaled == [("analyze", 3), ("analyze", 0)]
    assert world.controls.shed_plans == frozenset()


def test_scaling_that_failed_is_tried_again_by_the_next_tick(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([False, False, True])
    calls = []

    def scale(service: str, instances: int) -> bool:
        calls.append((service, instances))
        return next(answers)

    monkeypatch.setattr("monitoring.scaling._scale", scale)
    minutes_of(world, 1, 2)
    world.queue_age_s = 400
    minutes_of(world, 3, 10)
    assert calls == [("analyze", 3)] * 3


def test_an_action_lasts_for_the_last_alert_that_asked_for_it(world: World) -> None:
    """Answers are slow from minute 3 on, and fail from minute 25 on; limits expire 30 min after they were tightened."""
    minutes_of(world, 1, 2)
    minutes_of(world, 3, 24, lambda m: world.requests(MINUTE0 + m, 100, slow=True))
    first = world.holds["tighten-limits"].expires_at
    minutes_of(world, 25, 45, lambda m: world.requests(MINUTE0 + m, 100, slow=True, errors=20))
    hold = world.holds["tighten-limits"]
    assert set(hold.causes) == {"response-time/POST /v1/uploads", "error-rate/POST /v1/uploads"}
    assert hold.expires_at > first
    assert world.controls.rate_factor == 0.5


def test_an_action_is_taken_as_often_as_its_cap_allows_and_then_only_spoken_of(world: World) -> None:
    """Slow for two minutes, well for four, five times within the hour."""
    minutes_of(world, 1, 2)
    for begin in range(3, 53, 10):
        minutes_of(world, begin, begin + 1, lambda m: world.requests(MINUTE0 + m, 100, slow=True))
        minutes_of(world, begin + 2, begin + 9)
    lines = [row["what"] for row in world.documents.under("audit")]
    assert lines.count("every rate limit is multiplied by 0.5") == 2
    refused = "not done, 2 times within an hour is the cap: every rate limit is multiplied by 0.5"
    assert lines.count(refused) == 3
    assert [kind for kind, _ in world.told] == OPENED_AND_RESOLVED * 5
    assert world.controls == controls.DEFAULTS


def test_an_action_expires_though_its_alert_still_fires_and_that_is_told(world: World) -> None:
    minutes_of(world, 1, 2)
    world.queue_age_s = 400
    minutes_of(world, 3, 40)
    assert world.controls.shed_plans == frozenset()
    assert world.told == [("opened", "queue"), ("update", "queue")]
    assert any(e["text"].startswith("undone (expired)") for e in world.incidents[0]["timeline"])


def test_in_a_dry_run_it_is_said_and_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, ACTIONS="dry-run")
    minutes_of(world, 1, 2)
    world.queue_age_s = 400
    minutes_of(world, 3, 6)
    assert dict(world.holds) == {}
    assert world.scaled == []
    assert [row["what"] for row in world.documents.under("audit")] == [
        "dry run, would be done: analyze keeps at least 3 instances ready",
        "dry run, would be done: the plan free is refused while capacity is short",
    ]


def test_dry_runs_do_not_use_up_the_cap_of_what_is_done(world: World) -> None:
    pin(world, {"actions": {"shed-lowest-plan": "dry-run"}})
    minutes_of(world, 1, 2)
    for begin in (3, 13, 23):
        world.queue_age_s = 400
        minutes_of(world, begin, begin + 2)
        world.queue_age_s = 0
        minutes_of(world, begin + 3, begin + 9)
    assert world.controls.shed_plans == frozenset()
    pin(world, {})
    world.queue_age_s = 400
    minutes_of(world, 33, 35)
    assert world.controls.shed_plans == {"free"}


def test_without_a_setting_actions_are_a_dry_run() -> None:
    needed = {"GOOGLE_CLOUD_PROJECT": "p", "UPLOAD_BUCKETS": "us=a", "UPSTASH_REDIS_REST_URL": "https://r.example"}
    assert settings_module.parse({**needed, "UPSTASH_REDIS_REST_TOKEN": "t"}).actions == "dry-run"


def test_what_operators_pinned_no_action_changes_until_they_release_it(world: World) -> None:
    pin(world, {"rateFactor": 0.9})
    minutes_of(world, 1, 2)
    minutes_of(world, 3, 8, failing(world))
    assert world.controls.rate_factor == 0.9
    assert any("operators hold rateFactor" in row["what"] for row in world.documents.under("audit"))
    minutes_of(world, 9, 20)
    assert world.controls.rate_factor == 0.9
    pin(world, {})
    assert world.controls == controls.DEFAULTS


def test_an_action_that_operators_switch_off_is_undone_at_once(world: World) -> None:
    minutes_of(world, 1, 2)
    world.queue_age_s = 400
    minutes_of(world, 3, 5)
    assert world.scaled == [("analyze", 3)]
    pin(world, {"actions": {"scale": "off", "shed-lowest-plan": "dry-run"}})
    assert world.controls.shed_plans == frozenset()
    minutes_of(world, 6, 7)
    assert world.scaled == [("analyze", 3), ("analyze", 0)]


# ---- the controls' two copies ----------------------------------------------------------------------------------------


def test_a_redis_that_was_wiped_gets_the_controls_back_with_the_next_tick(world: World) -> None:
    pin(world, {"closed": ["chat"]})
    world.redis.values.clear()
    minutes_of(world, 1, 1)
    assert world.controls.closed == {"chat"}


def test_a_copy_that_differs_is_put_right(world: World) -> None:
    pin(world, {"rateFactor": 0.7})
    controls.store(controls.DEFAULTS)  # an older writer came last
    minutes_of(world, 1, 1)
    assert world.controls.rate_factor == 0.7


def test_controls_that_somebody_wrote_wrongly_by_hand_count_as_none(world: World) -> None:
    for wrong in (
        {"pinned": {"rateFactor": "fast"}},
        {"pinned": ["closed"]},
        {"automatic": [{"no": "hold"}]},
        {"actions": ["scale"]},
        {"silences": [{"alert": "cpu"}]},
    ):
        assert standing.of_document(wrong) == standing.Standing()
        world.documents.write("controls/current", wrong)
        world.tick(MIDNIGHT + 60)
    assert world.controls == controls.DEFAULTS


def test_a_state_that_another_version_left_does_not_stop_the_watch(world: World) -> None:
    world.documents.write("alerts/state", {"watch": '{"before": "all was different"}'})
    world.dead_letters = {"usage": 1}
    minutes_of(world, 1, 2)
    assert world.told == [("opened", "dead-letters")]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"rateFactor": 0}, "rateFactor"),
        ({"close": ["chat"]}, "close is no control"),
        ({"silences": [{"alert": "nothing", "until": "2026-11-24T00:00:00Z"}]}, "a silence has alert"),
        ({"silences": [{"alert": "cpu", "until": "soon"}]}, "until is a time"),
        ({"silences": [{"alert": "cpu", "until": "2026-11-24T00:00:00"}]}, "time zone"),
        ({"silences": "all"}, "silences is a list"),
        ({"actions": {"scale": "maybe"}}, "actions gives"),
        ({"actions": {"dance": "on"}}, "actions gives"),
    ],
)
def test_what_operators_cannot_mean_is_refused_and_named(body: dict[str, object], fault: str) -> None:
    with pytest.raises(Problem, match=fault):
        standing.wanted(body, standing.Standing(), MIDNIGHT)


def test_what_get_answers_may_be_put_again(world: World) -> None:
    from monitoring import overrides

    pin(world, {"closed": ["model"], "dailyCostLimitUsd": 50, "denied": ["user:u"]})
    shown = json.loads(json.dumps(overrides.shown(world.documents.controls().data), default=str))
    again = standing.wanted(shown, standing.Standing(), MIDNIGHT)
    assert again.controls == standing.of_document(world.documents.controls().data).controls
