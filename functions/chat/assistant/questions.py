"""What a user may ask: the body of `POST /v1/chat`, checked in form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from assistant import images
from assistant.pieces import Picture
from shared.documents.records import is_id
from shared.problems import Problem

LONGEST_MESSAGE = 2_000
MOST_TRACKS = 8  # as many as firestore.rules can check in one request
_KNOWN_KEYS = {"message", "trackIds", "conversationId", "locale", "images"}


@dataclass(frozen=True)
class Question:
    text: str
    track_ids: tuple[str, ...]
    conversation_id: str | None
    locale: str | None  # None: the language of the question
    pictures: tuple[Picture, ...] = ()
    sent: tuple[str, ...] = ()  # the SHA-256 of each picture as it came

    @cached_property
    def digest(self) -> str:
        """What tells this request from any other; in whatever order and spelling its JSON came."""
        told = [self.text, self.track_ids, self.conversation_id, self.locale, self.sent]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def question(body: Mapping[str, Any]) -> Question:
    """The question in a request's body. Raises Problem `invalid-request` that names every fault."""
    faults = [f"{key} is not known" for key in sorted(set(body) - _KNOWN_KEYS)]
    message = body.get("message")
    if not isinstance(message, str) or not message.strip() or len(message) > LONGEST_MESSAGE:
        faults.append(f"message must be a text of 1 to {LONGEST_MESSAGE} characters")
    track_ids = body.get("trackIds") or []
    if not isinstance(track_ids, list) or len(track_ids) > MOST_TRACKS or not all(map(is_id, track_ids)):
        faults.append(f"trackIds must be a list of at most {MOST_TRACKS} ids of tracks")
    conversation_id = body.get("conversationId")
    if conversation_id is not None and not is_id(conversation_id):
        faults.append("conversationId must be a conversation's id")
    locale = body.get("locale")
    if locale not in (None, "en", "pt-BR"):
        faults.append("locale must be en or pt-BR")
    pictures = images.pictures(body.get("images"), faults)
    if faults:
        raise Problem("invalid-request", "; ".join(faults) + ".", {"faults": faults})
    sent = tuple(hashlib.sha256(url.encode()).hexdigest() for url in body.get("images") or ())
    return Question(str(message), tuple(dict.fromkeys(track_ids)), conversation_id, locale, pictures, sent)
