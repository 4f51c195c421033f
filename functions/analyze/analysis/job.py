"""The work of analyze: a message is a token that says "one more job waits"; the best job is taken, not the message's.

A token takes one job after another until nothing can be taken. No token is lost: one that finds nothing is acknowledged
only where the workers at it will look again themselves. Where only time helps (a job that waits for its next attempt, a
worker that has fallen silent), it waits a little, then comes again. A worker near the end of its function's time passes
its token on.
What is lost all the same, by a wiped Redis say, the sweep announces again.

The truth is Firestore: there a track is leased, moved and ended, each by a precondition. Without Redis a token is worth
its own track, under that lease; only the fair order is lost.
"""

from __future__ import annotations

import random
import secrets
import time

from analysis import lease as leases
from analysis.lease import job_of
from analysis.processing import announce, announce_queued, process
from shared import telemetry, upstash, waiting
from shared.documents import as_service
from shared.documents.records import Track
from shared.events import Event, Passing
from shared.waiting import Idle, Unavailable, queue

WORK_UNTIL_S = 240.0  # of the function's 540 s: whoever has worked for longer takes no further job
FIRST_BACKOFF_S = 10.0
PATIENCE_S = 12.0  # a little more than a lease
POLL_S = 1.0
REDIS_PATIENCE_S = 2.0  # no user waits for a worker


def run(event: Event) -> None:
    """The work of one token. However often it comes, each track is analysed once.

    Raises Passing where the token must come again.
    """
    own = as_service.track(event.data["trackId"])
    if own is not None and own.state == "awaiting-upload":
        raise Passing("the track is not queued yet")
    try:
        if own is not None:
            _bring_in(own)
        _work_off()
    except Unavailable as error:
        telemetry.warning(f"without Redis, the token's own track is analysed: {error}")
        if own is not None:
            _alone(own)


def _bring_in(own: Track) -> None:
    """The token's own track: into the order, or told again where the delivery before this one may have died."""
    if own.state == "done":
        announce(own)
    elif not own.ended and leases.seconds_held(own) == 0:
        with upstash.within(REDIS_PATIENCE_S):
            queue().add_all([job_of(own)])


def _work_off() -> None:
    """Takes and works until nothing can be taken, or the time is up. Raises Passing, Unavailable."""
    started = time.monotonic()
    while True:
        holder = secrets.token_hex(8)
        taken = _next(holder)
        if taken is None:
            return
        _work(taken, holder)
        if time.monotonic() - started > WORK_UNTIL_S:
            _pass_on()
            return


def _next(holder: str) -> waiting.Taken | None:
    """The next job, which is waited for a little where only time helps. Raises Passing where it takes longer."""
    patience_ends = time.monotonic() + PATIENCE_S
    while isinstance(found := _take(holder), Idle):
        if found.comes_in_s is None:
            return None
        if time.monotonic() + found.comes_in_s > patience_ends:
            raise Passing("a job waits for its time")
        time.sleep(min(POLL_S, found.comes_in_s))  # something new may come meanwhile
    return found


def _take(holder: str) -> waiting.Taken | Idle:
    with upstash.within(REDIS_PATIENCE_S):
        try:
            return queue().take(holder)
        except Unavailable:
            return queue().take(holder)  # where only the answer was lost, this is the same job


def _pass_on() -> None:
    """The token goes to another worker, named by the track that waits longest."""
    for track_id in queue().entries():
        track = as_service.track(track_id)
        if track is not None and track.state == "queued":
            announce_queued(track)
            return


def _alone(own: Track) -> None:
    """The token's own track, without the order."""
    track = as_service.track(own.id)
    if track is None or track.ended:
        return
    if leases.seconds_held(track) > 0:
        raise Passing("another worker is at it")
    with telemetry.tracing(telemetry.continued(track.traceparent), "analyse"):
        process(track, secrets.token_hex(8))


def _work(taken: waiting.Taken, holder: str) -> None:
    """One job that the order gave. What fails in passing is put back with a delay, and raised."""
    try:
        track = as_service.track(taken.track_id)
        if track is None or track.ended:
            if track is not None and track.state == "done":
                announce(track)  # whoever finished it may have died before telling
            queue().cancel(taken.track_id)
            return
        held_s = leases.seconds_held(track)
        if held_s > 0:
            queue().retry(track.id, holder, held_s + 1, counts=False)
            return
        with telemetry.tracing(telemetry.continued(track.traceparent), "analyse"):
            process(track, holder)
    except Exception:
        queue().retry(taken.track_id, holder, _backoff_s(taken.attempt))
        raise


def _backoff_s(attempt: int) -> float:
    """Doubling from 10 s, with up to half as much again, so that what failed together does not come back together."""
    return float(FIRST_BACKOFF_S * 2 ** (attempt - 1) * random.uniform(1.0, 1.5))  # noqa: S311  # not a secret
