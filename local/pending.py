"""Uploads that are under way, on disk: what a later `prodai upload` goes on with, whatever became of this one.

A file for each, in `$XDG_STATE_HOME/prodai/uploads` (`~/.local/state/prodai/uploads`), readable by its user alone: it
holds the session's address, which is a credential.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import google_crc32c

KEPT_S = 7 * 24 * 3600.0  # no session lives longer
_BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Fingerprint:
    """What a file's bytes are, as an announcement says it."""

    size_bytes: int
    sha256: str
    crc32c: str  # base64 of the big-endian checksum


@dataclass
class Pending:
    """A file that is to be uploaded. `upload` is the service's answer to its announcement, None before there is one."""

    path: str
    content: Fingerprint
    service: str
    uid: str
    priority: int = 0
    added_at: float = field(default_factory=time.time)
    key: str = field(default_factory=lambda: secrets.token_hex(16))  # the announcement's Idempotency-Key
    upload: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def id(self) -> str:
        """The same for the same bytes of the same user at the same service, whatever the file is called."""
        return hashlib.sha256(f"{self.service}|{self.uid}|{self.content.sha256}".encode()).hexdigest()[:32]


def fingerprint(path: Path) -> Fingerprint:
    """Reads a file once."""
    sha256, crc32c, size = hashlib.sha256(), 0, 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            sha256.update(block)
            crc32c = google_crc32c.extend(crc32c, block)
            size += len(block)
    return Fingerprint(size, sha256.hexdigest(), base64.b64encode(crc32c.to_bytes(4, "big")).decode())


def default_folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "prodai" / "uploads"


class Store:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, wanted: Pending) -> Pending:
        """The upload as it stands: begun earlier, or new. Its priority is the wanted one."""
        earlier = self._read(self._path(wanted))
        if earlier is not None:
            earlier.path, earlier.priority = wanted.path, wanted.priority
        pending = earlier or wanted
        self.save(pending)
        return pending

    def save(self, pending: Pending) -> None:
        """Written whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._path(pending)
        draft = path.with_suffix(f".{os.getpid()}.new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(asdict(pending), file)
        draft.replace(path)

    def remove(self, pending: Pending) -> None:
        self._path(pending).unlink(missing_ok=True)

    def unfinished(self, service: str, uid: str) -> list[Pending]:
        """What this user has begun at this service; what no session can be left of is forgotten."""
        found = []
        for path in sorted(self._folder.glob("*.json")):
            pending = self._read(path)
            if pending is None or time.time() - pending.added_at > KEPT_S:
                path.unlink(missing_ok=True)
            elif (pending.service, pending.uid) == (service, uid):
                found.append(pending)
        return found

    def _path(self, pending: Pending) -> Path:
        return self._folder / f"{pending.id}.json"

    def _read(self, path: Path) -> Pending | None:
        try:
            fields: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return Pending(**{**fields, "content": Fingerprint(**fields["content"])})
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None
