"""Several files on their way at once, as a producer's app would do it: two at a time, the most urgent first."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.client import ENDED, BrokenLine, Client, Refused
from local.pending import Pending, Store

AT_ONCE = 2
POLL_EVERY_S = 0.2  # one status request in so long, whatever the number of tracks: half of what a user may ask
ANALYSIS_DEADLINE_S = 600.0


@dataclass
class Transfer:
    """One file on its way. What it shows is read by the screen while a thread writes it."""

    pending: Pending
    state: str = "waiting"  # then announcing, sending, and the track's own states
    sent_bytes: int = 0
    progress: int = 0  # of the analysis, 0 to 100
    queue: dict[str, Any] | None = None
    fault: str | None = None  # why it ended without a track that was analysed
    status: dict[str, Any] = field(default_factory=dict)  # the last one of its track

    @property
    def name(self) -> str:
        return Path(self.pending.path).name

    @property
    def track_id(self) -> str | None:
        return self.pending.upload["trackId"] if self.pending.upload else None

    @property
    def ended(self) -> bool:
        return self.fault is not None or self.state in ENDED

    @property
    def done(self) -> bool:
        return self.state == "done"


def in_order(transfers: Sequence[Transfer]) -> list[Transfer]:
    """The highest priority first, then the oldest."""
    return sorted(transfers, key=lambda transfer: (-transfer.pending.priority, transfer.pending.added_at))


def run(client: Callable[[], Client], store: Store, transfers: Sequence[Transfer], show: Callable[[], None]) -> None:
    """Uploads all and waits until every track has ended; what ends badly says why and holds nothing up.

    client: makes a client for a thread. show: called again and again, to draw what the transfers say.
    Interrupted, it leaves everything as a later run can go on with it; the threads die with the process.
    """
    waiting = deque(in_order(transfers))

    def work() -> None:
        own = client()
        while True:
            try:
                transfer = waiting.popleft()
            except IndexError:
                return
            _through(own, store, transfer)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(AT_ONCE, len(waiting)))]
    for thread in threads:
        thread.start()
    _watch(client(), store, transfers, show)


def _through(client: Client, store: Store, transfer: Transfer) -> None:
    """Announces a file and sends it, or goes on where an earlier run stopped."""
    try:
        begun = _begun_earlier(client, store, transfer)
        if transfer.pending.upload is None:
            _announce(client, store, transfer)
        if not begun or transfer.status["state"] == "awaiting-upload":
            transfer.state = "sending"
            _send(client, transfer, resume=begun)
        transfer.state, transfer.sent_bytes = "sent", transfer.pending.content.size_bytes
    except Refused as error:
        transfer.fault = str(error)
        if not _is_passing(error):
            store.remove(transfer.pending)  # there is nothing to go on with
    except BrokenLine as error:
        transfer.fault = str(error)
    except OSError as error:  # those of requests too
        transfer.fault = _without_address(error)
    except Exception as error:
        transfer.fault = f"an unforeseen error ({type(error).__name__})"
        raise


def _begun_earlier(client: Client, store: Store, transfer: Transfer) -> bool:
    """Whether there is an upload to go on with; one that came to nothing is forgotten, and announced anew."""
    if transfer.track_id is None:
        return False
    try:
        transfer.status = client.status(transfer.track_id)
    except Refused as error:
        if error.problem.get("code") != "not-found":
            raise
        transfer.status = {"state": "expired"}
    if transfer.status["state"] in ENDED - {"done"}:
        _begin_anew(store, transfer)
        return False
    return True


def _begin_anew(store: Store, transfer: Transfer) -> None:
    old = transfer.pending
    transfer.pending = Pending(old.path, old.content, old.service, old.uid, old.priority, old.added_at)
    store.save(transfer.pending)


def _announce(client: Client, store: Store, transfer: Transfer) -> None:
    """Announces a file; told to come later, it does. A repetition, by whatever process, has the same key."""
    transfer.state = "announcing"
    pending = transfer.pending
    sums = {"sha256": pending.content.sha256, "crc32c": pending.content.crc32c}
    while True:
        try:
            pending.upload = client.create_upload(Path(pending.path), pending.key, **sums)
            break
        except Refused as error:
            if error.retry_after_s is None:
                raise
            time.sleep(error.retry_after_s)
    store.save(pending)


def _send(client: Client, transfer: Transfer, *, resume: bool) -> None:
    def advance(sent_bytes: int) -> None:
        transfer.sent_bytes = sent_bytes

    upload = transfer.pending.upload
    assert upload is not None  # noqa: S101  # announced before
    client.send(upload, Path(transfer.pending.path), advance, resume=resume)


def _watch(client: Client, store: Store, transfers: Sequence[Transfer], show: Callable[[], None]) -> None:
    """Asks for the tracks whose bytes are sent, one after the other, until all have ended."""
    sent_at: dict[int, float] = {}
    turn = 0
    while not all(transfer.ended for transfer in transfers):
        show()
        time.sleep(POLL_EVERY_S)
        asked = [t for t in transfers if not t.ended and t.state not in ("waiting", "announcing", "sending")]
        if not asked:
            continue
        transfer = asked[turn % len(asked)]
        turn += 1
        _look(client, transfer)
        if transfer.ended:
            store.remove(transfer.pending)
        elif time.monotonic() - sent_at.setdefault(id(transfer), time.monotonic()) > ANALYSIS_DEADLINE_S:
            transfer.fault = f"the track was not analysed within {ANALYSIS_DEADLINE_S:.0f} s"
    show()


def _look(client: Client, transfer: Transfer) -> None:
    assert transfer.track_id is not None  # noqa: S101  # announced before
    try:
        status = client.status(transfer.track_id)
    except Refused as error:
        if error.retry_after_s is None:
            transfer.fault = str(error)
        else:
            time.sleep(error.retry_after_s)
        return
    except OSError:
        return  # asked again at its next turn
    transfer.status, transfer.progress, transfer.queue = status, status["progress"], status["queue"]
    if status["state"] != "awaiting-upload":  # the storage event is on its way
        transfer.state = status["state"]
    if status["state"] in ENDED - {"done"}:
        problem = status["problem"] or {"title": f"The track is {status['state']}"}
        transfer.fault = str(Refused(problem))


def _is_passing(error: Refused) -> bool:
    """Whether the same may be asked again later: a fault of the service, or one that it gives a time for."""
    return error.retry_after_s is not None or int(error.problem.get("status", 0)) >= 500


def _without_address(error: OSError) -> str:
    """What requests say of their errors holds the session's address."""
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return f"the service does not answer ({type(error).__name__})"
