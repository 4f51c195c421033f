"""The watch: at each tick what was measured is judged, written at once, acted upon and told.

Any instance that sees the tick overdue does its work, so that a dead scheduler does not go unseen.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

from monitoring import alerts, deadletters, incidents, judge, late, notices, outbox, scaling, signals, standing, store
from monitoring.actions import instances
from monitoring.alerts import Samples
from monitoring.incidents import Incident
from monitoring.judge import Judgement, Watch
from monitoring.late import Grown
from monitoring.signals import MINUTE_S
from monitoring.standing import Standing
from monitoring.windows import Window
from shared import clients, controls, telemetry
from shared.documents import operations
from shared.documents.operations import Changes, Stored
from shared.settings import settings

Answered = TypeVar("Answered")

ATTEMPTS = 3
OVERDUE_S = 150.0
LOOKED_EVERY_S = 60.0
LEFT_OPEN_MOST = 200


def run(now: datetime, *, scheduled: bool) -> None:
    """Judges all that was not judged yet, then acts. Raises what Firestore raises: then the tick comes again."""
    for _ in range(ATTEMPTS):
        state, ordered, scaled = operations.watched()
        standing_now = standing.of_document(ordered.data)
        judgement = _judged(state, standing_now, now, scheduled=scheduled)
        changed = judgement.standing != standing_now
        if operations.commit(_changes(judgement, now, changed=changed), now, state=state, controls=ordered):
            _act(judgement.standing, scaled, written=changed or ordered.version is not None)
            return
    telemetry.info("another instance judges; this tick leaves it to that one")


def tell() -> None:
    """Sends what waits in the outbox."""
    outbox.deliver(webhooks())


def webhooks() -> dict[str, str]:
    given = {"slack": settings().slack_webhook_url, "discord": settings().discord_webhook_url}
    return {service: url for service, url in given.items() if url}


class _Lookout:
    """When this instance last looked whether the tick is overdue."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looked_at = float("-inf")

    def due(self, now: float) -> bool:
        with self._lock:
            if now - self._looked_at < LOOKED_EVERY_S:
                return False
            self._looked_at = now
            return True


_lookout = _Lookout()


def run_if_overdue(now: datetime) -> None:
    """Does the tick's work where the tick does not come. One read a minute and instance; never an error."""
    if not _lookout.due(now.timestamp()):
        return
    try:
        state = operations.state()
        ticked_at = state.data.get("tickedAt")
        if ticked_at is None:  # the scheduler has from now on to send its first tick
            operations.commit(Changes(state={"tickedAt": now}), now, state=state, controls=None)
        elif (now - ticked_at.astimezone(UTC)).total_seconds() > OVERDUE_S:
            telemetry.error("the tick is overdue; doing its work")
            run(now, scheduled=False)
            tell()
    except Exception as error:
        telemetry.warning("whether the tick is overdue is not known", error=repr(error))


def _judged(state: Stored, standing_now: Standing, now: datetime, *, scheduled: bool) -> Judgement:
    watch, left_open = _remembered(state)
    moment = now.timestamp()
    moments = judge.moments(watch.judged_to, moment)
    full = [at for at in moments if at % MINUTE_S == 0]
    limit_usd = standing_now.controls.daily_cost_limit_usd
    limit_usd = settings().daily_cost_limit_usd if limit_usd is None else limit_usd
    windows, present = _measured(full, now)
    gap_s = None if watch.ticked_at is None or not moments else moment - watch.ticked_at
    of_now = signals.of_now(present, deadletters.counted(), gap_s, limit_usd, moment) if moments else {}
    history = signals.remembered(watch.history, windows)
    judged, grown, seen = late.sorted_out(windows, full, watch.seen)
    watch = replace(watch, history=history, seen=seen, ticked_at=moment if scheduled else watch.ticked_at)
    wanted = {*watch.open.values(), *(hold.incident for hold in standing_now.holds.values())}
    return judge.judge(
        watch,
        standing_now,
        left_open | _readable(operations.incidents(wanted)),
        samples_of(moments, judged, grown, history, of_now),
        moment,
        table=alerts.table(settings().uploads_alert_threshold),
        mode=settings().actions,
    )


def _remembered(state: Stored) -> tuple[Watch, dict[str, Incident]]:
    """What the ticks before left. Where nobody can read that, the watch begins anew, with what is still open.

    It then counts from the tick that came last, or from the first look for one (run_if_overdue).
    """
    text = state.data.get("watch")
    try:
        if text:
            return Watch.of(text), {}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        telemetry.error("alerts/state cannot be read; the watch begins anew", error=repr(error))
    left_open = _readable(operations.open_incidents(LEFT_OPEN_MOST))
    newest_last = sorted(left_open.values(), key=lambda incident: incident.opened_at)
    ticked_at = state.data.get("tickedAt")
    return Watch(
        ticked_at=None if ticked_at is None else ticked_at.timestamp(),
        open={incident.group: incident.id for incident in newest_last},
    ), left_open


def _readable(documents: Mapping[str, Mapping[str, object]]) -> dict[str, Incident]:
    found = {}
    for incident_id, data in documents.items():
        try:
            found[incident_id] = incidents.of_document(incident_id, data)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            telemetry.error("an incident cannot be read", incident=incident_id, error=repr(error))
    return found


def _measured(full: Sequence[float], now: datetime) -> tuple[Sequence[Window], store.State | None]:
    """The minutes that ended at these moments and some before, and how things stand; nothing without Redis."""
    n = len(full) + late.LATE_MINUTES
    windows = _asked(lambda: store.minutes(datetime.fromtimestamp(full[-1], UTC), n) if full else [])
    return windows or [], _asked(lambda: store.now_state(now))


def _asked(question: Callable[[], Answered]) -> Answered | None:
    """Asked twice, since a minute that is not read is not judged."""
    for last in (False, True):
        try:
            return question()
        except Exception as error:
            if last:
                telemetry.error("what was measured cannot be read", error=repr(error))
    return None


def samples_of(
    moments: Sequence[float],
    windows: Sequence[Window],
    grown: Sequence[Grown],
    history: signals.History,
    of_now: Samples,
) -> list[tuple[float, Samples]]:
    """What is known of each moment: of a full minute what it says, of the last moment also how things stand.

    What came to light of earlier minutes counts with the first one.
    """
    above = {alert.signal: alert.above for alert in alerts.table()}
    by_end = {window.start.timestamp() + MINUTE_S: window for window in windows}
    found: list[tuple[float, Samples]] = []
    for at in moments:
        samples = signals.of_minute(by_end[at], history) if at in by_end else {}
        samples = signals.with_late(samples, grown if at == moments[0] else (), above)
        found.append((at, {**samples, **(of_now if at == moments[-1] else {})}))
    return found


def _changes(judgement: Judgement, now: datetime, *, changed: bool) -> Changes:
    ticked_at = judgement.watch.ticked_at
    state = {
        "watch": judgement.watch.as_json(),
        "judgedTo": datetime.fromtimestamp(judgement.watch.judged_to, UTC),
        "tickedAt": None if ticked_at is None else datetime.fromtimestamp(ticked_at, UTC),
    }
    number = f"{now:%Y%m%d%H%M%S%f}"
    return Changes(
        state=state,
        controls=judgement.standing.as_document("automatic", now) if changed else None,
        incidents={incident.id: incidents.as_document(incident) for incident in judgement.incidents},
        notices=_outgoing(judgement, now),
        audit={
            f"{number}-{i}": {"at": now, "who": row.who, "what": row.what, "incident": row.incident}
            for i, row in enumerate(judgement.audit)
        },
    )


def _outgoing(judgement: Judgement, now: datetime) -> dict[str, Mapping[str, object]]:
    """A message for each webhook and notice; what is silenced is kept, too, and not sent."""
    return {
        f"{notice.incident.id}-{notice.number:03}-{service}": {
            "service": service,
            "incident": notice.incident.id,
            "kind": notice.kind,
            "payload": json.dumps(notices.FORMATS[service](notice), ensure_ascii=False),
            "state": "silenced" if notice.silenced else "waiting",
            "attempts": 0,
            "createdAt": now,
            "notBefore": now,
        }
        for notice in judgement.notices
        for service in webhooks()
    }


def _act(standing_now: Standing, scaled: Stored, *, written: bool) -> None:
    """What follows outside of Firestore; what fails is done by the next tick."""
    try:
        mirror(standing_now, written=written)
    except Exception as error:
        telemetry.error("the controls could not be put into Redis", error=repr(error))
    wanted, applied = instances(standing_now.holds), scaled.data.get("applied") or {}
    if wanted != applied:
        holds = scaling.reconcile(wanted, applied)
        if holds != applied:
            operations.put_scaling({"applied": holds})


def mirror(standing_now: Standing, *, written: bool) -> None:
    """Puts the controls into Redis where it was wiped, or has others. Raises what Redis raises.

    Somebody may change them at this very moment: the durable copy is read again until both are the same. Where no
    controls were ever written, only a missing copy is put back.
    """
    for _ in range(ATTEMPTS):
        text, wanted = clients.redis().get(controls.KEY), standing_now.controls
        if text is not None and not written:
            return
        if text == wanted.as_json() and set(clients.redis().smembers(controls.DENIED_KEY)) == wanted.denied:
            return
        controls.store(wanted)
        standing_now = standing.of_document(operations.controls().data)
