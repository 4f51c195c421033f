"""Conversations: opened by the service after an analysis, carried on by the user under the rules."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

from assistant import advisor
from assistant.drafts import Position, position_of
from assistant.facts import NamedAnalysis, Role
from assistant.pieces import Picture, TokenUsage, Turn
from assistant.questions import Question
from assistant.threads import in_thread
from shared import events, idempotency, observations, telemetry
from shared.analyses import own_analysis
from shared.documents import as_service, requests
from shared.documents.as_user import Denied, Exists, UserDocuments
from shared.documents.records import Conversation, Message, Track, User
from shared.events import Event
from shared.identity import Caller
from shared.plans import Plan, effective, plans, renewal_after
from shared.problems import Problem

HISTORY_MOST = 5
THROTTLE_S = 2  # firestore.rules: at least this long between two messages of a conversation


@dataclass(frozen=True)
class Ask:
    """A request for an answer, named before anything is read: by which message, in which conversation."""

    caller: Caller
    question: Question
    conversation_id: str
    message_id: str
    repeats: bool = (
        False  # an Idempotency-Key or a Last-Event-ID decided the message's id: it may have been sent before
    )
    after: Position | None = None  # what of the answer the client has, where a Last-Event-ID tells
    arrived: float = field(default_factory=time.monotonic)  # when its request came
    keyed: bool = False  # an Idempotency-Key names the message


@dataclass(frozen=True)
class Asked:
    """A question that has been written and counted, and what is needed to answer it."""

    uid: str
    conversation_id: str
    message_id: str
    text: str
    locale: str | None
    analyses: tuple[NamedAnalysis, ...] = ()
    turns: tuple[Turn, ...] = ()  # the conversation's latest messages before this one, oldest first
    pictures: tuple[Picture, ...] = ()
    plan: Plan = field(default_factory=lambda: plans()["free"])
    asked_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    answer_by: float = math.inf  # by the monotonic clock: whatever writes the answer has ended by then
    repeated: bool = False  # an earlier request wrote it, and no answer is stored
    earlier_answer: str | None = None

    @property
    def history(self) -> tuple[str, ...]:
        """The user's own earlier messages."""
        return tuple(turn.text for turn in self.turns if turn.role == "user")


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


def named(caller: Caller, question: Question, headers: Mapping[str, str], arrived: float) -> Ask:
    """The request by its message and conversation. Raises Problem for a key or a Last-Event-ID that is none.

    A track's own conversation is named after the track, one without a track after its first message.
    """
    message_id, keyed = idempotency.document_id(headers, caller.uid, "message")
    after, repeats = None, keyed
    if "last-event-id" in headers:
        answered, after = position_of(headers["last-event-id"])
        if repeats and answered != message_id:
            raise idempotency.other_body()
        message_id, repeats = answered, True
    conversation_id = question.conversation_id or (question.track_ids[0] if question.track_ids else message_id)
    return Ask(caller, question, conversation_id, message_id, repeats, after, arrived, keyed)


async def ask(request: Ask) -> Asked:
    """Writes and counts the question as the user; where a key or a Last-Event-ID names it, once however often it comes.

    Raises Problem with the true cause of a refusal.
    """
    documents, question = UserDocuments(request.caller), request.question
    repeating = asyncio.ensure_future(_earlier(documents, request))
    try:
        conversation, profile, tracks, earlier = await asyncio.gather(
            _conversation(documents, request),
            in_thread(documents.profile),
            _own_tracks(documents, question.track_ids),
            repeating,
        )
    except Problem:
        await repeating  # that the key stands for another request is the truer cause
        raise
    if conversation is None and question.conversation_id is not None:
        raise Problem("not-found", "There is no such conversation of yours.")
    asked = _before_reading(request, profile, earlier)
    observations.plan(asked.uid, asked.plan.name)
    if asked.earlier_answer is not None:
        return asked
    if conversation is not None and not question.track_ids:
        tracks = await _own_tracks(documents, conversation.track_ids)
    turns, analyses = await asyncio.gather(
        _turns(documents, conversation, asked),
        in_thread(_analyses, documents, tracks),
    )
    asked = replace(asked, turns=turns, analyses=analyses)
    return asked if asked.repeated else await in_thread(_written, documents, conversation, request, asked)


async def keep(asked: Asked, text: str, usage: TokenUsage) -> str:
    """Writes the answer into the conversation, once. Gives the one that stands: an earlier one, where there is one."""
    stands, _ = await asyncio.gather(
        in_thread(as_service.add_answer, asked.conversation_id, answer_id(asked.message_id), text),
        in_thread(events.track_usage, "chat.answered", asked.uid, f"{asked.message_id}/answered", asdict(usage)),
    )
    return stands


async def stored(asked: Asked) -> str | None:
    """The answer, where another instance has written it meanwhile."""
    return await in_thread(as_service.answer, asked.conversation_id, answer_id(asked.message_id))


def answer_id(message_id: str) -> str:
    return f"{message_id}-answer"


@dataclass(frozen=True)
class _Earlier:
    question: Message
    answer: str | None


async def _earlier(documents: UserDocuments, request: Ask) -> _Earlier | None:
    """What an earlier request with this key asked and was answered. Raises Problem where it asked something else."""
    if not request.repeats:
        return None
    digest = request.question.digest
    bound, message, answered = await asyncio.gather(
        in_thread(_bound, request),
        in_thread(documents.message, request.conversation_id, request.message_id),
        in_thread(documents.message, request.conversation_id, answer_id(request.message_id)),
    )
    if bound not in (digest, None):
        raise idempotency.other_body()
    if message is None:
        return None
    if message.text != request.question.text:  # asked longer ago than digests are kept
        raise idempotency.other_body()
    return _Earlier(message, answered.text if answered is not None else None)


def _bound(request: Ask) -> str | None:
    """The digest of the request that the message stands for, which a key binds it to; a Last-Event-ID only asks."""
    uid, message_id = request.caller.uid, request.message_id
    if request.keyed:
        return requests.bind(uid, message_id, request.question.digest)
    return requests.bound_to(uid, message_id)


def _before_reading(request: Ask, profile: User | None, earlier: _Earlier | None) -> Asked:
    """What is known of a question before its conversation and its tracks are read."""
    question, now = request.question, datetime.now(UTC)
    plan = effective(profile.plan if profile else None, profile.plan_expires_at if profile else None, now)
    return Asked(
        request.caller.uid,
        request.conversation_id,
        request.message_id,
        question.text,
        question.locale,
        pictures=question.pictures,
        plan=plan,
        asked_at=earlier.question.created_at if earlier else now,
        repeated=earlier is not None,
        earlier_answer=earlier.answer if earlier else None,
    )


def _written(documents: UserDocuments, conversation: Conversation | None, request: Ask, asked: Asked) -> Asked:
    """The question, written and counted in one batch. Raises Problem with the true cause of a refusal."""
    new = conversation is None
    into = conversation or Conversation(request.conversation_id, (asked.uid,), request.question.track_ids)
    try:
        documents.add_message(into, asked.message_id, asked.text, new=new)
    except (Denied, Exists) as error:
        same = documents.message(into.id, asked.message_id) if request.repeats else None
        if same is not None and same.text == asked.text:  # sent twice at once, to two instances
            return replace(asked, asked_at=same.created_at, repeated=True)
        opened = documents.conversation(into.id) if new else None
        if opened is None:
            raise _cause(documents, new=new) from error
        return _written(documents, opened, request, asked)  # opened by the service meanwhile
    return asked


async def _conversation(documents: UserDocuments, request: Ask) -> Conversation | None:
    if request.conversation_id == request.message_id and not request.repeats:
        return None  # named after a message that is not there yet
    return await in_thread(documents.conversation, request.conversation_id)


async def _turns(documents: UserDocuments, conversation: Conversation | None, asked: Asked) -> tuple[Turn, ...]:
    """The latest messages before the question, of both, oldest first."""
    if conversation is None:
        return ()
    before = asked.asked_at if asked.repeated else None
    messages = await in_thread(documents.latest_messages, conversation.id, HISTORY_MOST, before=before)
    return tuple(Turn(message.role, message.text) for message in messages)


async def _own_tracks(documents: UserDocuments, track_ids: Sequence[str]) -> Sequence[Track]:
    return await asyncio.gather(*(in_thread(_own_track, documents, track_id) for track_id in track_ids))


def _own_track(documents: UserDocuments, track_id: str) -> Track:
    track = documents.track(track_id)
    if track is None:
        raise Problem("not-found", f"There is no track {track_id} of yours.")
    return track


def _analyses(documents: UserDocuments, tracks: Sequence[Track]) -> tuple[NamedAnalysis, ...]:
    """The analyses that a question is about: the tracks named, then the first one's reference and last version."""
    if not tracks:
        return ()
    first, named_ids = tracks[0], {track.id for track in tracks}
    roles: dict[str | None, Role] = {first.replaces_track_id: "previous", first.reference_track_id: "reference"}
    named = [_named(documents, track, roles.get(track.id, "track")) for track in tracks]
    for track_id in (first.reference_track_id, first.replaces_track_id):
        analysis = own_analysis(documents, track_id) if track_id and track_id not in named_ids else None
        track = documents.track(track_id) if track_id and analysis is not None else None
        if track is not None and analysis is not None:
            named.append(NamedAnalysis(track.filename, roles[track.id], analysis))
    return tuple(named)


def _named(documents: UserDocuments, track: Track, role: Role) -> NamedAnalysis:
    analysis = own_analysis(documents, track.id)
    if analysis is None:
        detail = f"The track {track.id} is {track.state}; ask again once it is done."
        raise Problem("conflict", detail, {"state": track.state})
    return NamedAnalysis(track.filename, role, analysis)


def _cause(documents: UserDocuments, *, new: bool) -> Problem:
    """Why the rules denied a message."""
    profile, now = documents.profile(), datetime.now(UTC)
    if profile is None or profile.plan_status != "active":
        return Problem("plan-inactive", "Your plan is not active; renew it in your account, then ask again.")
    plan = effective(profile.plan, profile.plan_expires_at, now)
    if plan.messages_per_month is not None and documents.usage().messages >= plan.messages_per_month:
        renewal = renewal_after(now)
        detail = f"All {plan.messages_per_month} messages of this month are used; more from {renewal:%Y-%m-%d} on."
        return Problem("quota-used-up", detail, {"remaining": 0, "renewsAt": renewal.isoformat()})
    if new:
        return Problem("not-found", "There is no such conversation of yours.")  # it is somebody else's
    detail = f"At most one message in {THROTTLE_S} s and conversation; try again in a moment."
    return Problem("throttled", detail, headers={"Retry-After": str(THROTTLE_S)})
