"""The typed records of the documents, and the states of a track, which move only forward."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

State = Literal["awaiting-upload", "queued", "analysing", "done", "failed", "expired", "cancelled"]
Tier = Literal["full", "reduced"]

_ID = re.compile(r"^[A-Za-z0-9_-]{1,64}$")

FORWARD: Mapping[State, frozenset[State]] = {
    "awaiting-upload": frozenset({"queued", "failed", "expired", "cancelled"}),
    "queued": frozenset({"queued", "analysing", "done", "failed", "expired", "cancelled"}),
    "analysing": frozenset({"analysing", "done", "failed", "cancelled"}),
    "done": frozenset(),
    "failed": frozenset(),
    "expired": frozenset(),
    "cancelled": frozenset(),
}


@dataclass(frozen=True)
class User:
    uid: str
    plan: str | None
    plan_status: str | None
    plan_expires_at: datetime | None
    locale: str | None
    version: Any = None  # the document's update time


@dataclass(frozen=True)
class Usage:
    messages: int
    analyses: int


@dataclass(frozen=True)
class Wanted:
    """What the client says of a track before its upload."""

    filename: str
    size_bytes: int
    content_type: str
    mode: Literal["genre", "reference"]
    genre: str | None
    reference_track_id: str | None
    replaces_track_id: str | None
    sha256: str | None
    crc32c: str | None


@dataclass(frozen=True)
class NewTrack(Wanted):
    """A track to be created: what was announced, whose it is, and how much of it will be analysed."""

    id: str
    uid: str
    tier: Tier


@dataclass(frozen=True)
class Track:
    id: str
    uid: str
    filename: str
    size_bytes: int
    content_type: str
    mode: str
    genre: str | None
    reference_track_id: str | None
    replaces_track_id: str | None
    sha256: str | None
    crc32c: str | None
    tier: Tier
    state: State
    created_at: datetime
    progress: int
    problem: Mapping[str, Any] | None
    bucket: str | None
    generation: int | None
    lease_until: datetime | None
    refunded: bool
    attempts: int
    plan: str  # the user's when the track was queued: it decides on the place in the order
    queued_at: datetime | None
    content_md5: str | None  # as storage reports it, in hexadecimal digits
    traceparent: str | None  # of the upload, so that whoever analyses the track goes on with its trace
    reused_from: str | None  # the track of the same bytes whose analysis was taken
    changed_at: datetime
    version: Any  # the document's update time, the precondition of every move

    @property
    def object_name(self) -> str:
        return object_name(self.uid, self.id)

    @property
    def ended(self) -> bool:
        return not FORWARD[self.state]


@dataclass(frozen=True)
class Session:
    """A resumable upload session. Its address is a credential: no user reads this document."""

    url: str = field(repr=False)
    region: str
    bucket: str
    expires_at: datetime


@dataclass(frozen=True)
class Conversation:
    id: str
    participants: tuple[str, ...]
    track_ids: tuple[str, ...]


@dataclass(frozen=True)
class Message:
    id: str
    role: Literal["user", "assistant"]
    text: str
    created_at: datetime


def is_id(value: object) -> bool:
    """Whether a value can be the id of a track or a conversation."""
    return isinstance(value, str) and _ID.match(value) is not None


def object_name(uid: str, track_id: str) -> str:
    return f"tracks/{uid}/{track_id}"


def track_of(snapshot: Any) -> Track | None:
    if not snapshot.exists:
        return None
    data = snapshot.to_dict()
    return Track(
        id=snapshot.id,
        uid=data["uid"],
        filename=data["filename"],
        size_bytes=data["sizeBytes"],
        content_type=data["contentType"],
        mode=data["mode"],
        genre=data.get("genre"),
        reference_track_id=data.get("referenceTrackId"),
        replaces_track_id=data.get("replacesTrackId"),
        sha256=data.get("sha256"),
        crc32c=data.get("crc32c"),
        tier=data["tier"],
        state=data["state"],
        created_at=data["createdAt"].astimezone(UTC),
        progress=data.get("progress", 0),
        problem=data.get("problem"),
        bucket=data.get("bucket"),
        generation=data.get("generation"),
        lease_until=data.get("leaseUntil"),
        refunded=data.get("refunded", False),
        attempts=data.get("attempts", 0),
        plan=data.get("plan") or "free",
        queued_at=data.get("queuedAt"),
        content_md5=data.get("contentMd5"),
        traceparent=data.get("traceparent"),
        reused_from=data.get("reusedFrom"),
        changed_at=snapshot.update_time,
        version=snapshot.update_time,
    )


def user_of(snapshot: Any) -> User | None:
    if not snapshot.exists:
        return None
    data = snapshot.to_dict()
    return User(
        snapshot.id,
        data.get("plan"),
        data.get("planStatus"),
        data.get("planExpiresAt"),
        data.get("locale"),
        snapshot.update_time,
    )


def usage_of(snapshot: Any) -> Usage:
    data = snapshot.to_dict() if snapshot.exists else {}
    return Usage(data.get("messages", 0), data.get("analyses", 0))


def conversation_of(snapshot: Any) -> Conversation | None:
    if not snapshot.exists:
        return None
    data = snapshot.to_dict()
    return Conversation(snapshot.id, tuple(data["participants"]), tuple(data["trackIds"]))


def message_of(snapshot: Any) -> Message:
    data = snapshot.to_dict()
    return Message(snapshot.id, data["role"], data["text"], data["createdAt"])
