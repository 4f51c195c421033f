"""Which track of a user analyses given bytes first: `contents/{uid}_{md5}_{engineVersion}` names this leader.

The claim is created once, whoever else tries at the same moment; the others wait for the leader, or take it over by a
precondition once the leader has ended without an analysis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shared import clients
from shared.documents.as_service import DEADLINE_S
from shared.documents.library import exceptions, firestore


@dataclass(frozen=True)
class Claim:
    leader: str  # a track's id
    version: Any


def claim(uid: str, md5: str, engine_version: str, track_id: str) -> Claim:
    """The claim on a content: this track's, where nobody has claimed it before."""
    reference = _reference(uid, md5, engine_version)
    document = {"uid": uid, "trackId": track_id, "createdAt": firestore.SERVER_TIMESTAMP}
    try:
        return Claim(track_id, reference.create(document, retry=None, timeout=DEADLINE_S).update_time)
    except (exceptions.AlreadyExists, exceptions.Conflict):
        snapshot = reference.get(retry=None, timeout=DEADLINE_S)
        return Claim(snapshot.get("trackId"), snapshot.update_time)


def leader(uid: str, md5: str, engine_version: str) -> str | None:
    snapshot = _reference(uid, md5, engine_version).get(retry=None, timeout=DEADLINE_S)
    return str(snapshot.get("trackId")) if snapshot.exists else None


def take_over(found: Claim, uid: str, md5: str, engine_version: str, track_id: str) -> bool:
    """Makes this track the leader. False where another one was faster."""
    option = clients.firestore().write_option(last_update_time=found.version)
    reference = _reference(uid, md5, engine_version)
    try:
        reference.update({"trackId": track_id}, option=option, retry=None, timeout=DEADLINE_S)
    except (exceptions.FailedPrecondition, exceptions.NotFound, exceptions.Aborted):
        return False
    return True


def _reference(uid: str, md5: str, engine_version: str) -> Any:
    return clients.firestore().document(f"contents/{uid}_{md5}_{engine_version}")
