"""`GET|PUT /v1/controls`: operators see the controls and overrule what the system does by itself.

What a PUT names is pinned, and left alone by the automatic actions until a later PUT does not name it any more.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from monitoring import standing, watch
from monitoring.actions import Hold
from shared import http, limits, telemetry
from shared.documents import operations
from shared.documents.operations import Changes, Stored
from shared.http import Answer, Request
from shared.identity import Caller
from shared.problems import Problem

ATTEMPTS = 5


def admitted(request: Request) -> tuple[Caller, dict[str, str]]:
    """The door for operators alone: no switch and no shedding shuts it, or nobody could take those back."""
    caller = http.identified(request)
    decision = limits.limiter().ask("metrics", caller.uid, http.address_of(request))
    if not decision.allowed:
        raise limits.refusal(decision)
    request.limits.update(decision.headers)
    if not caller.operator:
        raise Problem("forbidden", "This is for operators: the ID token needs the claim operator.")
    return caller, decision.headers


def read(request: Request) -> Answer:
    _, headers = admitted(request)
    stored = operations.controls()
    return http.json_answer(200, shown(stored.data), {**headers, "ETag": etag_of(stored)})


def write(request: Request) -> Answer:
    caller, headers = admitted(request)
    stored = put(request.json(), request.headers.get("if-match"), caller.uid, datetime.now(UTC))
    return http.json_answer(200, shown(stored.data), {**headers, "ETag": etag_of(stored)})


def put(body: Mapping[str, Any], if_match: str | None, uid: str, now: datetime) -> Stored:
    """Pins what the body names and puts it in force; the document as it is then.

    Raises Problem `invalid-request`, or `precondition-failed` where the controls are not those that `If-Match` means.
    """
    for _ in range(ATTEMPTS):
        stored = operations.controls()
        _check(if_match, stored)
        before = standing.of_document(stored.data)
        after = standing.wanted(body, before, now.timestamp())
        document = after.as_document(uid, now)
        what = f"pinned {dict(after.pinned)}, silences {len(after.silences)}, actions {dict(after.modes)}"
        row = {
            "at": now,
            "who": uid,
            "what": what,
            "incident": "",
            "before": before.controls.as_dict(),
            "after": after.controls.as_dict(),
        }
        changes = Changes(controls=document, audit={f"{now:%Y%m%d%H%M%S%f}-{secrets.token_hex(4)}": row})
        if operations.commit(changes, now, state=None, controls=stored):
            telemetry.info("operators changed the controls", who=uid)
            _into_redis(after)
            return operations.controls()
    raise Problem("conflict", "The controls change all the time; read them and try again.")


def etag_of(stored: Stored) -> str:
    """Of the document's version; one that was never written has a tag, too."""
    return f'"{hashlib.sha256(str(stored.version).encode()).hexdigest()[:16]}"'


def shown(data: Mapping[str, Any]) -> dict[str, Any]:
    """The controls in force, and where they come from. With defaults where nothing was ever written."""
    found = standing.of_document(data)
    since = data.get("changedAt") or datetime.fromtimestamp(0, UTC)
    return {
        **found.as_document(data.get("changedBy") or "nobody", since),
        "automatic": [_hold(hold) for hold in found.holds.values()],
    }


def _hold(hold: Hold) -> dict[str, Any]:
    return {
        "action": hold.action,
        "target": hold.target,
        "causes": list(hold.causes),
        "incident": hold.incident,
        "takenAt": datetime.fromtimestamp(hold.taken_at, UTC),
        "expiresAt": datetime.fromtimestamp(hold.expires_at, UTC),
        "level": hold.level,
    }


def _check(if_match: str | None, stored: Stored) -> None:
    if if_match is None or if_match.strip() == "*":
        return
    tags = {tag.strip().removeprefix("W/") for tag in if_match.split(",")}
    if etag_of(stored) not in tags:
        raise Problem("precondition-failed", "The controls have changed since you read them; read them again.")


def _into_redis(after: standing.Standing) -> None:
    try:
        watch.mirror(after, written=True)
    except Exception as error:
        telemetry.error("the controls could not be put into Redis; the next tick does it", error=repr(error))
