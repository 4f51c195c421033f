"""Firestore as the service: plans, states, results, the assistant's messages, refunds. Denied to users."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared import clients
from shared.documents.library import FieldFilter, exceptions, firestore
from shared.documents.records import FORWARD, Session, State, Track, User, track_of, user_of
from shared.plans import month_of
from shared.problems import Problem

DEADLINE_S = 10.0
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


def users_whose_plan_expired(now: datetime, most: int = 500) -> Iterator[User]:
    query = clients.firestore().collection("users").where(filter=FieldFilter("planExpiresAt", "<=", now)).limit(most)
    for snapshot in query.stream(retry=None, timeout=DEADLINE_S):
        found = user_of(snapshot)
        if found is not None:
            yield found


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
    batch = clients.firestore().batch()
    batch.create(reference.collection("messages").document("opening"), _assistant_message(text))
    return _created(batch)


def _created(batch: Any) -> bool:
    try:
        batch.commit(retry=None, timeout=DEADLINE_S)
    except (exceptions.AlreadyExists, exceptions.Conflict):
        return False
    return True


def add_answer(conversation_id: str, message_id: str, text: str) -> str:
    """Writes the assistant's answer, once. Gives the one that stands: an earlier one, where there is one."""
    reference = clients.firestore().document(f"conversations/{conversation_id}/messages/{message_id}")
    try:
        reference.create(_assistant_message(text), retry=None, timeout=DEADLINE_S)
    except (exceptions.AlreadyExists, exceptions.Conflict):
        return answer(conversation_id, message_id) or text
    return text


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


def tracks_in(state: State, most: int = 500) -> Iterator[Track]:
    """Tracks that stand in a state, for the sweep."""
    return _tracks_where(FieldFilter("state", "==", state), most)


def tracks_cancelled_since(moment: datetime, most: int = 500) -> Iterator[Track]:
    return _tracks_where(FieldFilter("cancelledAt", ">=", moment), most)


def tracks_kept_until(moment: datetime, most: int) -> Iterator[Track]:
    """Tracks whose original was to be kept until then."""
    return _tracks_where(FieldFilter("originalUntil", "<=", moment), most)


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


def tracks_of_content(uid: str, md5: str, most: int = 500) -> Iterator[Track]:
    """A user's tracks whose bytes have this MD5."""
    bytes_are = FieldFilter("contentMd5", "==", md5)
    query = clients.firestore().collection("tracks").where(filter=bytes_are).where(filter=FieldFilter("uid", "==", uid))
    return _found(query.limit(most))


def count_in(state: State) -> int:
    query: Any = clients.firestore().collection("tracks").where(filter=FieldFilter("state", "==", state)).count()
    return int(query.get(retry=None, timeout=DEADLINE_S)[0][0].value)


def _tracks_where(condition: FieldFilter, most: int) -> Iterator[Track]:
    return _found(clients.firestore().collection("tracks").where(filter=condition).limit(most))


def _found(query: Any) -> Iterator[Track]:
    for snapshot in query.stream(retry=None, timeout=DEADLINE_S):
        found = track_of(snapshot)
        if found is not None:
            yield found


def _assistant_message(text: str) -> dict[str, Any]:
    return {"role": "assistant", "text": text, "uid": "assistant", "createdAt": firestore.SERVER_TIMESTAMP}


def _get(path: str) -> Any:
    return clients.firestore().document(path).get(retry=None, timeout=DEADLINE_S)
