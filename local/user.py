"""Users of the local cloud: a profile with a plan, and an ID token as the Firebase emulator makes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.cloud import write_document
from local.tokens import unsigned_token
from shared.plans import plans


def make_user(ready: Mapping[str, Any], uid: str, plan: str, claims: Mapping[str, Any], locale: str = "en") -> str:
    """Makes or changes a local user, active on the plan, and gives an ID token. Raises ValueError."""
    if plan not in plans():
        raise ValueError(f"there is no plan {plan!r}; there are {', '.join(plans())}")
    profile = {"displayName": uid, "locale": locale, "plan": plan, "planStatus": "active", "planExpiresAt": None}
    write_document(ready["firestore"], f"users/{uid}", profile)
    return unsigned_token(uid, ready["project"], claims)
