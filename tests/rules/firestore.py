"""Firestore's own REST interface, as a browser uses it: with a user's token, or as the emulator's owner."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

REQUEST_DEADLINE_S = 20.0
OWNER = "owner"  # the emulator's administrator, whom no rule judges


class ServerTime:
    """The time of the request, which the server fills in."""


NOW = ServerTime()


@dataclass(frozen=True)
class Increment:
    by: int


@dataclass(frozen=True)
class Write:
    """One write of a batch. `only`: the fields that are written, others stay; None writes the whole document."""

    path: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    only: Sequence[str] | None = None
    exists: bool | None = None
    delete: bool = False


def create(path: str, fields: Mapping[str, Any]) -> Write:
    """Fails where the document is there."""
    return Write(path, fields, exists=False)


def replace(path: str, fields: Mapping[str, Any]) -> Write:
    return Write(path, fields)


def update(path: str, fields: Mapping[str, Any]) -> Write:
    """Fails where the document is not there."""
    return Write(path, fields, only=list(fields), exists=True)


def merge(path: str, fields: Mapping[str, Any]) -> Write:
    return Write(path, fields, only=list(fields))


def delete(path: str) -> Write:
    return Write(path, delete=True)


class Refused(Exception):  # noqa: N818
    """An answer that is neither allowed nor denied by the rules."""


class Firestore:
    """The documents of one emulator; usable by several threads."""

    def __init__(self, host: str, project: str) -> None:
        self.host = host
        self.project = project
        self._root = f"projects/{project}/databases/(default)/documents"
        self._local = threading.local()
        self._connections: list[http.client.HTTPConnection] = []

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def get(self, path: str, token: str | None = OWNER) -> bool:
        """Whether a document may be read, be it there or not."""
        return self._allowed("GET", f"/v1/{self._root}/{path}", None, token)

    def read(self, path: str) -> dict[str, Any] | None:
        """A document as the owner sees it, timestamps as text; None where there is none."""
        status, body = self.call("GET", f"/v1/{self._root}/{path}", None, OWNER)
        if status == http.HTTPStatus.NOT_FOUND:
            return None
        return {key: _decoded(value) for key, value in body.get("fields", {}).items()}

    def query(
        self,
        collection: str,
        token: str | None,
        where: tuple[str, str, Any] | None = None,
        *,
        all_descendants: bool = False,
    ) -> bool:
        """Whether a collection may be read, all of it or where (field, operator, value)."""
        parent, _, name = collection.rpartition("/")
        source = {"collectionId": name, "allDescendants": all_descendants}
        structured: dict[str, Any] = {"from": [source], "limit": 5}
        if where is not None:
            name, operator, value = where
            compared = {"field": {"fieldPath": name}, "op": operator, "value": _encoded(value)}
            structured["where"] = {"fieldFilter": compared}
        address = f"/v1/{self._root}/{parent}".rstrip("/") + ":runQuery"
        return self._allowed("POST", address, {"structuredQuery": structured}, token)

    def commit(self, writes: Sequence[Write], token: str | None = OWNER) -> bool:
        """Writes all or nothing; False where the rules deny it."""
        return self.committed(writes, token) is not None

    def committed(self, writes: Sequence[Write], token: str | None = OWNER) -> datetime | None:
        """The time at which all was written; None where the rules deny it."""
        body = {"writes": [self._write(write) for write in writes]}
        status, answer = self.call("POST", f"/v1/{self._root}:commit", body, token)
        return datetime.fromisoformat(answer["commitTime"]) if _is_allowed(status, answer) else None

    def call(self, method: str, address: str, body: Any, token: str | None) -> tuple[int, Any]:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPConnection(self.host, timeout=REQUEST_DEADLINE_S)
            self._connections.append(connection)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        connection.request(method, address, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")

    def _allowed(self, method: str, address: str, body: Any, token: str | None) -> bool:
        status, answer = self.call(method, address, body, token)
        return status == http.HTTPStatus.NOT_FOUND or _is_allowed(status, answer)

    def _write(self, write: Write) -> dict[str, Any]:
        name = f"{self._root}/{write.path}"
        if write.delete:
            return {"delete": name}
        stored = {key: _encoded(v) for key, v in write.fields.items() if not isinstance(v, ServerTime | Increment)}
        transforms = [_transform(key, v) for key, v in write.fields.items() if isinstance(v, ServerTime | Increment)]
        made: dict[str, Any] = {"update": {"name": name, "fields": stored}, "updateTransforms": transforms}
        if write.only is not None:
            made["updateMask"] = {"fieldPaths": [key for key in write.only if key in stored]}
        if write.exists is not None:
            made["currentDocument"] = {"exists": write.exists}
        return made


def _is_allowed(status: int, answer: Any) -> bool:
    if status == http.HTTPStatus.OK:
        return True
    if status == http.HTTPStatus.FORBIDDEN:
        return False
    raise Refused(f"{status}: {answer}")


def _transform(key: str, value: ServerTime | Increment) -> dict[str, Any]:
    if isinstance(value, Increment):
        return {"fieldPath": key, "increment": _encoded(value.by)}
    return {"fieldPath": key, "setToServerValue": "REQUEST_TIME"}


def _encoded(value: Any) -> dict[str, Any]:  # a line for each type
    match value:
        case None:
            return {"nullValue": None}
        case bool():
            return {"booleanValue": value}
        case int():
            return {"integerValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
        case datetime():
            return {"timestampValue": value.astimezone(UTC).isoformat().replace("+00:00", "Z")}
        case list():
            return {"arrayValue": {"values": [_encoded(inner) for inner in value]}}
        case dict():
            return {"mapValue": {"fields": {key: _encoded(inner) for key, inner in value.items()}}}
    raise TypeError(f"no Firestore type for {value!r}")


def _decoded(value: Mapping[str, Any]) -> Any:
    kind, content = next(iter(value.items()))
    match kind:
        case "integerValue":
            return int(content)
        case "arrayValue":
            return [_decoded(inner) for inner in content.get("values", [])]
        case "mapValue":
            return {key: _decoded(inner) for key, inner in content.get("fields", {}).items()}
    return content
