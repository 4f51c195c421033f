"""Resumable sessions without a network: whatever order requests come in, an object is whole or not there."""

import asyncio
import itertools
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.storage.errors import ApiError
from local.storage.objects import Conditions, NewObject, Objects
from local.storage.ranges import QUANTUM_BYTES, Query, parse_content_range
from local.storage.receiving import Broken
from local.storage.sessions import KEPT_S, LIFE_S, Progress, Sessions
from local.storage.state import State

DATA = bytes(itertools.islice(itertools.cycle(range(251)), 2 * QUANTUM_BYTES + 77))
NEW = NewObject("b", "name")


class Pieces:
    """A body in pieces; it breaks off after them, or asks `between` to run before each."""

    def __init__(
        self, data: bytes, *, broken: bool = False, between: Callable[[], Coroutine[None, None, None]] | None = None
    ) -> None:
        self._pieces = [data[start : start + 100_000] for start in range(0, len(data), 100_000)]
        self._broken = broken
        self._between = between

    async def readany(self) -> bytes:
        if self._between is not None:
            await self._between()
        if self._pieces:
            return self._pieces.pop(0)
        if self._broken:
            raise Broken
        return b""


class Storage:
    """Sessions over a folder, at a time that the test sets."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_800_000_000.0
        self._folder = folder
        self.restart()

    def restart(self) -> None:
        self.state = State(self._folder)
        self.objects = Objects(self.state, frozenset("b"), "http://x", lambda: self.now)
        self.sessions = Sessions(self.state, self.objects, lambda: self.now)

    def create(self, declared: int | None = None, conditions: Conditions = Conditions()) -> str:  # noqa: B008
        return self.sessions.create(NEW, conditions, declared, None)

    async def put(
        self, session: str, start: int, end: int, total: str = "*", *, broken_after: int | None = None
    ) -> Progress:
        sent = DATA[start:end] if broken_after is None else DATA[start : start + broken_after]
        chunk = parse_content_range(f"bytes {start}-{end - 1}/{total}", end - start)
        assert not isinstance(chunk, Query)
        body = Pieces(sent, broken=broken_after is not None)
        return await self.sessions.write(session, chunk, end - start, body, {})

    async def put_whole(self, session: str, body: Pieces | None = None) -> Progress:
        chunk = parse_content_range(None, len(DATA))
        assert not isinstance(chunk, Query)
        return await self.sessions.write(session, chunk, len(DATA), body or Pieces(DATA), {})

    def content(self) -> bytes | None:
        found = self.objects.find("b", "name")
        return found.path.read_bytes() if found else None

    def files(self) -> int:
        return sum(1 for _ in (self._folder / "bytes").iterdir())


@contextmanager
def storage_in(folder: Path) -> Iterator[Storage]:
    storage = Storage(folder)
    try:
        yield storage
    finally:
        storage.state.close()


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with storage_in(tmp_path) as made:
        yield made


def status_of(work: Coroutine[None, None, object]) -> int:
    with pytest.raises(ApiError) as refused:
        asyncio.run(work)
    return refused.value.status


def test_a_session_lives_a_week(storage: Storage) -> None:
    session = storage.create()
    asyncio.run(storage.put(session, 0, QUANTUM_BYTES))
    storage.now += LIFE_S - 1
    assert asyncio.run(storage.sessions.query(session, Query(None))) == Progress(QUANTUM_BYTES)
    storage.now += 1
    assert status_of(storage.sessions.query(session, Query(None))) == 410
    assert status_of(storage.put_whole(session)) == 410


def test_the_bytes_of_an_expired_session_are_dropped_and_it_is_forgotten_later(storage: Storage) -> None:
    session = storage.create()
    asyncio.run(storage.put(session, 0, QUANTUM_BYTES))
    storage.now += LIFE_S
    asyncio.run(storage.sessions.sweep())
    assert storage.files() == 0
    assert status_of(storage.sessions.query(session, Query(None))) == 410
    storage.now += KEPT_S - LIFE_S
    asyncio.run(storage.sessions.sweep())
    assert status_of(storage.sessions.query(session, Query(None))) == 404


def test_the_object_of_a_session_outlives_the_session(storage: Storage) -> None:
    asyncio.run(storage.put_whole(storage.create()))
    storage.now += KEPT_S
    asyncio.run(storage.sessions.sweep())
    storage.state.close()
    storage.restart()
    assert storage.content() == DATA


def test_a_session_cancelled_while_bytes_arrive_ends_at_once_and_leaves_nothing(storage: Storage) -> None:
    session = storage.create()
    reads = itertools.count()

    async def cancel_at_the_second_read() -> None:
        if next(reads) == 1:
            await storage.sessions.cancel(session)

    assert status_of(storage.put_whole(session, Pieces(DATA, between=cancel_at_the_second_read))) == 499
    assert (storage.files(), storage.content()) == (0, None)


def test_two_requests_that_send_the_same_object_make_one(storage: Storage) -> None:
    session = storage.create(len(DATA))

    async def both() -> tuple[Progress | BaseException, ...]:
        return await asyncio.gather(storage.put_whole(session), storage.put_whole(session), return_exceptions=True)

    results = asyncio.run(both())
    done = [result for result in results if isinstance(result, Progress)]
    assert [result.status for result in results if isinstance(result, ApiError)] == [503] * (2 - len(done))
    assert done
    assert storage.content() == DATA
    assert storage.state.db.execute("SELECT count(*) FROM outbox").fetchone() == (1,)


def test_generations_grow_though_the_clock_goes_back(storage: Storage) -> None:
    first = asyncio.run(storage.put_whole(storage.create())).resource
    storage.now -= 1000
    second = asyncio.run(storage.put_whole(storage.create())).resource
    assert first is not None
    assert second is not None
    assert int(second["generation"]) > int(first["generation"])
    assert storage.files() == 1  # what was overwritten takes no place


def test_a_session_that_loses_the_race_for_a_name_leaves_nothing(storage: Storage) -> None:
    only_create = Conditions(generation_match=0)
    winner, loser = storage.create(conditions=only_create), storage.create(conditions=only_create)
    asyncio.run(storage.put_whole(winner))
    assert status_of(storage.put_whole(loser)) == 412
    assert storage.files() == 1


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["chunk", "broken", "query", "restart"]),
        st.integers(0, len(DATA) - 1),
        st.integers(1, len(DATA)),
        st.booleans(),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, declared=st.booleans())
def test_whatever_a_client_tries_the_object_is_whole_or_not_there(
    steps: list[tuple[str, int, int, bool]], declared: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder, storage_in(Path(folder)) as storage:
        asyncio.run(play(storage, steps, declared))


async def play(storage: Storage, steps: list[tuple[str, int, int, bool]], declared: bool) -> None:
    session = storage.create(len(DATA) if declared else None)
    for kind, start, length, from_where_it_is in steps:
        before = await storage.sessions.query(session, Query(None))
        if before.resource is not None:
            break
        assert before.persisted % QUANTUM_BYTES == 0
        begin = before.persisted if from_where_it_is else start
        end = min(len(DATA), begin + length)
        try:
            if kind == "restart":
                storage.state.close()
                storage.restart()
            elif kind == "query":
                await storage.sessions.query(session, Query(len(DATA)))
            else:
                broken_after = length // 2 if kind == "broken" else None
                await storage.put(session, begin, end, str(len(DATA)), broken_after=broken_after)
        except (Broken, ApiError):
            pass  # what it leaves behind is judged, not what it says
        after = await storage.sessions.query(session, Query(None))
        assert after.persisted >= before.persisted
        assert storage.content() == (DATA if after.resource else None)
    await storage.put_whole(session)
    assert storage.content() == DATA
