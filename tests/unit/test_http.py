"""HTTP: routes, problems, CORS, and never a stack trace."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from shared import settings as settings_module
from shared.http import Answer, Endpoint, Request, json_answer, respond
from shared.problems import CATALOGUE, Problem


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    monkeypatch.setenv("UPLOAD_BUCKETS", "us=a")
    monkeypatch.setenv("UPSTASH_REDIS_REST_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("UPSTASH_REDIS_REST_TOKEN", "t")
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://app.example")
    settings_module.settings.cache_clear()
    yield
    settings_module.settings.cache_clear()


def _thing(request: Request, name: str) -> Answer:
    if name == "refused":
        raise Problem("conflict", "No.")
    if name == "broken":
        raise RuntimeError("secret detail")
    return json_answer(200, {"name": name})


ENDPOINTS = (Endpoint("GET", "/v1/things/{name}", _thing),)


def ask(path: str, method: str = "GET", **headers: str) -> Answer:
    return respond(Request(method, path, {}, headers, b""), ENDPOINTS)


def test_a_path_gives_its_values_decoded() -> None:
    assert json.loads(ask("/v1/things/a%20b").body) == {"name": "a b"}


def test_a_problem_is_answered_as_problem_json() -> None:
    answer = ask("/v1/things/refused")
    body = json.loads(answer.body)
    assert answer.status == 409
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert body["type"] == "urn:prodai:problem:conflict"
    assert body["instance"] == "/v1/things/refused"


def test_the_unforeseen_is_answered_without_what_happened(capsys: pytest.CaptureFixture[str]) -> None:
    answer = ask("/v1/things/broken")
    assert answer.status == 500
    assert "secret detail" not in answer.body
    assert "Traceback" not in answer.body
    assert "secret detail" in capsys.readouterr().out  # the operators' log has it


def test_unknown_addresses_and_methods_say_so() -> None:
    assert ask("/nothing").status == 404
    refused = ask("/v1/things/a", "POST")
    assert refused.status == 405
    assert refused.headers["Allow"] == "GET"


def test_the_web_clients_origin_may_read_answers_and_limits_and_no_other_may() -> None:
    allowed = ask("/v1/things/a", origin="https://app.example")
    assert allowed.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "RateLimit" in allowed.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in ask("/v1/things/a", origin="https://evil.example").headers


def test_a_preflight_is_kept_for_a_day() -> None:
    answer = ask("/v1/things/a", "OPTIONS", origin="https://app.example")
    assert answer.status == 204
    assert answer.headers["Access-Control-Max-Age"] == "86400"


def test_answers_are_not_kept_by_shared_caches_and_continue_the_trace() -> None:
    given = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
    answer = ask("/v1/things/a", traceparent=given)
    assert answer.headers["Cache-Control"] == "s-maxage=0"
    assert answer.headers["traceparent"].split("-")[1] == "ab" * 16


def test_every_problem_has_a_type_of_its_own() -> None:
    types = [kind.type for kind in CATALOGUE.values()]
    assert len(set(types)) == len(types)
