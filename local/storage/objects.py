"""Objects: what a bucket holds, under which conditions it changes, and the event that each change leaves behind."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from local.storage import outbox
from local.storage.errors import ApiError, condition_not_met, invalid, no_bucket, no_object
from local.storage.receiving import ByteFile
from local.storage.state import Clock, State

Resource = dict[str, Any]

CHANGEABLE = ("contentType", "cacheControl", "contentDisposition", "contentEncoding", "contentLanguage", "metadata")
PAGE_MOST = 1000
NAME_BYTES_MOST = 1024


@dataclass(frozen=True)
class Conditions:
    """`ifGenerationMatch` and its kin; 0 stands for "there is no such object"."""

    generation_match: int | None = None
    generation_not_match: int | None = None
    metageneration_match: int | None = None
    metageneration_not_match: int | None = None

    def check(self, current: StoredObject | None, *, reading: bool = False) -> None:
        """Raises ApiError 412; 304 where a reader asked for another version than the one it has."""
        generation = current.generation if current else 0
        metageneration = current.metageneration if current else 0
        if self.generation_match not in (None, generation) or self.metageneration_match not in (None, metageneration):
            raise condition_not_met()
        if self.generation_not_match == generation or self.metageneration_not_match == metageneration:
            raise ApiError(304, "notModified", "") if reading else condition_not_met()


@dataclass(frozen=True)
class NewObject:
    """What an upload is to become: its place, what its owner says of it, and the checksums it must have."""

    bucket: str
    name: str
    properties: Resource = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredObject:
    resource: Resource
    path: Path

    @property
    def generation(self) -> int:
        return int(self.resource["generation"])

    @property
    def metageneration(self) -> int:
        return int(self.resource["metageneration"])

    @property
    def size(self) -> int:
        return int(self.resource["size"])


class Objects:
    def __init__(self, state: State, buckets: frozenset[str], base_url: str, clock: Clock) -> None:
        self.base_url = base_url
        self._state = state
        self._buckets = buckets
        self._clock = clock

    def check_place(self, bucket: str, name: str) -> None:
        """Raises ApiError 404 for an unknown bucket, 400 for a name that an object cannot have."""
        self.check_bucket(bucket)
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            raise invalid("The object name is not valid Unicode.") from None
        if not 1 <= size <= NAME_BYTES_MOST or name in (".", "..") or "\r" in name or "\n" in name:
            raise invalid(f"Invalid object name: {name!r}")

    def check_bucket(self, bucket: str) -> None:
        if bucket not in self._buckets:
            raise no_bucket()

    def find(self, bucket: str, name: str, generation: int | None = None) -> StoredObject | None:
        """The object; None also where another generation of it is asked for, for none but the last is kept."""
        row = self._state.db.execute(
            "SELECT generation, file, resource FROM objects WHERE bucket = ? AND name = ?", (bucket, name)
        ).fetchone()
        if row is None or generation not in (None, row[0]):
            return None
        return StoredObject(json.loads(row[2]), self._state.path(row[1]))

    def get(
        self, bucket: str, name: str, generation: int | None, conditions: Conditions, *, reading: bool = False
    ) -> StoredObject:
        """Raises ApiError 404, 412, 304."""
        self.check_place(bucket, name)
        found = self.find(bucket, name, generation)
        if found is None:
            raise no_object(bucket, name)
        conditions.check(found, reading=reading)
        return found

    def insert(self, new: NewObject, file: ByteFile, conditions: Conditions) -> Resource:
        """Makes received bytes the object, and with it the event. Inside a transaction. Raises ApiError 412.

        The bytes of what was there before are removed at the next `discard`.
        """
        before = self.find(new.bucket, new.name)
        conditions.check(before)
        now = self._clock()
        resource = self._resource(new, file, self._state.next_generation(now), timestamp(now))
        self._state.db.execute(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)",
            (new.bucket, new.name, int(resource["generation"]), file.path.name, json.dumps(resource)),
        )
        overwrote = {"overwroteGeneration": str(before.generation)} if before else {}
        self._tell("OBJECT_FINALIZE", resource, now, overwrote)
        if before:
            overwritten = {"overwrittenByGeneration": resource["generation"]}
            self._tell("OBJECT_DELETE", before.resource, now, overwritten)
        return resource

    def store(self, new: NewObject, file: ByteFile, conditions: Conditions) -> Resource:
        """Checks received bytes and makes them the object; bytes that are refused are removed. Raises ApiError."""
        try:
            file.check(new.hashes)
            before = self.find(new.bucket, new.name)
            with self._state.transaction():
                resource = self.insert(new, file, conditions)
        except ApiError:
            file.remove()
            raise
        discard(before)
        return resource

    def patch(
        self, bucket: str, name: str, generation: int | None, conditions: Conditions, changes: Resource
    ) -> Resource:
        """Changes what the owner says of an object; None removes, and so it does for each key of `metadata`."""
        with self._state.transaction():
            found = self.get(bucket, name, generation, conditions)
            resource = _changed(found.resource, changes)
            resource["metageneration"] = str(found.metageneration + 1)
            resource["updated"] = timestamp(self._clock())
            resource["etag"] = _etag(found.generation, found.metageneration + 1)
            self._state.db.execute(
                "UPDATE objects SET resource = ? WHERE bucket = ? AND name = ?", (json.dumps(resource), bucket, name)
            )
        return resource

    def delete(self, bucket: str, name: str, generation: int | None, conditions: Conditions) -> None:
        """Raises ApiError 404, 412."""
        with self._state.transaction():
            found = self.get(bucket, name, generation, conditions)
            self._state.db.execute("DELETE FROM objects WHERE bucket = ? AND name = ?", (bucket, name))
            self._tell("OBJECT_DELETE", found.resource, self._clock(), {})
        discard(found)

    def page(self, bucket: str, prefix: str, most: int, page_token: str | None) -> tuple[list[Resource], str | None]:
        """At most `most` objects by name, and the token of the page behind them. Raises ApiError 400, 404."""
        self.check_bucket(bucket)
        after = _name_of_token(page_token) if page_token else ""
        rows = self._state.db.execute(
            "SELECT name, resource FROM objects WHERE bucket = ? AND name > ? AND name >= ? "
            "AND substr(name, 1, length(?)) = ? ORDER BY name LIMIT ?",
            (bucket, after, prefix, prefix, prefix, most + 1),
        ).fetchall()
        token = base64.urlsafe_b64encode(rows[most - 1][0].encode()).decode() if len(rows) > most else None
        return [json.loads(row[1]) for row in rows[:most]], token

    def with_links(self, resource: Resource) -> Resource:
        """A resource as it is answered and published: links change with the port, so they are not stored."""
        place = f"/storage/v1/b/{quote(resource['bucket'], safe='')}/o/{quote(resource['name'], safe='')}"
        media = f"{self.base_url}/download{place}?generation={resource['generation']}&alt=media"
        return {**resource, "selfLink": self.base_url + place, "mediaLink": media}

    def _tell(self, event_type: str, resource: Resource, now: float, more: dict[str, str]) -> None:
        outbox.put(self._state, event_type, self.with_links(resource), timestamp(now), more)

    def _resource(self, new: NewObject, file: ByteFile, generation: int, now: str) -> Resource:
        return {
            "kind": "storage#object",
            "id": f"{new.bucket}/{new.name}/{generation}",
            "name": new.name,
            "bucket": new.bucket,
            "generation": str(generation),
            "metageneration": "1",
            "contentType": "application/octet-stream",
            "storageClass": "STANDARD",
            "size": str(file.size),
            "md5Hash": file.md5,
            "crc32c": file.crc32c,
            "etag": _etag(generation, 1),
            "timeCreated": now,
            "updated": now,
            "timeStorageClassUpdated": now,
            "timeFinalized": now,
            **new.properties,
        }


def properties_of(given: Resource) -> Resource:
    """What a client may say of its object, out of the JSON that it sent. Raises ApiError 400."""
    properties = {key: given[key] for key in CHANGEABLE if given.get(key) is not None}
    for key, value in properties.items():
        if key == "metadata":
            if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
                raise invalid("metadata must be an object of strings.")
        elif not isinstance(value, str):
            raise invalid(f"{key} must be a string.")
    return properties


def discard(gone: StoredObject | None) -> None:
    """Removes the bytes of what is no object any more; who is reading them reads on."""
    if gone is not None:
        gone.path.unlink(missing_ok=True)


def timestamp(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _changed(resource: Resource, changes: Resource) -> Resource:
    kept_metadata = dict(resource.get("metadata") or {})
    if isinstance(changes.get("metadata"), dict):
        kept_metadata.update(changes["metadata"])
        changes = {**changes, "metadata": {key: text for key, text in kept_metadata.items() if text is not None}}
    properties = properties_of(changes)
    removed = {key for key in CHANGEABLE if key in changes and not properties.get(key)}
    return {key: value for key, value in {**resource, **properties}.items() if key not in removed}


def _etag(generation: int, metageneration: int) -> str:
    """Base64 of the protocol buffer that the service uses: field 1 the generation, field 2 the metageneration."""
    encoded = b"\x08" + bytes(_varint(generation)) + b"\x10" + bytes(_varint(metageneration))
    return base64.b64encode(encoded).decode()


def _varint(value: int) -> Iterator[int]:
    while value > 0x7F:
        yield value & 0x7F | 0x80
        value >>= 7
    yield value


def _name_of_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except ValueError:
        raise invalid(f"Invalid page token: {token}") from None
