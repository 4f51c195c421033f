"""All cases of the law."""

from __future__ import annotations

from tests.rules import cases_conversations, cases_tracks, cases_usage, cases_users, matrix

CASES = [
    *matrix.CASES,
    *cases_users.CASES,
    *cases_usage.CASES,
    *cases_tracks.CASES,
    *cases_conversations.CASES,
]
