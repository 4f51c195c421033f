"""Resumable sessions: bytes arrive in any number of requests, and become an object once, whole, or never.

https://cloud.google.com/storage/docs/resumable-uploads. Of a session's id only a hash is kept: the id is a credential.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from local.storage.errors import ApiError, invalid
from local.storage.objects import Conditions, NewObject, Objects, Resource, discard
from local.storage.ranges import (
    QUANTUM_BYTES,
    Chunk,
    Query,
    SizeViolation,
    check_chunk,
    is_final,
    length_mismatch,
)
from local.storage.receiving import Body, ByteFile, CountedBody, blocks
from local.storage.state import Clock, State

LIFE_S = 7 * 24 * 3600.0
KEPT_S = 2 * LIFE_S  # so long an ended session is remembered: 410 rather than 404


@dataclass(frozen=True)
class Session:
    """What is kept of a session. `ended` is how, and `resource` the object of one that is done."""

    new: NewObject
    conditions: Conditions
    declared_bytes: int | None
    origin: str | None
    ended: Literal["", "done", "cancelled", "failed"] = ""
    resource: Resource | None = None


@dataclass
class _Writing:
    """The bytes of an open session. A later request takes over from an earlier one that is still sending.

    Between requests these are whole quanta, as Google keeps them; what else a request that did not get to the end of
    the upload has brought is dropped, for which the file is read again.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    turn: int = 0
    file: ByteFile = field(init=False)  # there once it has been recovered

    @property
    def persisted(self) -> int:
        return self.file.size // QUANTUM_BYTES * QUANTUM_BYTES

    async def round_down(self) -> None:
        """Inside the lock."""
        if self.file.size != self.persisted:
            self.file = await asyncio.to_thread(ByteFile.recover, self.file.path, QUANTUM_BYTES)


@dataclass(frozen=True)
class Progress:
    """What storage has: `persisted` bytes, and the object once it is whole."""

    persisted: int
    resource: Resource | None = None


class Sessions:
    def __init__(self, state: State, objects: Objects, clock: Clock) -> None:
        self._state = state
        self._objects = objects
        self._clock = clock
        self._writing: dict[str, _Writing] = {}

    def create(self, new: NewObject, conditions: Conditions, declared_bytes: int | None, origin: str | None) -> str:
        """Opens a session and gives its id. Raises ApiError 400, 404, 412."""
        self._objects.check_place(new.bucket, new.name)
        conditions.check(self._objects.find(new.bucket, new.name))
        session_id = secrets.token_urlsafe(48)
        path = self._state.new_file()
        record = _record(Session(new, conditions, declared_bytes, origin))
        row = (_key(session_id), self._clock(), path.name, record)
        self._state.db.execute("INSERT INTO sessions VALUES (?, ?, ?, ?)", row)
        return session_id

    def origin(self, session_id: str) -> str | None:
        """The browser origin that the session was opened for. Raises ApiError 404."""
        return self._load(session_id)[0].origin

    async def query(self, session_id: str, query: Query) -> Progress:
        """How far the upload is; one that has exactly the bytes it is said to have becomes the object."""
        session, key, file = self._open(session_id)
        if session.resource is not None:
            return Progress(int(session.resource["size"]), session.resource)
        writing = await self._recovered(session_id, key, file)
        if query.total is None:
            return Progress(writing.persisted)
        if session.declared_bytes not in (None, query.total):
            raise invalid(f"X-Upload-Content-Length said {session.declared_bytes} byte(s), not {query.total}.")
        async with writing.lock:
            if writing.file.size != query.total:
                return Progress(writing.persisted)
            return self._finalise(key, self._still_open(session_id), writing.file, {})

    async def write(
        self, session_id: str, chunk: Chunk, content_length: int | None, body: Body, hashes: Mapping[str, str]
    ) -> Progress:
        """Takes a chunk. Raises ApiError, and Broken where the connection ended before the chunk did."""
        session, key, file = self._open(session_id)
        if session.resource is not None:
            return Progress(int(session.resource["size"]), session.resource)
        writing = await self._recovered(session_id, key, file)
        async with writing.lock:
            writing.turn += 1
            turn = writing.turn
            await writing.round_down()
        try:
            check_chunk(chunk, content_length, writing.file.size, session.declared_bytes)
            end = await self._receive(session_id, session, chunk, body, writing, turn)
        except SizeViolation:
            if content_length != 0:
                await self._end(key, "failed")
            raise
        except BaseException:
            async with writing.lock:
                if writing.turn == turn and self._writing.get(key) is writing:
                    await writing.round_down()
            raise
        async with writing.lock:
            current = self._still_open(session_id)
            if not is_final(chunk, session.declared_bytes) or writing.file.size != end:
                if writing.turn == turn:
                    await writing.round_down()
                return Progress(writing.persisted)
            return self._finalise(key, current, writing.file, hashes)

    async def cancel(self, session_id: str) -> None:
        """Raises ApiError for a session that has ended already."""
        session, key, _ = self._open(session_id)
        if session.ended == "done":
            raise ApiError(404, "notFound", "The upload is complete; there is nothing to cancel.")
        await self._end(key, "cancelled")

    async def sweep(self) -> None:
        """Drops the bytes of sessions that have expired, and forgets those that ended long ago."""
        now = self._clock()
        rows = self._state.db.execute(
            "SELECT key FROM sessions WHERE created <= ? AND file IS NOT NULL", (now - LIFE_S,)
        ).fetchall()
        for (key,) in rows:
            await self._end(key, "failed")
        self._state.db.execute("DELETE FROM sessions WHERE created <= ?", (now - KEPT_S,))

    async def _receive(
        self, session_id: str, session: Session, chunk: Chunk, body: Body, writing: _Writing, turn: int
    ) -> int:
        """Appends the part of a chunk that is new; gives the offset behind the chunk."""

        def check_count(count: int) -> None:
            end = chunk.start + count
            if session.declared_bytes is not None and end > session.declared_bytes:
                raise SizeViolation(session.declared_bytes, f"at least {end}")
            if chunk.end is not None and end > chunk.end:
                raise length_mismatch(chunk, count)

        counted = CountedBody(body, check_count)
        async for block in blocks(counted, skip=writing.file.size - chunk.start):
            async with writing.lock:
                if self._writing.get(_key(session_id)) is not writing:
                    self._still_open(session_id)
                if writing.turn != turn:
                    raise ApiError(503, "backendError", "A later request has taken over this upload.")
                await asyncio.to_thread(writing.file.append, block)
        end = chunk.start + counted.count
        if chunk.end is not None and end < chunk.end:
            raise length_mismatch(chunk, counted.count)
        if chunk.end is None and session.declared_bytes is not None and end != session.declared_bytes:
            raise SizeViolation(session.declared_bytes, str(end))
        return end

    def _finalise(self, key: str, session: Session, file: ByteFile, hashes: Mapping[str, str]) -> Progress:
        """The bytes become the object and the session ends, in one transaction. Raises ApiError 400, 412."""
        try:
            file.check({**session.new.hashes, **hashes})
            before = self._objects.find(session.new.bucket, session.new.name)
            with self._state.transaction():
                resource = self._objects.insert(session.new, file, session.conditions)
                self._keep(key, replace(session, ended="done", resource=resource))
        except ApiError:
            self._close(key, "failed")
            raise
        self._writing.pop(key, None)
        discard(before)
        return Progress(file.size, resource)

    async def _end(self, key: str, ended: Literal["cancelled", "failed"]) -> None:
        """Ends a session once what is being written to it is written."""
        writing = self._writing.setdefault(key, _Writing())
        async with writing.lock:
            self._close(key, ended)

    def _close(self, key: str, ended: Literal["cancelled", "failed"]) -> None:
        self._writing.pop(key, None)
        record, file = self._state.db.execute("SELECT record, file FROM sessions WHERE key = ?", (key,)).fetchone()
        if file is not None:
            self._keep(key, replace(_session(record), ended=ended))
            self._state.path(file).unlink(missing_ok=True)

    def _keep(self, key: str, session: Session) -> None:
        """An ended session names no bytes any more."""
        self._state.db.execute("UPDATE sessions SET file = NULL, record = ? WHERE key = ?", (_record(session), key))

    def _load(self, session_id: str) -> tuple[Session, str | None, float]:
        row = self._state.db.execute(
            "SELECT record, file, created FROM sessions WHERE key = ?", (_key(session_id),)
        ).fetchone()
        if row is None:
            raise ApiError(404, "notFound", "There is no such upload session.")
        return _session(row[0]), row[1], row[2]

    def _open(self, session_id: str) -> tuple[Session, str, str]:
        """A session that takes bytes or is done. Raises ApiError 404, 410, 499."""
        session, file, created = self._load(session_id)
        if session.ended == "cancelled":
            raise ApiError(499, "cancelled", "The upload was cancelled.")
        if session.ended == "failed" or created <= self._clock() - LIFE_S:
            raise ApiError(410, "gone", "The upload session has ended without an object; start a new one.")
        return session, _key(session_id), file or ""

    def _still_open(self, session_id: str) -> Session:
        """The session after waiting for something: it may have ended meanwhile."""
        session, _, _ = self._open(session_id)
        if session.ended:
            raise ApiError(503, "backendError", "Another request has completed this upload.")
        return session

    async def _recovered(self, session_id: str, key: str, file: str) -> _Writing:
        """The bytes of an open session, read from the disk where an earlier process has received them."""
        writing = self._writing.setdefault(key, _Writing())
        async with writing.lock:
            if not hasattr(writing, "file"):
                self._still_open(session_id)
                writing.file = await asyncio.to_thread(ByteFile.recover, self._state.path(file), QUANTUM_BYTES)
        return writing


def _key(session_id: str) -> str:
    return hashlib.sha256(session_id.encode()).hexdigest()


def _record(session: Session) -> str:
    return json.dumps(asdict(session))


def _session(record: str) -> Session:
    fields: dict[str, Any] = json.loads(record)
    fields["new"] = NewObject(**fields["new"])
    fields["conditions"] = Conditions(**fields["conditions"])
    return Session(**fields)
