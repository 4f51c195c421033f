"""Firestore with the end user's own ID token: firestore.rules judge every call made here."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from typing import Any

from shared import observations
from shared.documents.library import exceptions, firestore, listed
from shared.documents.records import (
    Conversation,
    Message,
    NewTrack,
    Track,
    Usage,
    User,
    conversation_of,
    is_id,
    message_of,
    track_of,
    usage_of,
    user_of,
)
from shared.identity import Caller
from shared.plans import effective, month_of
from shared.problems import Problem
from shared.settings import settings

DEADLINE_S = 10.0
CONTENDED_PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8)


class Denied(Exception):  # noqa: N818  # the rules' own word
    """The rules denied it. What the cause was, the caller of this module finds out."""


class Exists(Exception):  # noqa: N818
    """The document was there already."""


class UserDocuments:
    """The documents as one user may see and write them."""

    def __init__(self, caller: Caller) -> None:
        from shared.documents.end_user import EndUserClient

        self.uid = caller.uid
        self._client = EndUserClient(settings().project, caller.token)

    def profile(self) -> User | None:
        """The user's profile; its plan is told to the limiter, whose quotas may differ by plan."""
        found = user_of(self._get(f"users/{self.uid}"))
        if found is not None:
            observations.plan(self.uid, effective(found.plan, found.plan_expires_at, datetime.now(UTC)).name)
        return found

    def usage(self) -> Usage:
        return usage_of(self._get(self._usage_path()))

    def track(self, track_id: str) -> Track | None:
        """The user's own track; None where there is none, or it is a stranger's."""
        snapshot = self._find("tracks", track_id)
        return track_of(snapshot) if snapshot is not None else None

    def analysis(self, track_id: str) -> dict[str, Any] | None:
        snapshot = self._find("analyses", track_id)
        return snapshot.to_dict()["result"] if snapshot is not None else None

    def conversation(self, conversation_id: str) -> Conversation | None:
        snapshot = self._find("conversations", conversation_id)
        return conversation_of(snapshot) if snapshot is not None else None

    def message(self, conversation_id: str, message_id: str) -> Message | None:
        if not is_id(conversation_id):
            return None
        snapshot = self._find(f"conversations/{conversation_id}/messages", message_id)
        return message_of(snapshot) if snapshot is not None else None

    def latest_messages(self, conversation_id: str, most: int, before: datetime | None = None) -> list[Message]:
        """The newest messages of a conversation, or the newest before a moment, oldest first."""
        messages = self._client.collection(f"conversations/{conversation_id}/messages")
        query = messages.order_by("createdAt", direction=firestore.Query.DESCENDING).limit(most)
        if before is not None:
            query = query.start_after({"createdAt": before})
        return [message_of(s) for s in reversed(listed(query, DEADLINE_S))]

    def create_track(self, track: NewTrack) -> None:
        """Creates the track and, where it is a full one, counts it, in one batch that the rules judge.

        Raises Denied, or Exists for a track of this id.
        """
        batch = self._client.batch()
        batch.create(
            self._client.document(f"tracks/{track.id}"),
            {
                "uid": track.uid,
                "filename": track.filename,
                "sizeBytes": track.size_bytes,
                "contentType": track.content_type,
                "mode": track.mode,
                "genre": track.genre,
                "referenceTrackId": track.reference_track_id,
                "replacesTrackId": track.replaces_track_id,
                "sha256": track.sha256,
                "crc32c": track.crc32c,
                "tier": track.tier,
                "createdAt": firestore.SERVER_TIMESTAMP,
                "state": "awaiting-upload",
            },
        )
        if track.tier == "full":
            self._count(batch, f"tracks/{track.id}", analyses=1)
        commit(batch)

    def add_message(self, conversation: Conversation, message_id: str, text: str, *, new: bool) -> None:
        """Adds the user's message and counts it, opening the conversation where it is new. Raises Denied."""
        batch = self._client.batch()
        reference = self._client.document(f"conversations/{conversation.id}")
        if new:
            opened = {
                "participants": list(conversation.participants),
                "trackIds": list(conversation.track_ids),
                "createdAt": firestore.SERVER_TIMESTAMP,
                "lastMessageAt": firestore.SERVER_TIMESTAMP,
            }
            batch.create(reference, opened)
        else:
            batch.update(reference, {"lastMessageAt": firestore.SERVER_TIMESTAMP})
        path = f"conversations/{conversation.id}/messages/{message_id}"
        message = {"role": "user", "text": text, "uid": self.uid, "createdAt": firestore.SERVER_TIMESTAMP}
        batch.create(self._client.document(path), message)
        self._count(batch, path, messages=1)
        commit(batch)

    def _count(self, batch: Any, counted: str, *, analyses: int = 0, messages: int = 0) -> None:
        usage = {
            "uid": self.uid,
            "month": month_of(datetime.now(UTC)),
            "analyses": firestore.Increment(analyses),
            "messages": firestore.Increment(messages),
            "lastCounted": counted,
        }
        batch.set(self._client.document(self._usage_path()), usage, merge=True)

    def _usage_path(self) -> str:
        return f"usage/{self.uid}_{month_of(datetime.now(UTC))}"

    def _find(self, collection: str, document_id: str) -> Any | None:
        """A document that is there and that the rules let this user read."""
        if not is_id(document_id):
            return None
        try:
            snapshot = self._get(f"{collection}/{document_id}")
        except Denied:
            return None
        return snapshot if snapshot.exists else None

    def _get(self, path: str) -> Any:
        try:
            return self._client.snapshot(path, DEADLINE_S)
        except (exceptions.PermissionDenied, exceptions.Unauthenticated) as error:
            raise Denied(path) from error


def commit(batch: Any) -> None:
    """Commits as the user. Raises Denied, Exists, or Problem `unavailable` where the user's own writes stay in the way.

    Firestore aborts a write that meets another one of the same document: nothing is written, and it may go again.
    """
    for pause_s in (*CONTENDED_PAUSES_S, None):
        try:
            batch.commit(retry=None, timeout=DEADLINE_S)
        except (exceptions.PermissionDenied, exceptions.Unauthenticated) as error:
            raise Denied from error
        except exceptions.Aborted as error:  # a Conflict too, but one that says nothing of what is there
            if pause_s is None:
                detail = "Too many of your requests came at the same moment; send this one again."
                raise Problem("unavailable", detail, headers={"Retry-After": "1"}) from error
            time.sleep(random.uniform(0.5, 1) * pause_s)  # noqa: S311  # to come apart, not for secrecy
        except (exceptions.AlreadyExists, exceptions.Conflict) as error:
            raise Exists from error
        else:
            return
