"""Random users, cheats among them: the rules and a small model of the law agree at every step."""

from __future__ import annotations

import collections
import os
import random
from datetime import UTC, datetime

from tests.rules.firestore import Firestore
from tests.rules.model import CLOCK_GRAIN, Model, Window

STEPS = int(os.environ.get("PRODAI_MODEL_STEPS", "2000"))
SEED = int(os.environ.get("PRODAI_MODEL_SEED", "1"))


def test_the_rules_and_a_model_of_the_law_agree_on_every_attempt(firestore: Firestore) -> None:
    model = Model(firestore, random.Random(SEED), f"model{SEED}")
    seen: collections.Counter[tuple[str, bool]] = collections.Counter()
    for number in range(STEPS):
        attempt = model.step()
        if attempt is None:
            continue
        began = datetime.now(UTC) - CLOCK_GRAIN
        allowed = attempt.do(model.token(attempt.by))
        window = Window(began, datetime.now(UTC))
        assert allowed in attempt.verdicts(window), f"step {number}, seed {SEED}: {attempt}, {model.users[attempt.by]}"
        if allowed:
            attempt.done(window)
        seen[(attempt.title.split()[0], allowed)] += 1
    kinds = {"create", "open", "say", "cancel", "update", "read"}
    assert all(seen[(kind, verdict)] for kind in kinds for verdict in (True, False)), seen
    for uid, user in model.users.items():
        stored = firestore.read(model.usage_path(uid)) or {"analyses": 0, "messages": 0}
        assert (stored["analyses"], stored["messages"]) == (user.analyses, user.messages)
