"""`POST /v1/uploads`: as the end user, the track is created and counted in one batch; then storage opens a session."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from shared import events
from shared.documents import as_service
from shared.documents.as_user import Denied, UserDocuments
from shared.documents.records import NewTrack, Tier, Usage, User
from shared.identity import Caller
from shared.plans import Plan, effective, renewal_after
from shared.problems import Problem
from uploads import sessions
from uploads.accept import Wanted

ATTEMPTS = 3  # the rules may deny because another request was counted first: then the facts are read again


def create(caller: Caller, wanted: Wanted, *, region: str | None, origin: str | None) -> dict[str, Any]:
    """The answer of 201: where to send the bytes. Raises Problem with the true cause of a refusal."""
    documents = UserDocuments(caller)
    _check_own_tracks(documents, wanted)
    track = _counted_track(caller, documents, wanted)
    now = datetime.now(UTC)
    try:
        session = sessions.open_session(
            caller.uid, track.id, track.size_bytes, track.content_type, sessions.region_for(region), origin, now
        )
        as_service.put_session(track.id, session)
    except Exception as error:
        problem = error if isinstance(error, Problem) else Problem("unavailable", "The upload could not be opened.")
        _give_back(track.id, problem)
        raise problem from error
    events.track_usage("upload.created", caller.uid, f"{track.id}/created", {"sizeBytes": track.size_bytes})
    return {
        "trackId": track.id,
        "uploadUrl": session.url,
        "region": session.region,
        "expiresAt": session.expires_at.isoformat(),
        "chunkSizeBytes": sessions.CHUNK_BYTES,
        "tier": track.tier,
    }


def _check_own_tracks(documents: UserDocuments, wanted: Wanted) -> None:
    for key, track_id in (
        ("referenceTrackId", wanted.reference_track_id),
        ("replacesTrackId", wanted.replaces_track_id),
    ):
        if track_id is not None and documents.track(track_id) is None:
            raise Problem("not-found", f"{key} names no track of yours.")


def _counted_track(caller: Caller, documents: UserDocuments, wanted: Wanted) -> NewTrack:
    for _ in range(ATTEMPTS):
        now = datetime.now(UTC)
        plan = _active_plan(_profile(documents, caller), now)
        check_size(wanted.size_bytes, plan)
        track = _new_track(caller, wanted, choose_tier(plan, documents.usage(), now))
        try:
            documents.create_track(track)
        except Denied:
            continue
        return track
    raise Problem("forbidden", "The upload was refused; if it stays so, write to us.")


def _profile(documents: UserDocuments, caller: Caller) -> User:
    profile = documents.profile()
    if profile is None or profile.plan is None:
        as_service.create_free_profile(caller.uid)
        profile = documents.profile()
    if profile is None:
        raise Problem("plan-inactive", "You have no profile yet; sign up first.")
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


def _new_track(caller: Caller, wanted: Wanted, tier: Tier) -> NewTrack:
    return NewTrack(
        id=secrets.token_urlsafe(15),
        uid=caller.uid,
        filename=wanted.filename,
        size_bytes=wanted.size_bytes,
        content_type=wanted.content_type,
        mode=wanted.mode,
        genre=wanted.genre,
        reference_track_id=wanted.reference_track_id,
        replaces_track_id=wanted.replaces_track_id,
        sha256=wanted.sha256,
        crc32c=wanted.crc32c,
        tier=tier,
    )


def _give_back(track_id: str, problem: Problem) -> None:
    track = as_service.track(track_id)
    if track is not None:
        as_service.end_without_analysis(track, "failed", problem)
