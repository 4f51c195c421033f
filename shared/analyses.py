"""A user's analyses, cached: read as the user once, so that the rules decide, then served from Redis for an hour."""

from __future__ import annotations

from typing import Any

from shared import cache
from shared.documents.as_user import UserDocuments


def cache_key(uid: str, track_id: str) -> str:
    return f"analysis:{uid}:{track_id}"


def own_analysis(documents: UserDocuments, track_id: str) -> dict[str, Any] | None:
    """The analysis of a track of this user's; None where there is none (yet), or it is a stranger's."""
    key = cache_key(documents.uid, track_id)
    found = cache.get_or_compute(key, lambda: documents.analysis(track_id), cache.ANALYSIS_TTL_S)
    return found if isinstance(found, dict) else None
