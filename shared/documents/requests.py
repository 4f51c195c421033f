"""Which request an Idempotency-Key stands for: the digest of its body, bound to the message that the key names.

A document `requests/{uid}_{message id}` `{uid, digest, expireAt}`, which only the service reads and writes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shared import clients
from shared.documents.as_service import DEADLINE_S
from shared.documents.library import exceptions

KEPT = timedelta(days=7)  # whoever repeats a request does so within minutes


def bind(uid: str, message_id: str, digest: str) -> str:
    """Binds a user's message to a request, once. Gives the digest of the request that it is bound to."""
    reference = clients.firestore().document(f"requests/{uid}_{message_id}")
    bound = {"uid": uid, "digest": digest, "expireAt": datetime.now(UTC) + KEPT}
    try:
        reference.create(bound, retry=None, timeout=DEADLINE_S)
    except (exceptions.AlreadyExists, exceptions.Conflict):
        return bound_to(uid, message_id) or digest
    return digest


def bound_to(uid: str, message_id: str) -> str | None:
    """The digest of the request that a user's message is bound to; None where no key named it."""
    snapshot = clients.firestore().document(f"requests/{uid}_{message_id}").get(retry=None, timeout=DEADLINE_S)
    return str(snapshot.get("digest")) if snapshot.exists else None
