"""What the stand-in knows, in one SQLite file: objects, sessions, events to be published. The bytes lie beside it.

A change is one transaction, so a process killed at any line leaves the state before it or the state after it. A file of
bytes has a name of its own from the start and becomes an object's by being named in a row: nothing is copied or
renamed, and a half object is never visible. (Commits are not synced to the disk: a killed process loses nothing, a
machine without power may.)
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Clock = Callable[[], float]  # seconds since the epoch

_TABLES = """
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT, name TEXT, generation INTEGER NOT NULL, file TEXT NOT NULL, resource TEXT NOT NULL,
    PRIMARY KEY (bucket, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions (key TEXT PRIMARY KEY, created REAL NOT NULL, file TEXT, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, message TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS generations (last INTEGER NOT NULL);
"""


class State:
    """The state in a folder. One process at a time, all calls from one thread."""

    def __init__(self, folder: Path) -> None:
        self._bytes = folder / "bytes"
        self._bytes.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(folder / "state.sqlite", isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=NORMAL")
        self.db.executescript(_TABLES)
        self._drop_unreferenced()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def new_file(self) -> Path:
        """An empty file for bytes. Until a row names it, the next start removes it."""
        path = self._bytes / uuid.uuid4().hex
        path.touch()
        return path

    def path(self, file: str) -> Path:
        return self._bytes / file

    def next_generation(self, now: float) -> int:
        """Microseconds since the epoch, ever growing, whatever the clock does. Inside a transaction."""
        row = self.db.execute("SELECT last FROM generations").fetchone()
        generation = int(now * 1_000_000) if row is None else max(int(now * 1_000_000), row[0] + 1)
        self.db.execute("DELETE FROM generations")
        self.db.execute("INSERT INTO generations VALUES (?)", (generation,))
        return generation

    def close(self) -> None:
        self.db.close()

    def _drop_unreferenced(self) -> None:
        """Bytes of uploads that a killed process was receiving, or of objects that it was deleting."""
        named = {row[0] for row in self.db.execute("SELECT file FROM objects UNION SELECT file FROM sessions")}
        for path in self._bytes.iterdir():
            if path.name not in named:
                path.unlink()
