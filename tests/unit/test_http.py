"""HTTP: routes, problems, CORS, and never a stack trace."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import jwt
import pytest

from shared import controls, http, limits, observations
from shared import settings as settings_module
from shared.http import (
    Answer,
    Endpoint,
    Request,
    address_of,
    admit,
    admit_anyone,
    admit_async,
    admitted,
    identified,
    json_answer,
    respond,
    respond_async,
)
from shared.identity import Caller
from shared.limits import Decision, Standing
from shared.policies import Policy
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
    if name in {"closed", "unavailable"}:
        raise Problem(name, "Not now.")
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


def test_what_was_read_before_and_has_not_changed_is_not_sent_again() -> None:
    first = ask("/v1/things/a")
    tag = first.headers["ETag"]
    again = ask("/v1/things/a", **{"if-none-match": f'"other", {tag}'})
    assert (again.status, again.body, again.headers["ETag"]) == (304, "", tag)
    assert "Content-Type" not in again.headers
    assert ask("/v1/things/b", **{"if-none-match": tag}).status == 200


def test_a_refusal_has_no_tag_and_is_never_304() -> None:
    answer = ask("/v1/things/refused", **{"if-none-match": "*"})
    assert answer.status == 409
    assert "ETag" not in answer.headers


@pytest.mark.parametrize(
    ("forwarded", "hops", "address"),
    [
        ("203.0.113.7", "1", "203.0.113.7"),
        ("10.0.0.1, 203.0.113.7", "1", "203.0.113.7"),  # what the client itself wrote is not believed
        ("1.1.1.1, 203.0.113.7, 35.191.0.1", "2", "203.0.113.7"),
        ("203.0.113.7", "2", None),
        ("203.0.113.7", "0", None),
        ("2001:db8:1:2:3:4:5:6", "1", "2001:db8:1:2::"),
        ("rubbish", "1", None),
        ("", "1", None),
    ],
)
def test_a_clients_address_is_what_our_own_proxies_vouch_for(
    monkeypatch: pytest.MonkeyPatch, forwarded: str, hops: str, address: str | None
) -> None:
    monkeypatch.setenv("FORWARDED_HOPS", hops)
    assert address_of(Request("GET", "/", {}, {"x-forwarded-for": forwarded}, b"")) == address


def test_what_is_refused_by_order_is_counted_by_endpoint_and_what_only_fails_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: list[str] = []
    monkeypatch.setattr(observations, "count", lambda name, amount=1: counted.append(name))
    assert [ask(f"/v1/things/{name}").status for name in ("closed", "unavailable", "well")] == [503, 503, 200]
    assert counted == ["refused.closed GET /v1/things/{name}"]


def decision(**fields: Any) -> Decision:
    return Decision(True, (Standing(Policy("chat-user", 10, 60), 10, 9, 60_000),), **fields)


def test_a_closed_route_and_a_shed_plan_are_told_so_and_the_others_let_in() -> None:
    controls.saw(controls.Controls(closed=frozenset({"chat"}), shed_plans=frozenset({"free"})).as_json(), None)
    try:
        for route, plan in (("chat", "pro"), ("upload", "free")):
            with pytest.raises(Problem) as refused:
                admitted(decision(plan=plan), route)
            assert (refused.value.code, refused.value.kind.status) == ("closed", 503)
            assert int(refused.value.headers["Retry-After"]) > 0
        assert "RateLimit" in admitted(decision(plan="pro"), "upload")
        assert "RateLimit" in admitted(decision(plan=None), "upload")
    finally:
        controls.saw(None, None)


def test_refused_tokens_are_not_free_without_end_and_harm_nobody_who_has_a_good_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_call() -> Any:
        raise AssertionError("a refused token costs no call of Redis")

    limiter = limits.Limiter(no_call)
    monkeypatch.setattr(limits, "limiter", lambda: limiter)
    monkeypatch.setenv("ALLOW_UNSIGNED_TOKENS", "true")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "demo-p")
    settings_module.settings.cache_clear()

    def problem(address: str, authorization: str) -> Problem:
        with pytest.raises(Problem) as raised:
            admit(Request("GET", "/", {}, {"x-forwarded-for": address, "authorization": authorization}, b""), "read")
        return raised.value

    problems = [problem("203.0.113.7", f"Bearer garbage.{number}") for number in range(105)]
    assert [p.code for p in problems] == ["unauthenticated"] * 100 + ["rate-limited"] * 5
    assert problems[-1].kind.status == 429
    assert problems[-1].as_dict()["violated-policies"] == ["failed-tokens"]
    assert 0 < int(problems[-1].headers["Retry-After"]) <= 60
    assert problem("198.51.100.1", "Bearer garbage").code == "unauthenticated"
    now = time.time()
    claims = {"iss": "https://securetoken.google.com/demo-p", "aud": "demo-p", "sub": "ana"}
    token = jwt.encode({**claims, "iat": now, "auth_time": now, "exp": now + 60}, "", algorithm="none")
    good = Request("GET", "/", {}, {"x-forwarded-for": "203.0.113.7", "authorization": f"Bearer {token}"}, b"")
    assert identified(good).uid == "ana"


class AlwaysIn:
    def ask(self, route: str, user: str | None, address: str | None = None) -> Decision:
        return decision(local=True)

    async def ask_async(self, route: str, user: str | None, address: str | None = None) -> Decision:
        return self.ask(route, user, address)


@pytest.mark.parametrize("error", [Problem("not-found", "No."), RuntimeError("unforeseen")], ids=["problem", "error"])
def test_what_goes_wrong_after_the_door_tells_the_limits_too(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(limits, "limiter", AlwaysIn)
    monkeypatch.setattr(http, "identified", lambda request: Caller("ana", "token"))

    def handler(request: Request) -> Answer:
        admit(request, "chat")
        raise error

    async def handler_async(request: Request) -> Answer:
        await admit_async(request, "chat")
        raise error

    def anyone(request: Request) -> Answer:
        admit_anyone(request, "status")
        raise error

    request = partial(Request, "GET", "/", {}, {}, b"")
    answers = [respond(request(), (Endpoint("GET", "/", each),)) for each in (handler, anyone)]
    answers.append(asyncio.run(respond_async(request(), (Endpoint("GET", "/", handler_async),))))
    for answer in answers:
        assert answer.status in {404, 500}
        assert answer.headers["RateLimit"] == '"chat-user";r=9;t=60'
        assert answer.headers["RateLimit-Policy"] == '"chat-user";q=10;w=60'
        assert answer.headers["Prodai-Limiter"] == "local"
