"""An incident: the alerts of one group from the first that fires to the last that resolves, with its timeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from monitoring.alerts import Transition

TIMELINE_MOST = 200
SEVERITIES = ("warning", "critical")


@dataclass(frozen=True)
class Entry:
    at: float  # seconds since 1970
    text: str


@dataclass(frozen=True)
class Member:
    """An alert of an incident."""

    name: str
    title: str
    fired_at: float
    value: float
    unit: str
    resolved_at: float | None = None


@dataclass(frozen=True)
class Incident:
    id: str
    group: str
    title: str  # of the first alert: the incident keeps its name from the first message to the last
    severity: str
    opened_at: float
    members: Mapping[str, Member]  # by the alert's key
    timeline: tuple[Entry, ...] = ()
    resolved_at: float | None = None
    notices: int = 0  # how many were written
    told: bool = field(default=False)  # whether operators were told, rather than silenced

    def noted(self, at: float, text: str) -> Incident:
        return replace(self, timeline=(*self.timeline, Entry(at, text))[-TIMELINE_MOST:])


def opened(transition: Transition) -> Incident:
    moment = datetime.fromtimestamp(transition.at, UTC)
    incident_id = f"{moment:%Y%m%d-%H%M%S}-{transition.alert.group}"
    title = transition.alert.titled(transition.label)
    return joined(Incident(incident_id, transition.alert.group, title, "warning", transition.at, {}), transition)


def joined(incident: Incident, transition: Transition) -> Incident:
    """With one more alert that fires."""
    alert = transition.alert
    title = alert.titled(transition.label)
    member = Member(alert.name, title, transition.at, transition.value, alert.unit)
    severity = max(incident.severity, alert.severity, key=SEVERITIES.index)
    changed = replace(incident, severity=severity, members={**incident.members, transition.key: member})
    return changed.noted(transition.at, f"{title}: {shown(transition.value, alert.unit)}")


def left(incident: Incident, key: str, at: float, how: str = "resolved") -> Incident:
    """With one alert fewer that fires; resolved with the last."""
    member = replace(incident.members[key], resolved_at=at)
    members = {**incident.members, key: member}
    resolved_at = at if all(m.resolved_at is not None for m in members.values()) else None
    return replace(incident, members=members, resolved_at=resolved_at).noted(at, f"{how}: {member.title}")


def shown(value: float, unit: str) -> str:
    """A value for people: `92 %`, `3.1 s`, `51`."""
    if unit == "flag":
        return "yes"
    if unit == "share":
        return f"{value:.1%}".replace(".0%", "%").replace("%", " %")
    return f"{value:.3g} s" if unit == "s" else f"{value:.1f} times" if unit == "times" else f"{value:g}"


def as_document(incident: Incident) -> dict[str, Any]:
    """As it stands in Firestore, for operators and for the next tick."""
    return {
        "group": incident.group,
        "title": incident.title,
        "severity": incident.severity,
        "state": "open" if incident.resolved_at is None else "resolved",
        "openedAt": _moment(incident.opened_at),
        "resolvedAt": None if incident.resolved_at is None else _moment(incident.resolved_at),
        "alerts": {key: _member_as_dict(member) for key, member in incident.members.items()},
        "timeline": [{"at": _moment(entry.at), "text": entry.text} for entry in incident.timeline],
        "notices": incident.notices,
        "told": incident.told,
    }


def of_document(incident_id: str, data: Mapping[str, Any]) -> Incident:
    members = {
        key: Member(
            raw["name"],
            raw["title"],
            raw["firedAt"].timestamp(),
            raw["value"],
            raw["unit"],
            raw["resolvedAt"].timestamp() if raw["resolvedAt"] else None,
        )
        for key, raw in data["alerts"].items()
    }
    return Incident(
        incident_id,
        data["group"],
        data["title"],
        data["severity"],
        data["openedAt"].timestamp(),
        dict(sorted(members.items(), key=lambda item: item[1].fired_at)),
        tuple(Entry(entry["at"].timestamp(), entry["text"]) for entry in data["timeline"]),
        data["resolvedAt"].timestamp() if data["resolvedAt"] else None,
        data["notices"],
        data["told"],
    )


def _member_as_dict(member: Member) -> dict[str, Any]:
    return {
        "name": member.name,
        "title": member.title,
        "firedAt": _moment(member.fired_at),
        "value": member.value,
        "unit": member.unit,
        "resolvedAt": None if member.resolved_at is None else _moment(member.resolved_at),
    }


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
