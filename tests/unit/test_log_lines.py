"""What stands in the log of a request: enough to find it again, and no token, no address, no name of an audio file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from local.tokens import unsigned_token
from shared import events, http, observations, settings, telemetry
from shared.http import Answer, Endpoint, Request
from shared.limits import Limiter
from shared.problems import Problem
from tests.unit.test_events import pubsub_event

ADDRESS = "203.0.113.77"
AUDIO = "Minha Música Secreta.wav"
SESSION = "https://storage.example/upload?upload_id=s3cret"
TOKEN = unsigned_token("u1", "p")


class Away:
    """A Redis that does not answer, and says in its error what it was asked."""

    def evalsha(self, sha1: str, keys: list[str], args: list[str]) -> object:
        raise ConnectionError(f"no answer to {keys} {args}")

    eval = evalsha


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "GOOGLE_CLOUD_PROJECT": "p",
        "UPLOAD_BUCKETS": "us=a",
        "UPSTASH_REDIS_REST_URL": "http://127.0.0.1:9",
        "UPSTASH_REDIS_REST_TOKEN": "t0p-s3cret",
        "ALLOW_UNSIGNED_TOKENS": "true",
    }.items():
        monkeypatch.setenv(name, value)
    settings.settings.cache_clear()
    monkeypatch.setattr("shared.limits.limiter", lambda: Limiter(Away))
    monkeypatch.setattr(observations, "flush_old", lambda: None)
    yield
    settings.settings.cache_clear()


def handler(request: Request) -> Answer:
    http.admit(request, "upload")
    wanted = request.json()
    if wanted["sizeBytes"] == 0:
        raise Problem("empty-file", f"{wanted['filename']} is empty.")
    return http.json_answer(201, {"uploadUrl": SESSION})


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(("size", "status"), [(5, 201), (0, 422)])
def test_a_request_is_logged_without_what_must_not_be_known(
    size: int, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    body = json.dumps({"filename": AUDIO, "sizeBytes": size}).encode()
    headers = {"authorization": f"Bearer {TOKEN}", "x-forwarded-for": ADDRESS, "user-agent": "studio"}
    request = Request("POST", "/v1/uploads", {"token": TOKEN}, headers, body)
    answer = http.respond(request, (Endpoint("POST", "/v1/uploads", handler),))
    assert answer.status == status
    written = capsys.readouterr().out
    assert lines(written)[-1]["httpRequest"]["status"] == status
    for secret in (TOKEN, ADDRESS, "Secreta", "s3cret"):
        assert secret not in written


def test_a_line_of_the_log_names_its_trace_as_cloud_logging_wants_it(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.set_up("INFO", "p")
    with telemetry.tracing(telemetry.continued("00-" + "1f" * 16 + "-" + "2e" * 8 + "-01")) as trace:
        telemetry.info("done", durationMs=3)
    (line,) = lines(capsys.readouterr().out)
    assert line == {
        "severity": "INFO",
        "message": "done",
        "durationMs": 3,
        "logging.googleapis.com/trace": "projects/p/traces/" + "1f" * 16,
        "logging.googleapis.com/spanId": trace.span_id,
    }
    telemetry.set_up("INFO", "")


def test_an_event_that_is_given_up_is_logged_by_its_id_and_without_its_content(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work(_: events.Event) -> None:
        raise Problem("unreadable", "The audio cannot be read.")

    events.handle(pubsub_event({"filename": AUDIO, "url": SESSION}, {"id": "t1/queued"}), work)
    written = capsys.readouterr().out
    assert "t1/queued" in written
    assert "Secreta" not in written
    assert "s3cret" not in written
