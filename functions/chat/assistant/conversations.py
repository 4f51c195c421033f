"""Conversations: opened by the service after an analysis, carried on by the user under the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from assistant import advisor
from assistant.facts import NamedAnalysis, Role
from assistant.questions import Question
from shared import events, idempotency, telemetry
from shared.analyses import own_analysis
from shared.documents import as_service
from shared.documents.as_user import Denied, Exists, UserDocuments
from shared.documents.records import Conversation, Track
from shared.events import Event
from shared.identity import Caller
from shared.plans import effective, renewal_after
from shared.problems import Problem

HISTORY_MOST = 5
RUNNING_AT_MOST = timedelta(seconds=60)  # the function's own timeout
THROTTLE_S = 2  # firestore.rules: at least this long between two messages of a conversation


@dataclass(frozen=True)
class Asked:
    """A question that has been written and counted, and what is needed to answer it."""

    uid: str
    conversation_id: str
    message_id: str
    text: str
    locale: str | None
    analyses: tuple[NamedAnalysis, ...] = ()
    history: tuple[str, ...] = ()
    earlier_answer: str | None = None  # of the first request with this Idempotency-Key


@dataclass(frozen=True)
class TokenUsage:
    model: str
    promptTokens: int  # noqa: N815  # a member of the answer
    completionTokens: int  # noqa: N815


def open_after_analysis(event: Event) -> None:
    """Opens the conversation of an analysed track with its ranked findings, once however often the event comes."""
    track_id, uid = event.data["trackId"], event.data["uid"]
    analysis = as_service.analysis(track_id)
    if analysis is None:
        raise Problem("not-found", "The analysed track has no analysis.")
    profile = as_service.profile(uid)
    locale = (profile.locale if profile else None) or "en"
    text = advisor.opening(analysis, filename=event.data["filename"], locale=locale)
    if as_service.open_conversation(track_id, uid, [track_id], text):
        telemetry.info("a conversation was opened", track=track_id)
        events.track_usage("chat.opened", uid, f"{track_id}/opened", {})


def ask(caller: Caller, question: Question, headers: Mapping[str, str]) -> Asked:
    """Writes and counts the question as the user; with an Idempotency-Key, once however often it is sent.

    Raises Problem with the true cause of a refusal.
    """
    documents = UserDocuments(caller)
    message_id, keyed = idempotency.document_id(headers, caller.uid, "message")
    conversation, new = _conversation(documents, caller, question, message_id)
    if keyed and not new:
        earlier = _asked_before(documents, caller, question, conversation.id, message_id)
        if earlier is not None:
            return earlier
    analyses = _analyses(documents, question.track_ids or conversation.track_ids)
    history = () if new else _user_messages(documents, conversation.id)
    conversation = _with_message(documents, conversation, message_id, question.text, new=new)
    return Asked(caller.uid, conversation.id, message_id, question.text, question.locale, analyses, history)


def _with_message(
    documents: UserDocuments, conversation: Conversation, message_id: str, text: str, *, new: bool
) -> Conversation:
    try:
        documents.add_message(conversation, message_id, text, new=new)
    except (Denied, Exists) as error:
        opened = documents.conversation(conversation.id) if new else None
        if opened is None:
            raise _cause(documents) from error
        return _with_message(documents, opened, message_id, text, new=False)  # opened by the service meanwhile
    return conversation


def _asked_before(
    documents: UserDocuments, caller: Caller, question: Question, conversation_id: str, message_id: str
) -> Asked | None:
    """What the first request with this key asked and was answered; None where there was none, or it died unanswered."""
    message = documents.message(conversation_id, message_id)
    if message is None:
        return None
    if message.text != question.text:
        raise idempotency.other_body()
    asked = Asked(caller.uid, conversation_id, message_id, question.text, question.locale)
    answered = documents.message(conversation_id, answer_id(message_id))
    if answered is not None:
        return replace(asked, earlier_answer=answered.text)
    if datetime.now(UTC) - message.created_at < RUNNING_AT_MOST:
        raise idempotency.still_running()
    return replace(asked, analyses=_analyses(documents, question.track_ids))


def answer_id(message_id: str) -> str:
    return f"{message_id}-answer"


def answer(asked: Asked) -> dict[str, Any]:
    """The answer, written into the conversation: the JSON of `POST /v1/chat`."""
    usage = asdict(TokenUsage("advisor", 0, 0))
    if asked.earlier_answer is not None:
        return _as_json(asked, asked.earlier_answer, usage)
    text = advisor.answer(asked.text, asked.analyses, locale=asked.locale, history=asked.history)
    as_service.add_answer(asked.conversation_id, answer_id(asked.message_id), text)
    events.track_usage("chat.answered", asked.uid, f"{asked.message_id}/answered", usage)
    return _as_json(asked, text, usage)


def _as_json(asked: Asked, text: str, usage: dict[str, Any]) -> dict[str, Any]:
    return {
        "conversationId": asked.conversation_id,
        "messageId": asked.message_id,
        "answer": text,
        "usage": usage,
    }


def _conversation(
    documents: UserDocuments, caller: Caller, question: Question, message_id: str
) -> tuple[Conversation, bool]:
    """The conversation that a question belongs to, and whether it is new.

    A track's own conversation is named after the track, one without a track after its first message.
    """
    if question.conversation_id is not None:
        found = documents.conversation(question.conversation_id)
        if found is None:
            raise Problem("not-found", "There is no such conversation of yours.")
        return found, False
    conversation_id = question.track_ids[0] if question.track_ids else message_id
    found = documents.conversation(conversation_id)
    if found is not None:
        return found, False
    return Conversation(conversation_id, (caller.uid,), question.track_ids), True


def _user_messages(documents: UserDocuments, conversation_id: str) -> tuple[str, ...]:
    return tuple(m.text for m in documents.latest_messages(conversation_id, HISTORY_MOST) if m.role == "user")


def _analyses(documents: UserDocuments, track_ids: Sequence[str]) -> tuple[NamedAnalysis, ...]:
    """The analyses that a question is about: the tracks named, then the first one's reference and last version."""
    tracks = [_own_track(documents, track_id) for track_id in track_ids]
    if not tracks:
        return ()
    first = tracks[0]
    roles: dict[str | None, Role] = {first.replaces_track_id: "previous", first.reference_track_id: "reference"}
    named = [_named(documents, track, roles.get(track.id, "track")) for track in tracks]
    for track_id in (first.reference_track_id, first.replaces_track_id):
        analysis = own_analysis(documents, track_id) if track_id and track_id not in track_ids else None
        track = documents.track(track_id) if track_id and analysis is not None else None
        if track is not None and analysis is not None:
            named.append(NamedAnalysis(track.filename, roles[track.id], analysis))
    return tuple(named)


def _own_track(documents: UserDocuments, track_id: str) -> Track:
    track = documents.track(track_id)
    if track is None:
        raise Problem("not-found", f"There is no track {track_id} of yours.")
    return track


def _named(documents: UserDocuments, track: Track, role: Role) -> NamedAnalysis:
    analysis = own_analysis(documents, track.id)
    if analysis is None:
        detail = f"The track {track.id} is {track.state}; ask again once it is done."
        raise Problem("conflict", detail, {"state": track.state})
    return NamedAnalysis(track.filename, role, analysis)


def _cause(documents: UserDocuments) -> Problem:
    """Why the rules denied a message."""
    profile, now = documents.profile(), datetime.now(UTC)
    if profile is None or profile.plan_status != "active":
        return Problem("plan-inactive", "Your plan is not active; renew it in your account, then ask again.")
    plan = effective(profile.plan, profile.plan_expires_at, now)
    if plan.messages_per_month is not None and documents.usage().messages >= plan.messages_per_month:
        renewal = renewal_after(now)
        detail = f"All {plan.messages_per_month} messages of this month are used; more from {renewal:%Y-%m-%d} on."
        return Problem("quota-used-up", detail, {"remaining": 0, "renewsAt": renewal.isoformat()})
    detail = f"At most one message in {THROTTLE_S} s and conversation; try again in a moment."
    return Problem("throttled", detail, headers={"Retry-After": str(THROTTLE_S)})
