"""The stand-in's project: what is in it, what was asked of it, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

NUMBER = "123456789"
READING = ("getIamPolicy", "testIamPermissions", "generateUploadUrl")  # POST, but nothing is changed by them

Json = dict[str, Any]
Handler = Callable[..., Any]
Routes = list[tuple[str, str, Handler]]  # method, pattern of "host/path", whose groups the handler gets
P = r"projects/[\w-]+"


@dataclass(frozen=True)
class Call:
    method: str
    host: str
    path: str
    query: Mapping[str, str]
    body: Any
    authorization: str = ""

    @property
    def mutating(self) -> bool:
        return self.method != "GET" and not self.path.endswith(READING) and not self.host.endswith(".run.test")


class Refused(Exception):  # noqa: N818  # the sentence reads so
    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.answer = {"error": {"code": status, "status": reason, "message": message}}


@dataclass
class Google:
    """The project: what is in it, what was asked of it, and what it refuses."""

    project: str
    calls: list[Call] = field(default_factory=list)
    unexpected: list[Call] = field(default_factory=list)
    refusals: dict[str, tuple[int, str, str]] = field(default_factory=dict)  # pattern of "METHOD host/path" -> answer
    denied: set[str] = field(default_factory=set)  # permissions that the operator lacks
    empty_secrets: set[str] = field(default_factory=set)  # secrets that were given no value
    failing_builds: set[str] = field(default_factory=set)  # functions whose build fails
    broken: set[str] = field(default_factory=set)  # functions whose next revisions answer 500
    resources: dict[str, Json] = field(default_factory=dict)  # by API and name: functions, topics, buckets, …
    policies: dict[str, Json] = field(default_factory=dict)  # IAM policies by resource
    zips: list[list[str]] = field(default_factory=list)  # the names in each uploaded source
    operations: dict[str, Json] = field(default_factory=dict)
    revisions: dict[str, list[Json]] = field(default_factory=dict)  # by region/service, oldest first

    def mutations(self) -> list[Call]:
        return [call for call in self.calls if call.mutating]

    def forget(self) -> None:
        self.calls.clear()

    def service(self, region: str, name: str) -> Json:
        return self.resources[f"{region}-run/services/{name}"]

    def split(self, region: str, name: str) -> dict[str, int]:
        """The traffic of a function: revision -> percent."""
        targets = self.service(region, name)["status"]["traffic"]
        return {target["revisionName"]: target["percent"] for target in targets if target.get("percent")}

    def found(self, key: str) -> Json:
        if key not in self.resources:
            raise Refused(404, "NOT_FOUND", f"{key} was not found")
        return self.resources[key]

    def under(self, prefix: str) -> list[Json]:
        return [resource for key, resource in sorted(self.resources.items()) if key.startswith(prefix)]


def listed(kind: str, key: str) -> Handler:
    return lambda google, _: {key: google.under(f"{kind}/")}


def kept(kind: str, form: Callable[[Google, Call, str], Json]) -> Handler:
    """Keeps a new resource under its kind and name."""

    def keep(google: Google, call: Call, name: str = "") -> Json:
        resource = form(google, call, name)
        google.resources[f"{kind}/{resource['name'].rpartition('/')[2]}"] = resource
        return resource

    return keep
