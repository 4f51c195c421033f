"""One tick, decided: from what was known and what was measured to what is to be written. Pure.

Everything that a tick changes is written at once, on condition that nobody else has written since it was read. So a
tick that comes twice, or two at a time, do nothing twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from monitoring import actions, alerts, incidents
from monitoring.actions import HOUR_S, Mode
from monitoring.alerts import Alert, Samples, Series, Transition
from monitoring.incidents import Incident
from monitoring.late import Seen
from monitoring.signals import MINUTE_S, Counted
from monitoring.standing import Standing

CATCH_UP_MINUTES = 60  # of a longer silence, the last hour is judged
SAME_MOMENT_S = 2.0  # a tick so soon after its full minute judges nothing beside it


@dataclass(frozen=True)
class Watch:
    """What a tick must know of those before it."""

    judged_to: float = 0.0  # the last moment that was judged, seconds since 1970
    ticked_at: float | None = None  # the last tick of the scheduler
    series: Mapping[str, Series] = field(default_factory=dict)
    open: Mapping[str, str] = field(default_factory=dict)  # group -> incident
    over: Mapping[str, float] = field(default_factory=dict)  # group -> when its last incident ended, within the hour
    taken: tuple[tuple[str, float], ...] = ()  # the actions of the last hour, dry runs among them
    history: Mapping[int, Counted] = field(default_factory=dict)
    seen: Seen = field(default_factory=dict)

    def as_json(self) -> str:
        return json.dumps(
            {
                "judgedTo": self.judged_to,
                "tickedAt": self.ticked_at,
                "series": {key: series.as_dict() for key, series in self.series.items()},
                "open": dict(self.open),
                "over": dict(self.over),
                "taken": self.taken,
                "history": {minute: [c.requests, c.errors, c.struck] for minute, c in self.history.items()},
                "seen": dict(self.seen),
            }
        )

    @classmethod
    def of(cls, text: str | None) -> Watch:
        raw = json.loads(text) if text else None
        if raw is None:
            return cls()
        return cls(
            judged_to=raw["judgedTo"],
            ticked_at=raw["tickedAt"],
            series={key: Series(**series) for key, series in raw["series"].items()},
            open=raw["open"],
            over=raw.get("over", {}),
            taken=tuple((name, at) for name, at in raw["taken"]),
            history={int(minute): Counted(*counts) for minute, counts in raw["history"].items()},
            seen={int(minute): fields for minute, fields in raw.get("seen", {}).items()},
        )


@dataclass(frozen=True)
class Notice:
    incident: Incident
    kind: str  # opened, update, resolved
    number: int
    lines: tuple[str, ...]  # what happened, oldest first
    silenced: bool


@dataclass(frozen=True)
class Audit:
    who: str
    what: str
    incident: str = ""


@dataclass(frozen=True)
class Judgement:
    """What is to be written."""

    watch: Watch
    standing: Standing
    incidents: tuple[Incident, ...]
    notices: tuple[Notice, ...]
    audit: tuple[Audit, ...]


def moments(judged_to: float, now: float) -> list[float]:
    """What is to be judged: every full minute since the last one, and now where that is another moment."""
    last = now // MINUTE_S * MINUTE_S
    first = max(judged_to // MINUTE_S * MINUTE_S + MINUTE_S, last - (CATCH_UP_MINUTES - 1) * MINUTE_S)
    first = first if judged_to else last
    found = [first + MINUTE_S * i for i in range(int((last - first) // MINUTE_S) + 1)]
    if now - max(last, judged_to) >= SAME_MOMENT_S:
        found.append(now)
    return found


class _Bench:
    """The judgement as it grows, moment by moment."""

    def __init__(
        self, watch: Watch, standing: Standing, known: Mapping[str, Incident], table: Sequence[Alert], mode: Mode
    ) -> None:
        self.watch = watch
        self.standing = standing
        self.audit: list[Audit] = []
        self._known = dict(known)  # by id
        self._before = dict(known)
        self._table = table
        self._mode = mode
        self._worth_telling: dict[str, list[str]] = {}

    def judge(self, at: float, samples: Samples) -> None:
        series, transitions = alerts.step(self.watch.series, samples, at, self._table)
        self.watch = replace(self.watch, series=series, judged_to=at)
        for transition in transitions:
            if transition.kind == "fired":
                self._fire(transition)
        for transition in transitions:
            if transition.kind == "resolved":
                self._resolve(transition)

    def recover(self, at: float) -> None:
        """Once a minute: holds without a cause, and those that expired, are taken back a little."""
        firing = frozenset(key for key, series in self.watch.series.items() if series.fired_at is not None)
        kept = {}
        for key, hold in self.standing.holds.items():
            action = actions.table()[hold.action]
            forbidden = self.standing.modes.get(hold.action, self._mode) != "on"
            after = None if forbidden else actions.recovered(hold, firing, at)
            if after is not None:
                kept[key] = after
                continue
            why = "by the operators" if forbidden else "expired" if firing & set(hold.causes) else "no longer needed"
            text = f"undone ({why}): {actions.describe(action, hold.target)}"
            self._note(hold.incident, at, text, tell=firing & set(hold.causes) != set())
            self.audit.append(Audit(f"automatic: {', '.join(hold.causes)}", text, hold.incident))
        self.standing = replace(self.standing, holds=kept)

    def close_what_is_not_judged(self, now: float) -> None:
        """Ends what no series stands behind any more: its alert left the table, or the watch began anew."""
        firing = {key for key, series in self.watch.series.items() if series.fired_at is not None}
        for incident in [i for i in self._known.values() if i.resolved_at is None]:
            going_on = firing if incident.id in self.watch.open.values() else set[str]()
            for key, member in incident.members.items():
                if member.resolved_at is None and key not in going_on:
                    self._leave(incident.id, key, now, "closed, no longer judged")

    def finished(self, now: float) -> Judgement:
        taken = tuple((name, at) for name, at in self.watch.taken if now - at < HOUR_S)
        over = {group: at for group, at in self.watch.over.items() if now - at < HOUR_S}
        self.watch = replace(self.watch, taken=taken, over=over)
        self._call_up_what_was_not_told(now)
        notices = [notice for incident_id in self._worth_telling if (notice := self._notice(incident_id, now))]
        changed = [i for incident_id, i in self._known.items() if i != self._before.get(incident_id)]
        return Judgement(self.watch, self.standing, tuple(changed), tuple(notices), tuple(self.audit))

    def _fire(self, transition: Transition) -> None:
        group = transition.alert.group
        before = self._known.get(self.watch.open.get(group, ""))
        incident = incidents.joined(before, transition) if before else incidents.opened(transition)
        self._known[incident.id] = incident
        self.watch = replace(self.watch, open={**self.watch.open, group: incident.id})
        self._worth_telling.setdefault(incident.id, []).append(incident.timeline[-1].text)
        for name in transition.alert.actions:
            self._act(name, transition, incident.id)

    def _resolve(self, transition: Transition) -> None:
        incident = self._known.get(self.watch.open.get(transition.alert.group, ""))
        if incident is not None and transition.key in incident.members:
            self._leave(incident.id, transition.key, transition.at, "resolved")

    def _leave(self, incident_id: str, key: str, at: float, how: str) -> None:
        incident = incidents.left(self._known[incident_id], key, at, how)
        self._known[incident_id] = incident
        if incident.resolved_at is not None:  # one alert fewer of several is not worth a message
            self._worth_telling.setdefault(incident_id, []).append(incident.timeline[-1].text)
            still_open = {group: i for group, i in self.watch.open.items() if i != incident_id}
            self.watch = replace(self.watch, open=still_open, over={**self.watch.over, incident.group: at})

    def _act(self, name: str, transition: Transition, incident: str) -> None:
        action = actions.table()[name]
        target = actions.target_of(action, transition.label)
        if target is None:
            return
        mode = self.standing.modes.get(name, self._mode)
        taken = actions.take(
            action,
            target,
            transition.key,
            incident,
            transition.at,
            holds=self.standing.holds,
            taken_before=self.watch.taken,
            pinned=self.standing.pinned,
            mode=mode,
        )
        if taken.hold is not None:
            self.standing = replace(self.standing, holds={**self.standing.holds, taken.hold.key: taken.hold})
        if taken.counts:
            self.watch = replace(
                self.watch, taken=(*self.watch.taken, (actions.count_name(action, mode), transition.at))
            )
        self._note(incident, transition.at, taken.text, tell=taken.outcome != "shared")
        self.audit.append(Audit(f"automatic: {transition.key}", taken.text, incident))

    def _note(self, incident_id: str, at: float, text: str, *, tell: bool) -> None:
        incident = self._known.get(incident_id)
        if incident is None:
            return
        self._known[incident_id] = incident.noted(at, text)
        if tell:
            self._worth_telling.setdefault(incident_id, []).append(text)

    def _call_up_what_was_not_told(self, now: float) -> None:
        """An incident that outlives its silence, or what told it, is told by what happened last."""
        for incident_id in self.watch.open.values():
            incident = self._known.get(incident_id)
            if incident is not None and not incident.told and not self._silenced(incident, now):
                self._worth_telling.setdefault(incident_id, [incident.timeline[-1].text])

    def _silenced(self, incident: Incident, now: float) -> bool:
        return all(
            any(s.alert in {"*", member.name} and s.until > now for s in self.standing.silences)
            for member in incident.members.values()
        )

    def _told_by_another(self, incident: Incident, now: float) -> bool:
        """Whether an incident that is open, or was until a moment ago, tells all that fires in this one."""
        by_name = {alert.name: alert for alert in self._table}
        firing = [m for m in incident.members.values() if m.resolved_at is None]
        for member in firing or incident.members.values():
            alert = by_name.get(member.name)
            if alert is None or not alert.told_unless:
                return False
            over_at = self.watch.over.get(alert.told_unless, float("-inf"))
            if alert.told_unless not in self.watch.open and now - over_at >= alert.aftermath_s:
                return False
        return True

    def _notice(self, incident_id: str, now: float) -> Notice | None:
        incident = self._known[incident_id]
        if not incident.told and self._told_by_another(incident, now):
            return None
        silenced = self._silenced(incident, now)
        kind = "resolved" if incident.resolved_at is not None else "update" if incident.told else "opened"
        lines = tuple(self._worth_telling[incident_id])
        if kind == "resolved" and not incident.told and incident_id in self._before:
            return None  # it was silenced from beginning to end
        told = replace(incident, notices=incident.notices + 1, told=incident.told or not silenced)
        self._known[incident_id] = told
        return Notice(told, kind, told.notices, lines, silenced)


def judge(
    watch: Watch,
    standing: Standing,
    known: Mapping[str, Incident],
    samples: Sequence[tuple[float, Samples]],
    now: float,
    *,
    table: Sequence[Alert],
    mode: Mode,
) -> Judgement:
    """Judges moments in their order. `known` has the incidents that are open or have holds, by id."""
    bench = _Bench(watch, standing, known, table, mode)
    for at, measured in samples:
        bench.judge(at, measured)
        if at % MINUTE_S == 0:
            bench.recover(at)
    bench.close_what_is_not_judged(now)
    return bench.finished(now)
