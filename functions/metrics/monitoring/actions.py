"""What the system does by itself when an alert fires, and how it takes that back. Pure: nothing here calls anyone.

A hold is an action in force. It ends when no alert that caused it fires any more, or when it expires; then it recovers
step by step. What operators pinned by `PUT /v1/controls` is left alone until they release it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from shared.controls import DEFAULTS, Controls, validated
from shared.settings import REGIONS

Mode = Literal["on", "dry-run", "off"]
MODES: tuple[Mode, ...] = ("on", "dry-run", "off")
HOUR_S = 3_600


@dataclass(frozen=True)
class Action:
    name: str
    control: str | None  # which of the controls it changes; None: the instances of a function
    value: Any
    cap_per_hour: int
    expires_s: float
    recover_per_minute: float
    does: str


@dataclass(frozen=True)
class Hold:
    """An action in force, wholly (level 1) or less and less (recovering). Moments are seconds since 1970."""

    action: str
    target: str  # a region, a function, or nothing
    causes: tuple[str, ...]  # keys of alerts
    incident: str
    taken_at: float
    expires_at: float
    level: float = 1.0

    @property
    def key(self) -> str:
        return f"{self.action}/{self.target}" if self.target else self.action

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "causes": list(self.causes)}

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Hold:
        return cls(**{**raw, "causes": tuple(raw["causes"])})


@dataclass(frozen=True)
class Taken:
    """The answer to a wish to act: in force, only said (dry run), or why not."""

    hold: Hold | None
    outcome: Literal["taken", "shared", "dry-run", "refused"]  # shared: in force already, for another alert
    text: str

    @property
    def counts(self) -> bool:
        """Whether it counts against the cap."""
        return self.outcome in {"taken", "dry-run"}


@cache
def table() -> Mapping[str, Action]:
    rows = json.loads(Path(__file__).with_name("actions.json").read_text(encoding="utf-8"))["actions"]
    return {
        row["name"]: Action(
            row["name"],
            row["control"],
            row["value"],
            row["capPerHour"],
            row["expiresS"],
            row["recoverPerMinute"],
            row["does"],
        )
        for row in rows
    }


def target_of(action: Action, label: str) -> str | None:
    """What an action of an alert with this label is aimed at; None where it has nothing to aim at."""
    if action.name == "scale":
        service = service_of(label)
        return service if service in action.value else None
    if action.name == "shift-uploads":
        return label if label in REGIONS else None
    return ""


def service_of(label: str) -> str:
    """The function of a label: one by name, or the one that answers an endpoint such as `POST /v1/chat`."""
    path = label.partition(" ")[2]
    if not path:
        return label
    if path.startswith("/v1/chat"):
        return "chat"
    return "upload" if path.startswith(("/v1/uploads", "/v1/account", "/v1/edge-upload")) else "metrics"


def describe(action: Action, target: str) -> str:
    value = action.value.get(target) if isinstance(action.value, dict) else action.value
    return action.does.format(target=target, value=value)


def take(
    action: Action,
    target: str,
    cause: str,
    incident: str,
    now: float,
    *,
    holds: Mapping[str, Hold],
    taken_before: Sequence[tuple[str, float]],
    pinned: Mapping[str, Any],
    mode: Mode,
) -> Taken:
    """Takes an action for an alert that fires, or says why not. `taken_before` has the names and times of the hour."""
    text = describe(action, target)
    hold = Hold(action.name, target, (cause,), incident, now, now + action.expires_s)
    before = holds.get(hold.key)
    if mode == "off":
        return Taken(None, "refused", f"not done, automatic actions are off: {text}")
    if action.control is not None and action.control in pinned:
        return Taken(None, "refused", f"not done, operators hold {action.control}: {text}")
    if before is not None and before.level >= 1:
        return Taken(_shared(before, cause, now + action.expires_s), "shared", f"done already: {text}")
    counted_as = count_name(action, mode)
    if sum(name == counted_as and now - at < HOUR_S for name, at in taken_before) >= action.cap_per_hour:
        return Taken(None, "refused", f"not done, {action.cap_per_hour} times within an hour is the cap: {text}")
    if mode == "dry-run":
        return Taken(None, "dry-run", f"dry run, would be done: {text}")
    return Taken(hold, "taken", text)


def count_name(action: Action, mode: Mode) -> str:
    """What the cap counts: dry runs and real ones apart, so that the first real one does not meet a cap used up."""
    return action.name if mode == "on" else f"{action.name}/{mode}"


def _shared(hold: Hold, cause: str, expires_at: float) -> Hold:
    """In force for one more alert, which has as long as it would have had by itself."""
    if cause in hold.causes:
        return hold
    return replace(hold, causes=(*hold.causes, cause), expires_at=max(hold.expires_at, expires_at))


def recovered(hold: Hold, firing: frozenset[str], now: float) -> Hold | None:
    """The hold a minute later: as it is while its cause lasts, weaker after that or when expired, then gone."""
    if firing & set(hold.causes) and now < hold.expires_at:
        return hold
    level = round(hold.level - table()[hold.action].recover_per_minute, 6)
    return replace(hold, level=level) if level > 0 else None


def effective(holds: Mapping[str, Hold], pinned: Mapping[str, Any]) -> Controls:
    """The controls in force: the defaults, changed by the holds, overruled by what operators pinned."""
    factor, closed, shed = 1.0, set[str](), set[str]()
    weights = dict.fromkeys(REGIONS, 1.0)
    for hold in holds.values():
        action = table()[hold.action]
        if action.control == "rateFactor":
            factor = min(factor, round(1 - (1 - action.value) * hold.level, 6))
        elif action.control == "regionWeights":
            weights[hold.target] = round(1 - (1 - action.value) * hold.level, 6)
        elif action.control == "closed":
            closed.add(action.value)
        elif action.control == "shedPlans":
            shed.add(action.value)
    if not any(weights.values()):  # uploads must go somewhere
        weights = dict.fromkeys(REGIONS, 1.0)
    automatic = replace(
        DEFAULTS,
        closed=frozenset(closed),
        rate_factor=factor,
        region_weights=weights,
        shed_plans=frozenset(shed),
    )
    return validated(pinned, automatic)


def instances(holds: Mapping[str, Hold]) -> dict[str, int]:
    """How many instances of which functions the holds ask for."""
    scale = table()["scale"]
    return {hold.target: scale.value[hold.target] for hold in holds.values() if hold.action == scale.name}
