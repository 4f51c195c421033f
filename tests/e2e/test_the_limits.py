"""Limits and the operators' controls, as clients meet them."""

from __future__ import annotations

import time
from typing import Any

import requests

from tests.cloud import LocalCloud, eventually


def test_a_switch_that_an_operator_turns_takes_effect_within_a_second_and_without_a_deployment(
    cloud: LocalCloud,
) -> None:
    operator = {"Authorization": f"Bearer {cloud.token('operator-of-limits', claims={'operator': True})}"}
    address = f"{cloud.ready['metrics']}/v1/controls"
    user = {"Authorization": f"Bearer {cloud.token('switched')}"}

    def asked() -> requests.Response:
        return requests.post(f"{cloud.ready['upload']}/v1/uploads", data="{", headers=user, timeout=10)

    def ordered(denied: list[str]) -> None:
        answer = requests.put(address, json={"denied": denied}, headers=operator, timeout=10)
        assert answer.status_code == 200, answer.text

    assert asked().status_code == 400
    ordered(["user:switched"])
    try:
        ordered_at = time.monotonic()
        eventually(lambda: asked().json()["code"] == "forbidden")
        assert time.monotonic() - ordered_at < 5  # the very next request; this machine may be busy
    finally:
        ordered([])
    other = {"Authorization": f"Bearer {cloud.token('not-switched')}"}
    assert requests.post(f"{cloud.ready['upload']}/v1/uploads", data="{", headers=other, timeout=10).status_code == 400
    assert asked().status_code == 400  # the other's request has told the instance that the denial is lifted


def test_an_address_is_limited_whoever_asks_from_it(cloud: LocalCloud) -> None:
    """Of what Redis has judged; where it is later than its deadline on a busy machine, the local limit judges."""
    judged: list[requests.Response] = []
    late = 0  # Redis may have counted these all the same
    for user in range(30):
        headers = {"Authorization": f"Bearer {cloud.token(f'behind-it-{user}')}", "X-Forwarded-For": "198.51.100.77"}
        with requests.Session() as session:
            for _ in range(10):
                answer = session.post(f"{cloud.ready['upload']}/v1/uploads", data="{", headers=headers, timeout=10)
                if "Prodai-Limiter" in answer.headers:
                    late += 1
                else:
                    judged.append(answer)
    statuses = [answer.status_code for answer in judged]
    allowed = statuses.count(400)
    assert 100 - late <= allowed <= 100 < len(statuses)
    assert statuses == [400] * allowed + [429] * (len(statuses) - allowed)
    assert judged[0].headers["RateLimit-Policy"].startswith('"upload-user"')
    assert judged[-1].json()["violated-policies"] == ["upload-address"]


def test_what_has_not_changed_since_it_was_read_is_not_sent_again(cloud: LocalCloud) -> None:
    headers: dict[str, Any] = {"Authorization": f"Bearer {cloud.token('reader-again')}"}
    address = f"{cloud.ready['upload']}/v1/account"
    first = requests.get(address, headers=headers, timeout=10)
    assert first.status_code == 200
    again = requests.get(address, headers=headers | {"If-None-Match": first.headers["ETag"]}, timeout=10)
    assert (again.status_code, again.content) == (304, b"")
