"""`POST /v1/uploads`: as the end user, the track is created and counted in one batch; then storage opens a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from shared import events, idempotency, observations
from shared.documents import account, as_service
from shared.documents.as_user import Denied, Exists, UserDocuments
from shared.documents.records import NewTrack, Session, Tier, Track, Usage, User, Wanted
from shared.identity import Caller
from shared.plans import Plan, effective, renewal_after
from shared.problems import Problem
from uploads import accept, leases, sessions
from uploads.placement import order_now

ATTEMPTS = 3  # the rules may deny because another request was counted first: then the facts are read again
NOT_OPENED = "The upload could not be opened; nothing was counted. Try again in a minute."
RUNNING_AT_MOST = timedelta(seconds=30)  # the function's own timeout


@dataclass(frozen=True)
class Origin:
    """Where an upload comes from."""

    region: str | None  # what the client asks for
    country: str | None
    web: str | None  # the browser's origin


def create(caller: Caller, body: Mapping[str, Any], track_id: str, *, keyed: bool, origin: Origin) -> dict[str, Any]:
    """The answer of 201: where to send the bytes. Raises Problem with the true cause of a refusal.

    body: the announcement, as it was sent; see accept.wanted.
    keyed: an Idempotency-Key decided the track's id, so the track may be there from the first request.
    """
    try:
        return _created(caller, accept.wanted(body), track_id, keyed, origin)
    except Problem:
        observations.count("uploads.refused")
        raise


def _created(caller: Caller, wanted: Wanted, track_id: str, keyed: bool, origin: Origin) -> dict[str, Any]:
    documents = UserDocuments(caller)
    earlier = documents.track(track_id) if keyed else None
    if earlier is None:
        try:
            tier = _create_counted(caller, documents, wanted, track_id)
        except Exists:
            earlier = documents.track(track_id)
            if earlier is None:
                raise Problem("conflict", "This Idempotency-Key cannot be used; take another one.") from None
    if earlier is not None:
        tier = earlier.tier
        session = _earlier_session(earlier, wanted)
        if session is not None:
            return _answer(track_id, session, tier)
    return _answer(track_id, _opened(caller, wanted, track_id, origin), tier)


def _create_counted(caller: Caller, documents: UserDocuments, wanted: Wanted, track_id: str) -> Tier:
    _check_own_tracks(documents, wanted)
    for _ in range(ATTEMPTS):
        now = datetime.now(UTC)
        plan = _active_plan(_profile(documents, caller), now)
        observations.plan(caller.uid, plan.name)
        check_size(wanted.size_bytes, plan)
        tier = choose_tier(plan, documents.usage(), now)
        try:
            documents.create_track(NewTrack(id=track_id, uid=caller.uid, tier=tier, **asdict(wanted)))
        except Denied:
            if documents.track(track_id) is not None:  # a repetition at the same moment was faster
                raise Exists from None
            continue
        return tier
    raise Problem("forbidden", "The upload was refused; if it stays so, write to us.")


def _earlier_session(track: Track, wanted: Wanted) -> Session | None:
    """The session that the first request with this key opened; None where it died before it could.

    Raises Problem for another body, or while the first request is still running.
    """
    if any(getattr(track, key) != value for key, value in asdict(wanted).items()):
        raise idempotency.other_body()
    if track.problem is not None:
        raise Problem(str(track.problem["code"]), str(track.problem["detail"]))
    if track.state == "cancelled":
        raise Problem("conflict", "The upload with this Idempotency-Key was cancelled; take another key.")
    session, now = as_service.session(track.id), datetime.now(UTC)
    if session is None and now - track.created_at < RUNNING_AT_MOST:
        raise idempotency.still_running()
    if session is not None and session.expires_at <= now and track.state == "awaiting-upload":
        raise Problem("upload-expired", sessions.EXPIRED)
    return session


def _opened(caller: Caller, wanted: Wanted, track_id: str, origin: Origin) -> Session:
    now = datetime.now(UTC)
    try:
        regions = order_now(origin.region, origin.country, track_id)
        session = sessions.open_session(caller.uid, track_id, wanted, regions, origin.web, now)
        as_service.put_session(track_id, session)
    except Exception as error:
        _take_back(track_id)
        raise error if isinstance(error, Problem) else Problem("unavailable", NOT_OPENED) from error
    leases.opened(track_id)
    observations.count("uploads.created")
    events.track_usage("upload.created", caller.uid, f"{track_id}/created", {"sizeBytes": wanted.size_bytes})
    return session


def _answer(track_id: str, session: Session, tier: Tier) -> dict[str, Any]:
    return {
        "trackId": track_id,
        "uploadUrl": session.url,
        "region": session.region,
        "expiresAt": session.expires_at.isoformat(),
        "chunkSizeBytes": sessions.CHUNK_BYTES,
        "tier": tier,
    }


def _check_own_tracks(documents: UserDocuments, wanted: Wanted) -> None:
    named = {"referenceTrackId": wanted.reference_track_id, "replacesTrackId": wanted.replaces_track_id}
    for key, track_id in named.items():
        if track_id is not None and documents.track(track_id) is None:
            raise Problem("not-found", f"{key} names no track of yours.")


def _profile(documents: UserDocuments, caller: Caller) -> User:
    profile = documents.profile()
    if (profile is None or profile.plan is None) and account.deletion(caller.uid) is None:
        as_service.give_free_plan(caller.uid, profile)  # a newcomer
        profile = documents.profile()
    if profile is None:
        raise Problem("plan-inactive", "This account was deleted; sign up anew.")
    return profile


def _active_plan(profile: User, now: datetime) -> Plan:
    if profile.plan_status != "active":
        raise Problem("plan-inactive", "Your plan is not active; renew it in your account, then upload again.")
    return effective(profile.plan, profile.plan_expires_at, now)


def check_size(size_bytes: int, plan: Plan) -> None:
    """Raises Problem `too-large` for more than the plan takes."""
    if size_bytes > plan.max_upload_bytes:
        most = plan.max_upload_bytes
        detail = (
            f"The file has {size_bytes / 1e6:.1f} MB; at most {most / 1e6:.0f} MB are taken. "
            "Export it as FLAC, or cut silence at its ends."
        )
        raise Problem("too-large", detail, {"maxBytes": most})


def choose_tier(plan: Plan, usage: Usage, now: datetime) -> Tier:
    """Full while the month's quota lasts, then reduced or, by plan, refused. Raises Problem `quota-used-up`."""
    if usage.analyses < plan.analyses_per_month:
        return "full"
    if plan.after_limit == "reduced":
        return "reduced"
    renewal = renewal_after(now)
    detail = f"All {plan.analyses_per_month} analyses of this month are used; more from {renewal:%Y-%m-%d} on."
    raise Problem("quota-used-up", detail, {"remaining": 0, "renewsAt": renewal.isoformat()})


def _take_back(track_id: str) -> None:
    """An upload that could not be opened leaves nothing, so that its Idempotency-Key may be tried again."""
    track = as_service.track(track_id)
    if track is not None and track.state == "awaiting-upload":
        as_service.take_back(track)
