"""Daily funnels: of the users who first uploaded on a day, how many got an analysis, asked, and came back.

A user's way is kept for 30 days; who uploads after that begins anew. Counts stay for 90 days.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from shared import clients
from shared.events import Passing

FUNNELS = "funnels"  # a hash: "{yyyymmdd}|{step}" -> users
STEPS = {"upload.created": "uploaded", "analysis.done": "analysed", "chat.answered": "asked"}  # usage event -> step
ORDER = ("uploaded", "analysed", "asked", "returned")
ACTIONS = frozenset({"upload.created", "chat.answered"})  # what users do; who does so on a later day has returned
USER_TTL_S = 30 * 86_400
KEPT_DAYS = 90


def user_key(uid: str) -> str:
    return f"funnel:{uid}"


def shown(raw: Mapping[str, str]) -> list[dict[str, object]]:
    """Newest day first: `{day, uploaded, analysed, asked, returned}`."""
    days: dict[str, dict[str, int]] = defaultdict(dict)
    for name, value in raw.items():
        day, _, step = name.partition("|")
        days[day][step] = int(value)
    return [
        {"day": f"{day[:4]}-{day[4:6]}-{day[6:]}"} | {step: days[day].get(step, 0) for step in ORDER}
        for day in sorted(days, reverse=True)
    ]


def read() -> list[dict[str, object]]:
    return shown(clients.redis().hgetall(FUNNELS) or {})


def forget(uid: str) -> None:
    """Drops how far a user has come; the days' numbers, which name nobody, stay. Raises Passing."""
    try:
        clients.redis().delete(user_key(uid))
    except Exception as error:
        raise Passing(f"the funnels do not answer ({type(error).__name__})") from error


def forget_old(now: datetime) -> None:
    """Drops the days that are kept no longer."""
    oldest = f"{now.astimezone(UTC) - timedelta(days=KEPT_DAYS):%Y%m%d}"
    raw: Mapping[str, str] = clients.redis().hgetall(FUNNELS) or {}
    old = [name for name in raw if name < oldest]
    if old:
        clients.redis().hdel(FUNNELS, *old)
