"""What metrics writes and nothing expires by itself: forgotten here, every ten minutes.

All else in Redis has a life of its own: minutes and active users two hours, hours 30 days, marks of usage events a day,
users' ways along the funnel 30 days. The totals stay; their fields are the names in the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from monitoring import funnels
from monitoring.store import INSTANCES, PATIENCE_S, alive, minute_of
from shared import clients
from shared.upstash import within

EVERY_MINUTES = 10


@within(PATIENCE_S)
def forget_old(now: datetime) -> None:
    """At each tick. One that is missed is made up for ten minutes later."""
    if minute_of(now) % EVERY_MINUTES == 0:
        forget_gone_instances(now)
        funnels.forget_old(now)


def forget_gone_instances(now: datetime) -> None:
    raw: Mapping[str, str] = clients.redis().hgetall(INSTANCES) or {}
    living = {f"{instance.service}/{instance.id}" for instance in alive(raw, now)}
    gone = sorted(set(raw) - living)
    if gone:
        clients.redis().hdel(INSTANCES, *gone)
