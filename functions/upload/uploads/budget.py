"""Many small works under one budget of time: one that fails holds no other up, and what is left, the next tick does."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

from shared import telemetry

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


def work_through(
    what: str, items: Iterable[Item], work: Callable[[Item], Outcome], budget_s: float
) -> Counter[Outcome]:
    """How often each outcome came. The items are taken in any order, so that none is always behind those that fail.

    what: the items' name in a line of the log.
    """
    ends, outcomes = time.monotonic() + budget_s, Counter[Outcome]()
    shuffled = list(items)
    random.shuffle(shuffled)
    for done, item in enumerate(shuffled):
        if time.monotonic() > ends:
            telemetry.warning("the sweep leaves some to the next tick", what=what, left=len(shuffled) - done)
            break
        try:
            outcomes[work(item)] += 1
        except Exception as error:
            telemetry.warning("the sweep could not move one on", what=what, error=repr(error), **_named(item))
    return outcomes


def _named(item: object) -> dict[str, str]:
    track_id = getattr(item, "id", None)
    return {"track": track_id} if isinstance(track_id, str) else {}
