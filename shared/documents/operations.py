"""Firestore for the operators' side: the alerts' state, incidents, notices, controls, the audit. As the service.

`alerts/state` is the lock of every tick: all that a tick changes is written in one batch, on condition that this
document and `controls/current` are as they were read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from shared import clients
from shared.documents.as_service import DEADLINE_S
from shared.documents.library import FieldFilter, exceptions, listed

STATE = "alerts/state"
SCALING = "alerts/scaling"
CONTROLS = "controls/current"
LOOK_DEADLINE_S = 2.0
INCIDENTS_KEPT = timedelta(days=400)
AUDIT_KEPT = timedelta(days=400)
NOTICES_KEPT = timedelta(days=30)


@dataclass(frozen=True)
class Stored:
    """A document as it was read; `version` is None where there is none."""

    data: Mapping[str, Any]
    version: Any


@dataclass
class Changes:
    """What one batch writes."""

    state: Mapping[str, Any] | None = None
    controls: Mapping[str, Any] | None = None
    incidents: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # by id
    notices: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    audit: dict[str, Mapping[str, Any]] = field(default_factory=dict)


def watched() -> tuple[Stored, Stored, Stored]:
    """The alerts' state, the controls, and what was scaled, in one call."""
    paths = (STATE, CONTROLS, SCALING)
    references = [clients.firestore().document(path) for path in paths]
    found = {s.reference.path: _stored(s) for s in clients.firestore().get_all(references, timeout=DEADLINE_S)}
    state, controls, scaling = (found[path] for path in paths)
    return state, controls, scaling


def controls() -> Stored:
    return _stored(clients.firestore().document(CONTROLS).get(retry=None, timeout=DEADLINE_S))


def state() -> Stored:
    """For a look in passing: not waited for long."""
    return _stored(clients.firestore().document(STATE).get(retry=None, timeout=LOOK_DEADLINE_S))


def open_incidents(most: int = 20) -> dict[str, Mapping[str, Any]]:
    """Those that are not resolved, for showing, by id."""
    query = clients.firestore().collection("incidents").where(filter=FieldFilter("state", "==", "open")).limit(most)
    return {found.id: found.to_dict() or {} for found in listed(query, DEADLINE_S)}


def incidents(ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    references = [clients.firestore().document(f"incidents/{incident_id}") for incident_id in sorted(set(ids))]
    if not references:
        return {}
    found = clients.firestore().get_all(references, timeout=DEADLINE_S)
    return {snapshot.id: snapshot.to_dict() or {} for snapshot in found if snapshot.exists}


def commit(changes: Changes, now: datetime, *, state: Stored | None, controls: Stored | None) -> bool:
    """Writes all of it, or nothing and False where somebody has changed the state or the controls meanwhile."""
    batch = clients.firestore().batch()
    for path, data, before in ((STATE, changes.state, state), (CONTROLS, changes.controls, controls)):
        if data is None or before is None:
            continue
        reference = clients.firestore().document(path)
        if before.version is None:
            batch.create(reference, dict(data))
        else:
            option = clients.firestore().write_option(last_update_time=before.version)
            batch.update(reference, dict(data), option=option)
    for incident_id, data in changes.incidents.items():
        reference = clients.firestore().document(f"incidents/{incident_id}")
        batch.set(reference, {**data, "expireAt": now + INCIDENTS_KEPT})
    for notice_id, data in changes.notices.items():
        batch.create(clients.firestore().document(f"notices/{notice_id}"), {**data, "expireAt": now + NOTICES_KEPT})
    for audit_id, data in changes.audit.items():
        batch.create(clients.firestore().document(f"audit/{audit_id}"), {**data, "expireAt": now + AUDIT_KEPT})
    try:
        batch.commit(retry=None, timeout=DEADLINE_S)
    except (exceptions.FailedPrecondition, exceptions.Conflict, exceptions.NotFound):  # Aborted is a Conflict
        return False
    return True


def put_scaling(applied: Mapping[str, Any]) -> None:
    clients.firestore().document(SCALING).set(dict(applied), retry=None, timeout=DEADLINE_S)


@dataclass(frozen=True)
class StoredNotice:
    """A message for a webhook, which waits to be sent. Moments are UTC."""

    id: str
    service: str
    payload: str  # JSON, as it will be sent
    state: str  # waiting, sending
    attempts: int
    created_at: datetime
    not_before: datetime
    version: Any


def notices_to_send(services: Iterable[str], most: int = 50) -> list[StoredNotice]:
    """Oldest first; at most so many of each service, since one that takes none must not hold up the others."""
    states = FieldFilter("state", "in", ["waiting", "sending"])
    waiting = clients.firestore().collection("notices").where(filter=states)
    queries = [waiting.where(filter=FieldFilter("service", "==", service)).limit(most) for service in services]
    found = [_notice(snapshot) for query in queries for snapshot in listed(query, DEADLINE_S)]
    return sorted(found, key=lambda notice: (notice.created_at, notice.id))


def mark_notice(notice_id: str, version: Any, **fields: Any) -> Any:
    """Changes a notice if nobody has since it was read. Its new version; None where somebody has."""
    option = clients.firestore().write_option(last_update_time=version)
    reference = clients.firestore().document(f"notices/{notice_id}")
    try:
        return reference.update(fields, option=option, retry=None, timeout=DEADLINE_S).update_time
    except (exceptions.FailedPrecondition, exceptions.Conflict, exceptions.NotFound):  # Aborted is a Conflict
        return None


def _notice(snapshot: Any) -> StoredNotice:
    data = snapshot.to_dict()
    return StoredNotice(
        snapshot.id,
        data["service"],
        data["payload"],
        data["state"],
        data["attempts"],
        data["createdAt"].astimezone(UTC),
        data["notBefore"].astimezone(UTC),
        snapshot.update_time,
    )


def _stored(snapshot: Any) -> Stored:
    return Stored(snapshot.to_dict(), snapshot.update_time) if snapshot.exists else Stored({}, None)
