"""An incident from its measurement to its notice and back, and the operators' controls, on the local cloud."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from tests.e2e.conftest import LocalCloud, eventually

FORTUNE_MICROUSD = 10_000_000_000


class Operator:
    """An operator with a terminal, and what stands behind the service."""

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud
        self._headers = {"Authorization": f"Bearer {cloud.token('night-shift', claims={'operator': True})}"}

    def controls(self) -> requests.Response:
        return requests.get(f"{self._cloud.ready['metrics']}/v1/controls", headers=self._headers, timeout=30)

    def put(self, body: dict[str, Any], if_match: str | None = None) -> requests.Response:
        headers = self._headers | ({"If-Match": if_match} if if_match else {})
        url = f"{self._cloud.ready['metrics']}/v1/controls"
        return requests.put(url, json=body, headers=headers, timeout=30)

    def redis(self, *command: object) -> Any:
        upstash = self._cloud.ready["upstash"]
        headers = {"Authorization": f"Bearer {upstash['token']}"}
        answer = requests.post(upstash["url"], json=[str(part) for part in command], headers=headers, timeout=10)
        answer.raise_for_status()
        return answer.json()["result"]

    def tick(self) -> None:
        topic = f"http://{self._cloud.ready['pubsub']}/v1/projects/{self._cloud.ready['project']}/topics/tick:publish"
        requests.post(topic, json={"messages": [{"data": "e30="}]}, timeout=10).raise_for_status()

    def webhooks_refuse(self, behaviour: dict[str, Any]) -> None:
        requests.post(f"{self._cloud.ready['inbox']}/behave", json=behaviour, timeout=10).raise_for_status()

    def messages(self, words: str) -> list[tuple[str, str]]:
        """Service and headline of what reached the inbox and has these words."""
        found = requests.get(f"{self._cloud.ready['inbox']}/messages", timeout=10).json()
        taken = [m for m in found if m["status"] < 300 and words in json.dumps(m["payload"])]
        return [(m["service"], headline(m["payload"])) for m in taken]


def headline(payload: dict[str, Any]) -> str:
    return str(payload["text"] if "text" in payload else payload["embeds"][0]["title"])


@pytest.fixture
def operator(cloud: LocalCloud) -> Iterator[Operator]:
    made = Operator(cloud)
    yield made
    made.put({})


def test_a_days_cost_that_is_used_up_closes_the_model_is_told_once_and_undone(
    cloud: LocalCloud, operator: Operator
) -> None:
    assert operator.put({"actions": {"close-model": "on"}}).status_code == 200
    eventually(lambda: ticked(operator) and not open_incidents(cloud, "cost"))
    cost_key = f"cost:{datetime.now(UTC):%Y%m%d}"
    operator.redis("INCRBY", cost_key, FORTUNE_MICROUSD)
    try:
        eventually(lambda: ticked(operator) and "model" in operator.controls().json()["closed"])
        (hold,) = [h for h in operator.controls().json()["automatic"] if h["action"] == "close-model"]
        assert "cost-100" in hold["causes"]
        incident = cloud.document(f"incidents/{hold['incident']}")
        assert incident["state"] == "open"
        assert "model" in json.loads(operator.redis("GET", "controls"))["closed"]
        cloud.replay("metrics-tick", 1)  # the tick comes again
        told = eventually(lambda: len(m := operator.messages(hold["incident"])) >= 2 and m)
        assert sorted(service for service, _ in told) == ["discord", "slack"]
        assert all("Incident: Models used" in words for _, words in told)
        operator.webhooks_refuse({"status": 429, "retryAfter": 1, "times": 1})
    finally:
        operator.redis("DECRBY", cost_key, FORTUNE_MICROUSD)
    eventually(lambda: ticked(operator) and cloud.document(f"incidents/{hold['incident']}")["state"] == "resolved")
    told = eventually(lambda: len(m := operator.messages(hold["incident"])) >= 4 and m)
    assert sorted(words.split(":")[0].split(" ")[1] for _, words in told) == ["Incident"] * 2 + ["Resolved"] * 2
    assert operator.put({"actions": {"close-model": "off"}}).json()["closed"] == []
    assert json.loads(operator.redis("GET", "controls"))["closed"] == []


def open_incidents(cloud: LocalCloud, group: str) -> list[str]:
    found = {i: cloud.document(f"incidents/{i}") for i in cloud.document("incidents") or []}
    return [i for i, incident in found.items() if incident["group"] == group and incident["state"] == "open"]


def ticked(operator: Operator) -> bool:
    """A tick too soon after another judges nothing; so it is given again and again, by whoever waits."""
    operator.tick()
    time.sleep(2)
    return True


def test_operators_change_the_controls_unless_somebody_else_has(cloud: LocalCloud, operator: Operator) -> None:
    before = operator.controls()
    put = operator.put({"dailyCostLimitUsd": 4321}, before.headers["ETag"])
    assert put.status_code == 200
    assert put.json()["dailyCostLimitUsd"] == 4321
    assert put.json()["changedBy"] == "night-shift"
    assert json.loads(operator.redis("GET", "controls"))["dailyCostLimitUsd"] == 4321
    refused = operator.put({"dailyCostLimitUsd": 1}, before.headers["ETag"])
    assert refused.status_code == 412
    assert refused.json()["code"] == "precondition-failed"
    assert operator.put({"rateFactor": 7}).status_code == 400
    audit = [cloud.document(f"audit/{i}") for i in cloud.document("audit")]
    mine = [row["after"]["dailyCostLimitUsd"] for row in audit if row["who"] == "night-shift"]
    assert 4321 in mine


def test_controls_that_were_wiped_from_redis_are_there_again_after_a_tick(operator: Operator) -> None:
    operator.put({"dailyCostLimitUsd": 1234})
    operator.redis("DEL", "controls")
    operator.tick()
    eventually(lambda: json.loads(operator.redis("GET", "controls") or "{}").get("dailyCostLimitUsd") == 1234)
