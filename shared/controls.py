"""The operators' controls: what is switched off, how far limits are tightened, where uploads go, who is kept out.

The durable copy is the document `controls/current`; a copy in Redis comes with every answer of the limiter, so that a
change takes effect with the next request of each instance, without a deployment and without a further call.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from shared.problems import Problem
from shared.settings import REGIONS

KEY = "controls"
DENIED_KEY = "denied"  # a set of `user:UID` and `address:IP`
DENIED_PRINT = "deniedPrint"  # of that set, in the copy in Redis
SWITCHES = ("upload", "chat", "read", "events", "status", "redirect", "model")  # never the way back: `metrics`
PLANS = ("free", "plus", "pro")
LEAST_FACTOR, MOST_FACTOR = 0.05, 1.0
DENIED_MOST = 1_000


@dataclass(frozen=True)
class Controls:
    closed: frozenset[str] = frozenset()  # routes, and "model"
    rate_factor: float = 1.0  # every quota of the limits is multiplied by it
    region_weights: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(REGIONS, 1.0))  # 0: left out
    shed_plans: frozenset[str] = frozenset()  # refused while capacity is short
    daily_cost_limit_usd: float | None = None  # None: the setting's
    denied: frozenset[str] = frozenset()

    def as_dict(self) -> dict[str, Any]:
        return {
            "closed": sorted(self.closed),
            "rateFactor": self.rate_factor,
            "regionWeights": dict(self.region_weights),
            "shedPlans": sorted(self.shed_plans),
            "dailyCostLimitUsd": self.daily_cost_limit_usd,
            "denied": sorted(self.denied),
        }

    def as_json(self) -> str:
        """The copy in Redis. Who is denied stands in a set of its own, so that it does not travel with every answer;
        a fingerprint of it does, by which instances see that it has changed."""
        denied = hashlib.blake2b("\n".join(sorted(self.denied)).encode(), digest_size=8).hexdigest()
        kept = {key: value for key, value in self.as_dict().items() if key != "denied"}
        return json.dumps({**kept, DENIED_PRINT: denied})


DEFAULTS = Controls()
_KNOWN = tuple(DEFAULTS.as_dict())


def validated(wanted: Mapping[str, Any], base: Controls = DEFAULTS) -> Controls:
    """The controls with the wanted changes. Raises Problem `invalid-request` that names the fault."""
    unknown = sorted(set(wanted) - set(DEFAULTS.as_dict()))
    if unknown:
        raise _fault(f"{', '.join(unknown)} is no control; there are {', '.join(DEFAULTS.as_dict())}")
    changes: dict[str, Any] = {}
    if "closed" in wanted:
        changes["closed"] = _names(wanted["closed"], "closed", SWITCHES)
    if "shedPlans" in wanted:
        changes["shed_plans"] = _names(wanted["shedPlans"], "shedPlans", PLANS)
    if "rateFactor" in wanted:
        changes["rate_factor"] = _number(wanted["rateFactor"], "rateFactor", LEAST_FACTOR, MOST_FACTOR)
    if "regionWeights" in wanted:
        changes["region_weights"] = dict(base.region_weights) | _weights(wanted["regionWeights"])
    if "dailyCostLimitUsd" in wanted:
        limit = wanted["dailyCostLimitUsd"]
        changes["daily_cost_limit_usd"] = None if limit is None else _number(limit, "dailyCostLimitUsd", 0, 1e6)
    if "denied" in wanted:
        changes["denied"] = _denied(wanted["denied"])
    return replace(base, **changes)


def _names(value: object, name: str, known: tuple[str, ...]) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(part, str) and part in known for part in value):
        raise _fault(f"{name} is a list of some of {', '.join(known)}")
    return frozenset(value)


def _number(value: object, name: str, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise _fault(f"{name} is a number from {least:g} to {most:g}")
    return float(value)


def _weights(value: object) -> dict[str, float]:
    if not isinstance(value, dict) or set(value) - set(REGIONS):
        raise _fault(f"regionWeights gives weights to some of {', '.join(REGIONS)}")
    return {region: _number(weight, f"regionWeights.{region}", 0, 100) for region, weight in value.items()}


def _denied(value: object) -> frozenset[str]:
    if not isinstance(value, list) or len(value) > DENIED_MOST:
        raise _fault(f"denied is a list of at most {DENIED_MOST} entries")
    if not all(isinstance(part, str) and part.partition(":")[0] in {"user", "address"} for part in value):
        raise _fault("an entry of denied is user:UID or address:IP")
    return frozenset(value)


def _fault(detail: str) -> Problem:
    return Problem("invalid-request", f"{detail}.")


@lru_cache(maxsize=8)
def parse(text: str) -> Controls:
    """The controls of the copy in Redis; of what is missing or garbage, the defaults. A newer version may know more."""
    try:
        ordered = json.loads(text)
        return validated({key: ordered[key] for key in _KNOWN if key in ordered})
    except (ValueError, TypeError, Problem):
        return DEFAULTS


class _Seen:
    """What this instance saw last."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.text = ""
        self.controls = DEFAULTS
        self.spent_usd = 0.0

    def controls_are(self, text: str | None) -> Controls:
        text = text or ""
        if text != self.text:
            with self.lock:
                self.controls = parse(text) if text else DEFAULTS
                self.text = text  # last: whoever reads it takes the controls for its own
        return self.controls


_seen = _Seen()


def current() -> Controls:
    """The controls as this instance saw them last, without a call."""
    return _seen.controls


def version() -> int:
    """Changes with every change of the controls that this instance has seen, also of who is denied."""
    return hash(_seen.text)


def spent_today_usd() -> float:
    """What models cost today (UTC) in all instances, as this instance saw it last."""
    return _seen.spent_usd


def saw(text: str | None, spent_microusd: str | None) -> Controls:
    """Notes what an answer of Redis brought along."""
    _seen.spent_usd = int(spent_microusd) / 1e6 if spent_microusd and spent_microusd.isdigit() else 0.0
    return _seen.controls_are(text)


def fetch() -> Controls:
    """The controls by a call of their own, for whoever makes no call of the limiter; the last seen without Redis."""
    from shared import clients, telemetry

    try:
        text = clients.redis().get(KEY)
    except Exception as error:
        telemetry.warning("the controls could not be read", error=type(error).__name__)
        return current()
    return _seen.controls_are(text)


def store(controls: Controls) -> None:
    """Writes the copy in Redis, all of it or nothing. Raises what the call raises."""
    from shared import clients

    transaction = clients.redis().multi()
    transaction.set(KEY, controls.as_json())
    transaction.delete(DENIED_KEY)
    if controls.denied:
        transaction.sadd(DENIED_KEY, *sorted(controls.denied))
    transaction.exec()


def cost_key(day: str) -> str:
    return f"cost:{day}"
