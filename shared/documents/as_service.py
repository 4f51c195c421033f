"""Firestore as the service: plans, states, results, the assistant's messages, refunds. Denied to users."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared import clients
from shared.documents.library import FieldFilter, exceptions, firestore, listed, once
from shared.documents.records import FORWARD, Session, State, Track, User, track_of, user_of
from shared.plans import month_of
from shared.problems import Problem

DEADLINE_S = 10.0
PAGE = 500
OPENED_BEFORE = timedelta(seconds=5)


def server_time() -> Any:
    """The moment at which Firestore writes it, as the value of a field."""
    return firestore.SERVER_TIMESTAMP


def profile(uid: str) -> User | None:
    return user_of(_get(f"users/{uid}"))


def give_free_plan(uid: str, profile: User | None) -> bool:
    """Gives a newcomer the free plan, with a profile or without one. False where the profile changed meanwhile."""
    fields = {"plan": "free", "planStatus": "active", "planExpiresAt": None}
    reference = clients.firestore().document(f"users/{uid}")
    try:
        if profile is None:
            reference.create(fields, retry=None, timeout=DEADLINE_S)
        else:
            option = clients.firestore().write_option(last_update_time=profile.version)
            reference.update(fields, option=option, retry=None, timeout=DEADLINE_S)
    except (exceptions.Conflict, exceptions.FailedPrecondition, exceptions.NotFound):
        return False
    return True


def users_whose_plan_expired(now: datetime, most: int = 500) -> list[User]:
    query = clients.firestore().collection("users").where(filter=FieldFilter("planExpiresAt", "<=", now)).limit(most)
    return [user for snapshot in listed(query, DEADLINE_S) if (user := user_of(snapshot)) is not None]


def set_free(user: User) -> bool:
    """Writes what an expired plan counts as already. False where the profile changed, say by a renewal."""
    reference = clients.firestore().document(f"users/{user.uid}")
    option = clients.firestore().write_option(last_update_time=user.version)
    try:
        reference.update({"plan": "free", "planExpiresAt": None}, option=option, retry=None, timeout=DEADLINE_S)
    except (exceptions.FailedPrecondition, exceptions.NotFound, exceptions.Aborted):
        return False
    return True


def track(track_id: str) -> Track | None:
    return track_of(_get(f"tracks/{track_id}"))


def move(track: Track, to: State, **fields: Any) -> Track | None:
    """Moves a track forward, if nobody has changed it since it was read. None where somebody has: read it again."""
    if to not in FORWARD[track.state]:
        return None
    reference = clients.firestore().document(f"tracks/{track.id}")
    option = clients.firestore().write_option(last_update_time=track.version)
    try:
        written = reference.update({"state": to, **fields}, option=option, retry=None, timeout=DEADLINE_S)
    except (exceptions.FailedPrecondition, exceptions.NotFound, exceptions.Aborted):
        return None
    return replace(track, state=to, version=written.update_time)


def end_without_analysis(track: Track, to: State, problem: Problem | None = None) -> bool:
    """Ends a track that was not analysed and gives its count back, both or neither, once.

    False where somebody has changed the track since it was read, or it has ended and its count was given back.
    """
    if track.refunded or (to not in FORWARD[track.state] and track.state != to):
        return False
    batch = clients.firestore().batch()
    fields: dict[str, Any] = {"state": to, "refunded": True, "leaseUntil": None}
    if problem is not None:
        fields["problem"] = problem.as_dict()
    option = clients.firestore().write_option(last_update_time=track.version)
    batch.update(clients.firestore().document(f"tracks/{track.id}"), fields, option=option)
    return _given_back(track, batch)


def take_back(track: Track) -> bool:
    """Deletes a track whose upload was never opened, with its session, and gives its count back: all or nothing.

    False where somebody has changed the track since it was read.
    """
    batch = clients.firestore().batch()
    option = clients.firestore().write_option(last_update_time=track.version)
    batch.delete(clients.firestore().document(f"tracks/{track.id}"), option=option)
    batch.delete(clients.firestore().document(f"uploadSessions/{track.id}"))
    return _given_back(track, batch)


def _given_back(track: Track, batch: Any) -> bool:
    """Commits with the track's count given back; False where somebody has changed the track since it was read."""
    if track.tier == "full":
        usage = clients.firestore().document(f"usage/{track.uid}_{month_of(track.created_at)}")
        batch.update(usage, {"analyses": firestore.Increment(-1)})
    try:
        batch.commit(retry=None, timeout=DEADLINE_S)
    except (exceptions.FailedPrecondition, exceptions.NotFound, exceptions.Aborted):
        return False
    return True


def finish(track: Track, result: Mapping[str, Any], reused_from: str | None = None) -> bool:
    """Writes the analysis and moves its track to `done`, both or neither. False where the track was taken away.

    reused_from: the track whose bytes and analysis these are; then the count is given back in the same batch.
    """
    batch = clients.firestore().batch()
    document = {"uid": track.uid, "createdAt": firestore.SERVER_TIMESTAMP, "result": dict(result)}
    batch.set(clients.firestore().document(f"analyses/{track.id}"), document)
    option = clients.firestore().write_option(last_update_time=track.version)
    done = {"state": "done", "progress": 100, "leaseUntil": None, "doneAt": firestore.SERVER_TIMESTAMP}
    if reused_from is not None:
        done |= {"reusedFrom": reused_from, "refunded": True}
        if track.tier == "full" and not track.refunded:
            usage = clients.firestore().document(f"usage/{track.uid}_{month_of(track.created_at)}")
            batch.update(usage, {"analyses": firestore.Increment(-1)})
    batch.update(clients.firestore().document(f"tracks/{track.id}"), done, option=option)
    try:
        batch.commit(retry=None, timeout=DEADLINE_S)
    except (exceptions.FailedPrecondition, exceptions.NotFound, exceptions.Aborted):
        return False
    return True


def analysis(track_id: str) -> dict[str, Any] | None:
    snapshot = _get(f"analyses/{track_id}")
    return snapshot.to_dict()["result"] if snapshot.exists else None


def put_version_deltas(track_id: str, metrics: Mapping[str, Any]) -> None:
    """Adds to an analysis how it differs from the version before, which was not analysed then."""
    reference = clients.firestore().document(f"analyses/{track_id}")
    reference.update({"result.versionDeltas.metrics": dict(metrics)}, retry=None, timeout=DEADLINE_S)


def put_session(track_id: str, session: Session) -> None:
    document = {
        "url": session.url,
        "region": session.region,
        "bucket": session.bucket,
        "expiresAt": session.expires_at,
    }
    clients.firestore().document(f"uploadSessions/{track_id}").set(document, retry=None, timeout=DEADLINE_S)


def session(track_id: str) -> Session | None:
    snapshot = _get(f"uploadSessions/{track_id}")
    if not snapshot.exists:
        return None
    data = snapshot.to_dict()
    return Session(data["url"], data["region"], data["bucket"], data["expiresAt"])


def open_conversation(conversation_id: str, uid: str, track_ids: list[str], text: str) -> bool:
    """Opens a conversation with the assistant's first message. False where it is open already.

    The throttle of the rules counts from lastMessageAt: set a little back, the opening holds no first question up.
    """
    batch = clients.firestore().batch()
    reference = clients.firestore().document(f"conversations/{conversation_id}")
    opened = {
        "participants": [uid],
        "trackIds": track_ids,
        "createdAt": firestore.SERVER_TIMESTAMP,
        "lastMessageAt": datetime.now(UTC) - OPENED_BEFORE,
    }
    batch.create(reference, opened)
    batch.create(reference.collection("messages").document("opening"), _assistant_message(text))
    return _created(batch) or _created_opening(reference, uid, text)


def _created_opening(reference: Any, uid: str, text: str) -> bool:
    """The user may have asked before the opening message came: then only the message is missing.

    A conversation of this id that is somebody else's gets nothing.
    """
    if reference.get(retry=None, timeout=DEADLINE_S).get("participants") != [uid]:
        return False
    return _added(reference, "opening", text)


def _added(conversation: Any, message_id: str, text: str) -> bool:
    """Adds a message to a conversation that is there, in one batch with a mark in it: an account that is deleted at the
    same moment leaves no message behind. False where the message is there already, or the conversation is not."""
    batch = clients.firestore().batch()
    batch.create(conversation.collection("messages").document(message_id), _assistant_message(text))
    batch.update(conversation, {"answeredAt": firestore.SERVER_TIMESTAMP})
    return _created(batch)


def _created(batch: Any) -> bool:
    try:
        batch.commit(retry=None, timeout=DEADLINE_S)
    except exceptions.Aborted:
        raise  # a conflict too, but one that says nothing of what is there
    except (exceptions.AlreadyExists, exceptions.Conflict, exceptions.NotFound):
        return False
    return True


def add_answer(conversation_id: str, message_id: str, text: str) -> str:
    """Writes the assistant's answer, once. Gives the one that stands: an earlier one, where there is one.

    In a conversation that was deleted meanwhile nothing is written.
    """
    added = _added(clients.firestore().document(f"conversations/{conversation_id}"), message_id, text)
    return text if added else answer(conversation_id, message_id) or text


def answer(conversation_id: str, message_id: str) -> str | None:
    snapshot = _get(f"conversations/{conversation_id}/messages/{message_id}")
    return str(snapshot.get("text")) if snapshot.exists else None


def add_to_ledger(
    day: str, uid: str, model: str, prompt_tokens: int, completion_tokens: int, cost_microusd: int
) -> None:
    """Adds one call of a model to the ledger: a document per day (`yyyymmdd`, UTC), user and model."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", model)
    entry = {
        "day": day,
        "uid": uid,
        "model": model,
        "calls": firestore.Increment(1),
        "promptTokens": firestore.Increment(prompt_tokens),
        "completionTokens": firestore.Increment(completion_tokens),
        "costMicroUsd": firestore.Increment(cost_microusd),
    }
    reference = clients.firestore().document(f"ledger/{day}_{uid}_{name}")
    reference.set(entry, merge=True, retry=None, timeout=DEADLINE_S)


def tracks_in(state: State, most: int = 500) -> list[Track]:
    """Tracks that stand in a state, for the sweep. Of more than so many, others each time: the ids are random, and
    so is the one from which on they are read."""
    tracks = clients.firestore().collection("tracks")
    query = tracks.where(filter=FieldFilter("state", "==", state)).order_by("__name__").limit(most)
    start = {"__name__": tracks.document(secrets.token_urlsafe(15))}
    found = _found(query.start_at(start))
    return found if len(found) == most else found + _found(query.end_before(start).limit(most - len(found)))


def tracks_cancelled_since(moment: datetime) -> list[Track]:
    """All of them: which were given back, a query of a single field cannot tell."""
    cancelled = clients.firestore().collection("tracks").where(filter=FieldFilter("cancelledAt", ">=", moment))
    query = cancelled.order_by("cancelledAt").limit(PAGE)
    found = page = listed(query, DEADLINE_S)
    while len(page) == PAGE:
        page = listed(query.start_after(page[-1]), DEADLINE_S)
        found += page
    return [track for snapshot in found if (track := track_of(snapshot)) is not None]


def tracks_kept_until(moment: datetime, most: int) -> list[Track]:
    """Tracks whose original was to be kept until then."""
    over = FieldFilter("originalUntil", "<=", moment)
    return _found(clients.firestore().collection("tracks").where(filter=over).limit(most))


def forget_original(track: Track) -> bool:
    """Notes that a track's object is deleted. False where somebody has changed the track since it was read."""
    reference = clients.firestore().document(f"tracks/{track.id}")
    option = clients.firestore().write_option(last_update_time=track.version)
    gone = {"bucket": None, "generation": None, "originalUntil": None, "originalDeletedAt": firestore.SERVER_TIMESTAMP}
    try:
        reference.update(gone, option=option, retry=None, timeout=DEADLINE_S)
    except (exceptions.FailedPrecondition, exceptions.NotFound, exceptions.Aborted):
        return False
    return True


def tracks_of_content(uid: str, md5: str, most: int = 500) -> list[Track]:
    """A user's tracks whose bytes have this MD5."""
    bytes_are = FieldFilter("contentMd5", "==", md5)
    query = clients.firestore().collection("tracks").where(filter=bytes_are).where(filter=FieldFilter("uid", "==", uid))
    return _found(query.limit(most))


def tracks_replacing(track_id: str, most: int = 50) -> list[Track]:
    """The versions that came after a track, done or not."""
    later = FieldFilter("replacesTrackId", "==", track_id)
    return _found(clients.firestore().collection("tracks").where(filter=later).limit(most))


def count_in(state: State) -> int:
    query: Any = clients.firestore().collection("tracks").where(filter=FieldFilter("state", "==", state)).count()
    return int(query.get(retry=once(), timeout=DEADLINE_S)[0][0].value)


def _found(query: Any) -> list[Track]:
    return [track for snapshot in listed(query, DEADLINE_S) if (track := track_of(snapshot)) is not None]


def _assistant_message(text: str) -> dict[str, Any]:
    return {"role": "assistant", "text": text, "uid": "assistant", "createdAt": firestore.SERVER_TIMESTAMP}


def _get(path: str) -> Any:
    return clients.firestore().document(path).get(retry=None, timeout=DEADLINE_S)
