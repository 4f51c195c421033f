"""A small world for one case: a few users with every kind of document, as the service would have written them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from local.tokens import unsigned_token
from tests.rules.firestore import NOW, Firestore, Increment, Write, create, merge, replace, update

PROFILES: Mapping[str, Mapping[str, Any] | None] = {
    "free": {"plan": "free", "planStatus": "active", "planExpiresAt": None},
    "plus": {"plan": "plus", "planStatus": "active", "planExpiresAt": timedelta(hours=1)},
    "pro": {"plan": "pro", "planStatus": "active", "planExpiresAt": timedelta(hours=1)},
    "expired": {"plan": "pro", "planStatus": "active", "planExpiresAt": timedelta(seconds=-1)},
    "suspended": {"plan": "pro", "planStatus": "suspended", "planExpiresAt": None},
    "without a plan": {"displayName": "Bare"},
    "missing": None,
}
ABSENT = object()  # in the place of a value: the field is left out


def month(moment: datetime) -> str:
    return moment.strftime("%Y%m")


class World:
    """The documents of an owner, whose profile and usage are as given, of a stranger, a participant, an operator.

    Every world has ids of its own, so that worlds do not disturb each other.
    """

    def __init__(
        self,
        firestore: Firestore,
        name: str,
        profile: str = "free",
        analyses: int | None = 1,
        messages: int = 1,
    ) -> None:
        self.firestore = firestore
        self.name = name
        self.now = datetime.now(UTC)
        self.owner, self.stranger, self.participant = (f"{who}-{name}" for who in ("owner", "stranger", "participant"))
        self.operator = f"operator-{name}"
        self.track, self.old_track, self.strange_track = f"track-{name}", f"old-{name}", f"strange-{name}"
        self.conversation = f"conversation-{name}"
        self.new = f"new-{name}"
        self.usage_id = f"{self.owner}_{month(self.now)}"
        writes = [
            *self._profiles(profile),
            replace(f"tracks/{self.track}", self.stored_track()),
            replace(f"tracks/{self.old_track}", self.stored_track(state="done")),
            replace(f"tracks/{self.strange_track}", self.stored_track(uid=self.stranger)),
            replace(f"analyses/{self.track}", {"uid": self.owner, "result": {"verdict": {"score": 80}}}),
            replace(f"conversations/{self.conversation}", self.stored_conversation()),
            replace(f"conversations/{self.conversation}/messages/first", self.stored_message()),
            replace(f"incidents/{self.new}", {"title": "slow"}),
            replace(f"controls/{self.new}", {"chat": True}),
            replace(f"anything/{self.new}", {"title": "?"}),
            replace(f"plans/{self.new}", {"title": "?"}),
            replace(f"uploadSessions/{self.track}", {"url": "https://storage.example/session"}),
        ]
        if analyses is not None:
            writes.append(replace(f"usage/{self.usage_id}", self.stored_usage(analyses, messages)))
        self.seed(*writes)

    def seed(self, *writes: Write) -> None:
        """Writes as the service, whom no rule judges."""
        assert self.firestore.commit(writes)

    def ago(self, seconds: float) -> datetime:
        return self.now - timedelta(seconds=seconds)

    def age_s(self) -> float:
        return (datetime.now(UTC) - self.now).total_seconds()

    def token(self, actor: str) -> str | None:
        """The ID token of `owner`, `stranger`, `participant` or `operator`; None for `anonymous`."""
        if actor == "anonymous":
            return None
        claims = {"operator": True} if actor == "operator" else {}
        return unsigned_token(getattr(self, actor), self.firestore.project, claims)

    def claiming(self, operator: object) -> str:
        """The owner's token with something else as the operators' claim."""
        return unsigned_token(self.owner, self.firestore.project, {"operator": operator})

    # ---- documents as they are stored ----------------------------------------------------------------------------

    def _profiles(self, profile: str) -> list[Write]:
        writes = [replace(f"users/{uid}", PROFILES["free"] or {}) for uid in (self.stranger, self.participant)]
        fields = PROFILES[profile]
        if fields is not None:
            stored = {key: self.now + value if isinstance(value, timedelta) else value for key, value in fields.items()}
            writes.append(replace(f"users/{self.owner}", stored))
        return writes

    def stored_track(self, **changes: Any) -> dict[str, Any]:
        return self.new_track(**{"createdAt": self.ago(600), **changes})

    def stored_conversation(self, **changes: Any) -> dict[str, Any]:
        people = [self.owner, self.participant]
        opened = {"participants": people, "trackIds": [self.track], "createdAt": self.ago(600)}
        return {**opened, "lastMessageAt": self.ago(600), **changes}

    def stored_message(self) -> dict[str, Any]:
        return {"role": "assistant", "text": "Hello.", "uid": "assistant", "createdAt": self.ago(600)}

    def stored_usage(self, analyses: int, messages: int) -> dict[str, Any]:
        counted = {"analyses": analyses, "messages": messages, "lastCounted": f"tracks/{self.old_track}"}
        return {"uid": self.owner, "month": month(self.now), **counted}

    # ---- documents and batches as a client writes them -----------------------------------------------------------

    def new_track(self, **changes: Any) -> dict[str, Any]:
        track = {
            "uid": self.owner,
            "filename": "song.wav",
            "sizeBytes": 1000,
            "contentType": "audio/wav",
            "mode": "genre",
            "genre": "pop",
            "referenceTrackId": None,
            "replacesTrackId": None,
            "sha256": None,
            "crc32c": None,
            "tier": "full",
            "createdAt": NOW,
            "state": "awaiting-upload",
        }
        return changed(track, changes)

    def track_batch(
        self, *, track: Mapping[str, Any] | None = None, usage: Mapping[str, Any] | None = None
    ) -> list[Write]:
        """Creates a full track of the owner and counts it."""
        created = create(f"tracks/{self.new}", self.new_track(**(track or {})))
        return [created, self.count(f"tracks/{self.new}", **{"analyses": Increment(1), **(usage or {})})]

    def count(self, counted: str, actor: str = "owner", **changes: Any) -> Write:
        uid = getattr(self, actor)
        usage = {
            "uid": uid,
            "month": month(self.now),
            "analyses": Increment(0),
            "messages": Increment(0),
            "lastCounted": counted,
        }
        return merge(f"usage/{uid}_{month(self.now)}", changed(usage, changes))

    def message_batch(
        self,
        *,
        actor: str = "owner",
        message: Mapping[str, Any] | None = None,
        usage: Mapping[str, Any] | None = None,
    ) -> list[Write]:
        """Moves the old conversation, writes a message into it and counts that."""
        move = update(f"conversations/{self.conversation}", {"lastMessageAt": NOW})
        return [move, *self._message(self.conversation, actor, message or {}, usage or {})]

    def opening_batch(
        self,
        *,
        conversation: Mapping[str, Any] | None = None,
        message: Mapping[str, Any] | None = None,
        usage: Mapping[str, Any] | None = None,
    ) -> list[Write]:
        """Opens a new conversation of the owner, writes a message into it and counts that."""
        opened = create(f"conversations/{self.new}", self.new_conversation(**(conversation or {})))
        return [opened, *self._message(self.new, "owner", message or {}, usage or {})]

    def new_conversation(self, **changes: Any) -> dict[str, Any]:
        people = [self.owner]
        opened = {"participants": people, "trackIds": [self.track], "createdAt": NOW, "lastMessageAt": NOW}
        return changed(opened, changes)

    def new_message(self, actor: str = "owner", **changes: Any) -> dict[str, Any]:
        message = {"role": "user", "text": "Is it loud?", "uid": getattr(self, actor), "createdAt": NOW}
        return changed(message, changes)

    def _message(
        self, conversation: str, actor: str, message: Mapping[str, Any], usage: Mapping[str, Any]
    ) -> list[Write]:
        path = f"conversations/{conversation}/messages/{self.new}"
        count = self.count(path, actor, **{"messages": Increment(1), **usage})
        return [create(path, self.new_message(actor, **message)), count]


def changed(fields: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**fields, **changes}.items() if value is not ABSENT}
