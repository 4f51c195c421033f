"""The controls as they stand: what operators pinned, what the system holds, and what follows for everyone.

The document `controls/current` has the controls in force and, beside them, where they come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from monitoring import actions, alerts
from monitoring.actions import MODES, Hold, Mode
from shared import telemetry
from shared.controls import DEFAULTS, Controls, validated
from shared.problems import Problem

SILENCES_MOST = 50
READ_ONLY = ("automatic", "pinned", "changedAt", "changedBy")  # of what GET answers, PUT leaves these out of account


@dataclass(frozen=True)
class Silence:
    """An alert (`*` for all) whose notices are not sent until a moment, in seconds since 1970."""

    alert: str
    until: float
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {"alert": self.alert, "until": datetime.fromtimestamp(self.until, UTC), "reason": self.reason}


@dataclass(frozen=True)
class Standing:
    pinned: Mapping[str, Any] = field(default_factory=dict)  # controls as operators want them
    holds: Mapping[str, Hold] = field(default_factory=dict)
    silences: tuple[Silence, ...] = ()
    modes: Mapping[str, Mode] = field(default_factory=dict)  # by action, where operators chose another than the setting

    @property
    def controls(self) -> Controls:
        return actions.effective(self.holds, self.pinned)

    def as_document(self, changed_by: str, now: datetime) -> dict[str, Any]:
        return {
            **self.controls.as_dict(),
            "pinned": dict(self.pinned),
            "automatic": [hold.as_dict() for hold in self.holds.values()],
            "silences": [silence.as_dict() for silence in self.silences],
            "actions": dict(self.modes),
            "changedBy": changed_by,
            "changedAt": now,
        }


def of_document(data: Mapping[str, Any]) -> Standing:
    """What a document says; of one that somebody wrote by hand and wrongly, the defaults."""
    try:
        holds = [Hold.of(raw) for raw in data.get("automatic") or []]
        silences = [Silence(r["alert"], r["until"].timestamp(), r["reason"]) for r in data.get("silences") or []]
        modes = _modes(data.get("actions") or {})
        found = Standing(data.get("pinned") or {}, {hold.key: hold for hold in holds}, tuple(silences), modes)
        _ = found.controls, actions.instances(found.holds)  # whether all of it can be meant
    except (AttributeError, KeyError, TypeError, ValueError, Problem) as error:
        telemetry.error("controls/current cannot be read; the defaults hold", error=repr(error))
        return Standing()
    return found


def wanted(body: Mapping[str, Any], before: Standing, now: float) -> Standing:
    """The standing after operators said what they want: what they name is pinned, what they do not is released.

    What is so anyway, and was not pinned, is not pinned by being named: it came along with what GET answered. What an
    action holds that they switch off is undone at once.

    Raises Problem `invalid-request` that names the fault.
    """
    own = {"silences", "actions"}
    named = {key: value for key, value in body.items() if key not in own and key not in READ_ONLY and value is not None}
    validated(named, DEFAULTS)
    pinned = _meant(named, before)
    modes = _modes(body.get("actions") or {})
    kept = {key: hold for key, hold in before.holds.items() if modes.get(hold.action, "on") == "on"}
    silences = _silences(body.get("silences") or [], now)
    return Standing(pinned, kept, silences, modes)


def _meant(named: Mapping[str, Any], before: Standing) -> dict[str, Any]:
    """Of valid controls those that differ from what is in force, and those that were pinned; of weights, by region."""
    in_force = before.controls.as_dict()
    meant: dict[str, Any] = {}
    for key, value in named.items():
        if key == "regionWeights":
            held = before.pinned.get(key, {})
            weights = {region: w for region, w in value.items() if region in held or w != in_force[key][region]}
            meant |= {key: weights} if weights else {}
        elif key in before.pinned or validated({key: value}).as_dict()[key] != in_force[key]:
            meant[key] = value
    return meant


def _silences(raw: Any, now: float) -> tuple[Silence, ...]:
    names = {"*", *(alert.name for alert in alerts.table())}
    if not isinstance(raw, Sequence) or isinstance(raw, str) or len(raw) > SILENCES_MOST:
        raise _fault(f"silences is a list of at most {SILENCES_MOST}")
    found = []
    for row in raw:
        if not isinstance(row, Mapping) or set(row) - {"alert", "until", "reason"} or row.get("alert") not in names:
            raise _fault(f"a silence has alert (one of {', '.join(sorted(names))}), until and perhaps a reason")
        until = _moment(row.get("until"))
        if until > now:
            found.append(Silence(row["alert"], until, str(row.get("reason") or "")[:500]))
    return tuple(found)


def _moment(value: object) -> float:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise _fault("until is a time such as 2026-11-24T18:00:00Z") from None
    if moment.tzinfo is None:
        raise _fault("until needs its time zone: 2026-11-24T18:00:00Z")
    return moment.timestamp()


def _modes(raw: Any) -> dict[str, Mode]:
    known = actions.table()
    if not isinstance(raw, Mapping) or any(name not in known or mode not in MODES for name, mode in raw.items()):
        raise _fault(f"actions gives some of {', '.join(known)} one of {', '.join(MODES)}")
    return dict(raw)


def _fault(detail: str) -> Problem:
    return Problem("invalid-request", f"{detail}.")
