"""The operators' controls: what is valid, what a fault is told, and that rubbish closes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.controls import DEFAULTS, PLANS, SWITCHES, parse, validated
from shared.policies import routes
from shared.problems import Problem


@given(
    closed=st.sets(st.sampled_from(SWITCHES)),
    factor=st.floats(0.05, 1.0),
    weight=st.floats(0, 100),
    shed=st.sets(st.sampled_from(PLANS)),
    limit=st.none() | st.floats(0, 1e6),
)
def test_controls_survive_the_way_through_redis(
    closed: set[str], factor: float, weight: float, shed: set[str], limit: float | None
) -> None:
    changed: dict[str, Any] = {
        "closed": sorted(closed),
        "rateFactor": factor,
        "regionWeights": {"eu": weight},
        "shedPlans": sorted(shed),
        "dailyCostLimitUsd": limit,
    }
    made = validated(changed)
    assert parse(made.as_json()) == made
    assert made.region_weights == {"us": 1.0, "eu": weight, "asia": 1.0}


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ({"rateFactor": 0}, "rateFactor"),
        ({"rateFactor": 1.5}, "rateFactor"),
        ({"rateFactor": True}, "rateFactor"),
        ({"closed": ["everything"]}, "closed"),
        ({"closed": "chat"}, "closed"),
        ({"regionWeights": {"mars": 1}}, "regionWeights"),
        ({"regionWeights": {"eu": -1}}, "regionWeights.eu"),
        ({"shedPlans": ["gold"]}, "shedPlans"),
        ({"dailyCostLimitUsd": "much"}, "dailyCostLimitUsd"),
        ({"denied": ["eve"]}, "denied"),
        ({"factor": 1}, "factor"),
    ],
)
def test_a_fault_is_named(wanted: dict[str, Any], named: str) -> None:
    with pytest.raises(Problem, match=named):
        validated(wanted)


@given(st.text() | st.builds(json.dumps, st.dictionaries(st.sampled_from(list(DEFAULTS.as_dict())), st.none())))
def test_rubbish_in_redis_means_the_defaults(text: str) -> None:
    assert parse(text) == DEFAULTS


def test_who_is_denied_does_not_travel_with_every_answer() -> None:
    made = validated({"denied": ["user:eve", "address:203.0.113.7"]})
    assert "eve" not in made.as_json()
    assert made.as_dict()["denied"] == ["address:203.0.113.7", "user:eve"]


def test_a_change_of_who_is_denied_can_be_seen_by_instances_that_are_not_told_who() -> None:
    nobody, eve = validated({}), validated({"denied": ["user:eve"]})
    assert eve.as_json() != nobody.as_json()
    assert eve.as_json() == validated({"denied": ["user:eve"]}).as_json()
    assert parse(eve.as_json()) == DEFAULTS


def test_controls_of_a_newer_version_are_heeded_as_far_as_they_are_known() -> None:
    text = json.dumps({**json.loads(validated({"closed": ["chat"]}).as_json()), "unheardOf": 1})
    assert parse(text).closed == {"chat"}


def test_every_route_has_a_switch_but_the_one_by_which_operators_open_it_again() -> None:
    assert set(routes()) - set(SWITCHES) == {"metrics"}
