"""One law for everyone: who gets what from every endpoint, and no count that can be passed by clicking twice."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from local.cloud import write_document
from local.tokens import unsigned_token
from tests.e2e.conftest import LocalCloud, eventually

TABLE = Path(__file__).resolve().parents[2] / "docs" / "endpoints.md"
ACTORS = ("anonymous", "owner", "stranger", "expired", "suspended", "operator")
PAST = datetime.now(UTC) - timedelta(minutes=5)
BODY = {"filename": "song.wav", "sizeBytes": 1000, "contentType": "audio/wav"}
OPENED = {"events": [{"name": "app.opened", "data": {"platform": "web"}}]}

EXPECTED = {
    "POST /v1/uploads": (401, 201, 201, 201, 403, 201),
    "GET /v1/edge-upload": (307, 307, 307, 307, 307, 307),
    "GET /v1/uploads/{id}": (401, 200, 404, 200, 200, 404),
    "POST /v1/chat": (401, 200, 200, 200, 403, 200),
    "POST /v1/chat in the owner's conversation": (401, 200, 404, 404, 404, 404),
    "GET /v1/metrics": (401, 403, 403, 403, 403, 200),
    "GET /metrics": (200, 200, 200, 200, 200, 200),
    "GET /v1/status": (200, 200, 200, 200, 200, 200),
    "POST /v1/events": (401, 202, 202, 202, 202, 202),
    "GET /v1/jobs": (401, 403, 403, 403, 403, 200),
    "GET /v1/controls": (401, 403, 403, 403, 403, 200),
    "PUT /v1/controls": (401, 403, 403, 403, 403, 200),
    "GET /v1/account": (401, 200, 200, 200, 200, 200),
    "DELETE /v1/uploads/{id}": (401, 200, 404, 200, 200, 404),
    "DELETE /v1/account": (401, 200, 200, 200, 200, 200),
}


class Actors:
    """Each actor with a token and, where it can have one, a track of its own that waits for its bytes."""

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud
        self.headers: dict[str, dict[str, str]] = {"anonymous": {}}
        self.tracks: dict[str, str] = {}
        for actor in ACTORS[1:]:
            claims = {"operator": True} if actor == "operator" else {}
            self.headers[actor] = {"Authorization": f"Bearer {cloud.token(f'law-{actor}', claims=claims)}"}
        for actor in ("owner", "expired", "suspended"):
            self.tracks[actor] = self.ask("POST", "upload", "/v1/uploads", actor, json=BODY).json()["trackId"]
        past = datetime.now(UTC) - timedelta(seconds=1)
        write_document(cloud.ready["firestore"], "users/law-expired", {"planExpiresAt": past})
        write_document(cloud.ready["firestore"], "users/law-suspended", {"planStatus": "suspended"})
        chat = {"message": "Hello", "conversationId": None}
        asked = self.ask("POST", "chat", "/v1/chat", "owner", json=chat)
        self.conversation = asked.json()["conversationId"]

    def ask(self, method: str, function: str, path: str, actor: str, **options: Any) -> requests.Response:
        headers = {**self.headers[actor], "Accept": "application/json"}
        return requests.request(method, self._cloud.ready[function] + path, headers=headers, timeout=30, **options)

    def track_for(self, actor: str) -> str:
        return self.tracks.get(actor, self.tracks["owner"])


def endpoints(actors: Actors) -> dict[str, Callable[[str], requests.Response]]:
    asked = {"message": "What is LUFS?", "conversationId": actors.conversation}
    return {
        "POST /v1/uploads": lambda a: actors.ask("POST", "upload", "/v1/uploads", a, json=BODY),
        "GET /v1/edge-upload": lambda a: actors.ask("GET", "upload", "/v1/edge-upload", a, allow_redirects=False),
        "GET /v1/uploads/{id}": lambda a: actors.ask("GET", "upload", f"/v1/uploads/{actors.track_for(a)}", a),
        "POST /v1/chat": lambda a: actors.ask("POST", "chat", "/v1/chat", a, json={"message": "What is LUFS?"}),
        "POST /v1/chat in the owner's conversation": lambda a: (
            eventually(
                lambda: (r := actors.ask("POST", "chat", "/v1/chat", a, json=asked)).status_code != 429 and Truthy(r)
            ).response
        ),
        "GET /v1/metrics": lambda a: actors.ask("GET", "metrics", "/v1/metrics", a),
        "GET /metrics": lambda a: actors.ask("GET", "metrics", "/metrics", a),
        "GET /v1/status": lambda a: actors.ask("GET", "metrics", "/v1/status", a),
        "POST /v1/events": lambda a: actors.ask("POST", "metrics", "/v1/events", a, json=OPENED),
        "GET /v1/jobs": lambda a: actors.ask("GET", "metrics", "/v1/jobs", a),
        "GET /v1/controls": lambda a: actors.ask("GET", "metrics", "/v1/controls", a),
        "PUT /v1/controls": lambda a: actors.ask("PUT", "metrics", "/v1/controls", a, json={}),
        "GET /v1/account": lambda a: actors.ask("GET", "upload", "/v1/account", a),
        "DELETE /v1/uploads/{id}": lambda a: actors.ask("DELETE", "upload", f"/v1/uploads/{actors.track_for(a)}", a),
        "DELETE /v1/account": lambda a: actors.ask("DELETE", "upload", "/v1/account", a),
    }


class Truthy:
    """A response that is true whatever its status (requests makes refusals false)."""

    def __init__(self, response: requests.Response) -> None:
        self.response = response


def as_markdown(found: dict[str, tuple[int, ...]]) -> str:
    lines = [
        "# Who gets what",
        "",
        "Every endpoint, asked by everyone; proved by `tests/e2e/test_the_law.py` (`UPDATE_DOCS=1` writes it).",
        "The expired plan counts as free; the suspended user still reads, takes back and deletes what is theirs.",
        "",
        "| endpoint | " + " | ".join(ACTORS) + " |",
        "|---|" + "---|" * len(ACTORS),
    ]
    lines += [f"| `{name}` | " + " | ".join(map(str, statuses)) + " |" for name, statuses in found.items()]
    return "\n".join(lines) + "\n"


def test_every_endpoint_answers_every_actor_as_the_table_in_the_docs_says(cloud: LocalCloud) -> None:
    actors = Actors(cloud)
    found = {name: tuple(ask(actor).status_code for actor in ACTORS) for name, ask in endpoints(actors).items()}
    assert found == EXPECTED
    if os.environ.get("UPDATE_DOCS"):
        TABLE.write_text(as_markdown(found), encoding="utf-8")
    assert TABLE.read_text(encoding="utf-8") == as_markdown(found)


def test_of_fifty_uploads_at_once_with_three_left_exactly_three_are_counted(cloud: LocalCloud) -> None:
    uid = "fifty-clicks"
    token = cloud.token(uid, "pro")
    month = datetime.now(UTC).strftime("%Y%m")
    usage = {"uid": uid, "month": month, "messages": 0, "analyses": 197, "lastCounted": ""}
    write_document(cloud.ready["firestore"], f"usage/{uid}_{month}", usage)

    def click(_: int) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.post(f"{cloud.ready['upload']}/v1/uploads", json=BODY, headers=headers, timeout=60).status_code

    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(click, range(50)))
    assert statuses.count(201) == 3
    assert set(statuses) <= {201, 402, 429, 503}  # the limit of requests stops most before the law has to
    assert cloud.usage(uid)["analyses"] == 200


def test_the_same_key_fifty_times_at_once_makes_one_track(cloud: LocalCloud) -> None:
    uid = "one-key"
    headers = {"Authorization": f"Bearer {cloud.token(uid)}", "Idempotency-Key": '"the-one"'}

    def click(_: int) -> tuple[int, str]:
        answer = requests.post(f"{cloud.ready['upload']}/v1/uploads", json=BODY, headers=headers, timeout=60)
        return answer.status_code, answer.json().get("trackId", "")

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(click, range(50)))
    assert {status for status, _ in answers} <= {201, 409, 429, 503}
    assert len({track for status, track in answers if status == 201}) == 1
    assert cloud.usage(uid)["analyses"] == 1


def test_a_key_sent_again_gets_the_first_answer_and_with_another_body_a_refusal(cloud: LocalCloud) -> None:
    headers = {"Authorization": f"Bearer {cloud.token('key-again')}", "Idempotency-Key": "k-1"}
    address = f"{cloud.ready['upload']}/v1/uploads"
    first, again = (requests.post(address, json=BODY, headers=headers, timeout=30) for _ in range(2))
    assert first.status_code == 201
    assert again.json() == first.json()
    refused = requests.post(address, json={**BODY, "sizeBytes": 1001}, headers=headers, timeout=30)
    assert refused.status_code == 422
    assert cloud.usage("key-again")["analyses"] == 1


def test_a_question_sent_twice_with_one_key_is_asked_and_counted_once(cloud: LocalCloud) -> None:
    headers = {
        "Authorization": f"Bearer {cloud.token('asks-twice')}",
        "Idempotency-Key": "q-1",
        "Accept": "application/json",
    }
    address = f"{cloud.ready['chat']}/v1/chat"
    first = requests.post(address, json={"message": "What is LUFS?"}, headers=headers, timeout=30)
    second = requests.post(address, json={"message": "What is LUFS?"}, headers=headers, timeout=30)
    assert first.status_code == 200
    assert second.json() == first.json()
    others = (
        {"message": "What is DR?"},
        {"message": "What is LUFS?", "conversationId": first.json()["conversationId"]},
        {"message": "What is LUFS?", "conversationId": "another"},
        {"message": "What is LUFS?", "trackIds": ["another"]},
        {"message": "What is LUFS?", "locale": "pt-BR"},
    )
    for other in others:
        assert requests.post(address, json=other, headers=headers, timeout=30).status_code == 422, other
    assert cloud.usage("asks-twice")["messages"] == 1


def test_a_deleted_account_leaves_nothing_and_the_proof_says_what_it_was(cloud: LocalCloud, song: Path) -> None:
    client = cloud.client("leaver")
    upload = client.create_upload(song)
    client.send(upload, song, lambda _: None)
    client.wait(upload["trackId"], 60, lambda _: None)
    eventually(lambda: cloud.document(f"conversations/{upload['trackId']}/messages/opening"))
    headers = {"Authorization": f"Bearer {cloud.token('leaver')}"}
    address = f"{cloud.ready['upload']}/v1/account"
    exported = requests.get(address, headers=headers, timeout=30).json()
    assert [track["id"] for track in exported["tracks"]] == [upload["trackId"]]
    assert exported["conversations"][0]["messages"][0]["role"] == "assistant"
    assert "uploadUrl" not in str(exported)

    proof = requests.delete(address, headers=headers, timeout=60).json()
    assert proof["completedAt"]
    counts = {"tracks", "analyses", "objects", "sessions", "contents", "conversations", "messages", "usage", "profile"}
    assert set(proof["deleted"]) == counts
    for path in ("tracks", "analyses", "conversations", "uploadSessions"):
        assert cloud.document(f"{path}/{upload['trackId']}") is None
    objects = f"http://{cloud.ready['storage']}/storage/v1/b/prodai-uploads-us/o?prefix=tracks/leaver/"
    stored = requests.get(objects, timeout=10)
    assert stored.json().get("items", []) == []
    again = requests.post(f"{cloud.ready['upload']}/v1/uploads", json=BODY, headers=headers, timeout=10)
    assert again.json()["code"] == "plan-inactive"


def test_a_newcomer_gets_the_free_plan_with_a_profile_of_their_own_or_without(cloud: LocalCloud) -> None:
    write_document(cloud.ready["firestore"], "users/own-profile", {"displayName": "Own"})
    for uid in ("own-profile", "no-profile"):
        headers = {"Authorization": f"Bearer {unsigned_token(uid, cloud.ready['project'])}"}
        answer = requests.post(f"{cloud.ready['upload']}/v1/uploads", json=BODY, headers=headers, timeout=30)
        assert answer.status_code == 201, answer.text
        profile = cloud.document(f"users/{uid}")
        assert (profile["plan"], profile["planStatus"]) == ("free", "active")
    assert cloud.document("users/own-profile")["displayName"] == "Own"


def test_a_stranger_who_opens_a_conversation_under_a_tracks_name_gets_nothing_of_it(
    cloud: LocalCloud, song: Path
) -> None:
    client = cloud.client("named-after")
    upload = client.create_upload(song)
    squatter = {"participants": ["squatter"], "trackIds": [], "createdAt": PAST, "lastMessageAt": PAST}
    write_document(cloud.ready["firestore"], f"conversations/{upload['trackId']}", squatter)
    client.send(upload, song, lambda _: None)
    client.wait(upload["trackId"], 60, lambda _: None)
    deliveries = f"{cloud.ready['router']}/deliveries"
    opened = len([d for d in requests.get(deliveries, timeout=10).json() if d["subscription"] == "chat-opening"])
    cloud.replay("chat-opening", 1)
    eventually(
        lambda: (
            len([d for d in requests.get(deliveries, timeout=10).json() if d["subscription"] == "chat-opening"])
            > opened
        )
    )
    assert cloud.document(f"conversations/{upload['trackId']}/messages") == []
