"""Minutes are added to their hours and to the totals, each measurement once, however often this runs.

What was added of a minute stands beside it; only the difference is added. So a tick that comes twice changes nothing,
one that is missed is made up for, and what an idle instance told late still counts, as long as its minute is kept.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict

from monitoring.store import HOUR_S, MINUTE_S, PATIENCE_S, hour_key, minute_key, minute_of, moment_of
from monitoring.windows import Window
from shared import clients
from shared.observations import ONLY_DECLARED_KEYS
from shared.upstash import within

SCRIPT = ONLY_DECLARED_KEYS + Path(__file__).with_name("roll.lua").read_text(encoding="utf-8")
TOTALS = "tele:totals"
LAST_TICK = "tele:tick"
ADDED_TTL_S = 3 * 3_600  # longer than minutes are kept
HOUR_TTL_S = 30 * 86_400
AT_ONCE = 15  # minutes a call, so that none holds Redis up for long
GROUPS = 8  # of as many minutes: the two hours that minutes are kept


@within(PATIENCE_S)
def roll(now: datetime) -> None:
    """At each tick: the newest minutes, and in turn a group of the older ones; all of them after a missed tick."""
    minute = minute_of(now)
    before = str(clients.redis().eval(SCRIPT, **_group(minute, 0, tick=True)) or "")
    gap = minute - int(before) if before else GROUPS * AT_ONCE
    older = range(1, GROUPS) if gap > 1 else [1 + minute % (GROUPS - 1)]
    for group in older:
        clients.redis().eval(SCRIPT, **_group(minute, group, tick=False))


@within(PATIENCE_S)
def totals(now: datetime) -> Window:
    """Everything since the beginning, the newest minutes added first: one round trip; never less than before."""
    transaction = clients.redis().multi()
    transaction.eval(SCRIPT, **_group(minute_of(now), 0, tick=False))
    transaction.hgetall(TOTALS)
    answers: list[Any] = transaction.exec()
    return Window.of(moment_of(0), answers[1] or {})


def last_tick() -> datetime | None:
    """The minute of the last tick; None before the first."""
    raw = clients.redis().get(LAST_TICK)
    return moment_of(int(raw) * MINUTE_S) if raw else None


class _Call(TypedDict):
    keys: list[str]
    args: list[str]


def _group(minute: int, group: int, *, tick: bool) -> _Call:
    """What the script is called with for the minutes of a group, counted back from the running one."""
    keys = [LAST_TICK, TOTALS]
    newest = minute - group * AT_ONCE
    for each in range(newest - AT_ONCE + 1, newest + 1):
        keys += [minute_key(each), f"{minute_key(each)}:added", hour_key(each * MINUTE_S // HOUR_S)]
    return _Call(keys=keys, args=[str(minute) if tick else "", str(ADDED_TTL_S), str(HOUR_TTL_S)])
