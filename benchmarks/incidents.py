"""Five incidents on a local cloud of its own: the alert, what is done, who is told, how soon, and that all is undone.

    python -m benchmarks.incidents [cpu] [memory] [errors] [slow] [region]

Each fault happens inside the function `upload` (benchmarks/faults). Ticks come from the local scheduler, every minute.
In time means: within the alert's own time plus 75 s. About 35 minutes for all five.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from local.user import make_user
from monitoring import alerts

FAULTS = Path(__file__).with_name("faults")
GRACE_S = 75.0
START_WITHIN_S = 120.0
BODY = {"filename": "song.wav", "sizeBytes": 1000, "contentType": "audio/wav"}


@dataclass(frozen=True)
class Scenario:
    name: str
    alert: str  # its name
    key: str  # of the alert with its label
    holds: frozenset[str]
    undone_within_s: float


SCENARIOS = (
    Scenario("region", "region-unhealthy", "region-unhealthy/eu", frozenset({"shift-uploads"}), 600),
    Scenario("slow", "response-time", "response-time/", frozenset({"tighten-limits", "scale"}), 600),
    Scenario("errors", "error-rate", "error-rate/", frozenset({"tighten-limits"}), 600),
    Scenario("memory", "memory", "memory/upload", frozenset({"scale"}), 400),
    Scenario("cpu", "cpu", "cpu/upload", frozenset({"scale"}), 400),
)


class Cloud:
    """`prodai up` with faults, and what an operator sees of it."""

    def __init__(self, folder: Path) -> None:
        self.fault = folder / "fault"
        ready_file = folder / "ready.json"
        environment = {**os.environ, "ACTIONS": "on", "PRODAI_FAULT": str(self.fault), "PYTHONPATH": str(FAULTS)}
        environment["UPLOADS_ALERT_THRESHOLD"] = "100000"  # nobody finishes the uploads of this traffic
        command = [sys.executable, "-m", "local.cli", "up", "--ready-file", str(ready_file)]
        log = (folder / "log").open("wb")
        self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        begin = time.monotonic()
        while not ready_file.exists():
            if self._process.poll() is not None or time.monotonic() - begin > START_WITHIN_S:
                sys.exit(f"prodai up did not become ready:\n{(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.2)
        self.ready: dict[str, Any] = json.loads(ready_file.read_text(encoding="utf-8"))
        self._headers = {"Authorization": f"Bearer {make_user(self.ready, 'op', 'pro', {'operator': True})}"}
        self._tokens = [make_user(self.ready, f"user-{i}", "pro", {}) for i in range(12)]
        self._ask("GET", "/v1/uploads/none", {"Authorization": f"Bearer {self._tokens[0]}"})

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)

    def traffic(self, stop: threading.Event) -> None:
        """Two requests a second that read, one in three seconds that uploads; of many users."""
        number = 0
        while not stop.wait(0.5):
            headers = {"Authorization": f"Bearer {self._tokens[number % len(self._tokens)]}"}
            threading.Thread(target=self._ask, args=("GET", "/v1/uploads/none", headers)).start()
            if number % 6 == 0:
                threading.Thread(target=self._ask, args=("POST", "/v1/uploads?region=eu", headers)).start()
            number += 1

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> None:
        body = BODY if method == "POST" else None
        try:
            requests.request(method, self.ready["upload"] + path, json=body, headers=headers, timeout=20)
        except requests.RequestException as error:
            print(f"  a request had no answer: {type(error).__name__}", flush=True)

    def controls(self) -> dict[str, Any]:
        found: dict[str, Any] = requests.get(
            f"{self.ready['metrics']}/v1/controls", headers=self._headers, timeout=20
        ).json()
        return found

    def scaled(self) -> dict[str, Any]:
        found: dict[str, Any] = requests.get(f"{self.ready['runApi']}/scaled", timeout=20).json()
        return found

    def told(self, incident: str) -> list[str]:
        """The headlines of an incident's messages to Slack."""
        found = requests.get(f"{self.ready['inbox']}/messages", timeout=20).json()
        return [m["payload"]["text"] for m in found if m["service"] == "slack" and incident in json.dumps(m["payload"])]

    def incident_with(self, key: str) -> tuple[str, dict[str, Any]] | None:
        """The newest open incident that has an alert with this key."""
        for name, fields in reversed(self._documents("incidents")):
            members = fields["alerts"]["mapValue"].get("fields", {})
            if fields["state"]["stringValue"] == "open" and any(member.startswith(key) for member in members):
                return name, fields
        return None

    def is_open(self, incident: str) -> bool:
        return any(n == incident and f["state"]["stringValue"] == "open" for n, f in self._documents("incidents"))

    def _documents(self, collection: str) -> list[tuple[str, dict[str, Any]]]:
        base = f"http://{self.ready['firestore']}/v1/projects/{self.ready['project']}/databases/(default)/documents"
        answer = requests.get(f"{base}/{collection}", headers={"Authorization": "Bearer owner"}, timeout=20)
        return [(d["name"].rpartition("/")[2], d["fields"]) for d in answer.json().get("documents", [])]


def waited(check: Callable[[], Any], deadline_s: float) -> tuple[Any, float]:
    """The first true answer and how long it took; false where it did not come."""
    begin = time.monotonic()
    while time.monotonic() - begin < deadline_s:
        value = check()
        if value:
            return value, time.monotonic() - begin
        time.sleep(0.5)
    return None, time.monotonic() - begin


def run(cloud: Cloud, scenario: Scenario) -> bool:
    alert = next(a for a in alerts.table() if a.name == scenario.alert)
    allowed_s = alert.for_s + GRACE_S
    cloud.fault.write_text(scenario.name, encoding="utf-8")
    found, incident_s = waited(lambda: cloud.incident_with(scenario.key), allowed_s + 120)
    if found is None:
        cloud.fault.unlink()
        print(f"{scenario.name:<8} no incident within {incident_s:.0f} s")
        return False
    incident, _ = found
    told, further_s = waited(lambda: cloud.told(incident), 60)
    taken = {hold["action"] for hold in cloud.controls()["automatic"]}
    ordered, scaled = cloud.controls(), cloud.scaled()
    cloud.fault.unlink()
    _, over_s = waited(lambda: not cloud.is_open(incident), scenario.undone_within_s)
    undone, undone_s = waited(lambda: not cloud.controls()["automatic"], scenario.undone_within_s)
    at_rest, _ = waited(lambda: not any(s["minInstances"] for s in cloud.scaled().values()), 90)
    waited(lambda: cloud.told(incident)[-1].startswith("🟢"), GRACE_S)  # sent after the incident is written as resolved
    messages = cloud.told(incident)
    good = incident_s + further_s <= allowed_s and scenario.holds <= taken and bool(undone and at_rest)
    good = good and len(told or []) == 1 and messages[-1].startswith("🟢")
    print(
        f"{scenario.name:<8} {'good' if good else 'BAD'}: told after {incident_s + further_s:.0f} s of {allowed_s:.0f}"
    )
    print(f"  did {', '.join(sorted(taken))}; rate {ordered['rateFactor']}, weights {ordered['regionWeights']}")
    print(f"  instances { ({name: s['minInstances'] for name, s in scaled.items()}) }")
    print(f"  over after {over_s:.0f} s, undone after {over_s + undone_s:.0f} s; {messages}", flush=True)
    return good


def main() -> int:
    asked = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="incidents-") as folder:
        cloud = Cloud(Path(folder))
        stop = threading.Event()
        traffic = threading.Thread(target=cloud.traffic, args=(stop,))
        traffic.start()
        try:
            time.sleep(5)
            results = [run(cloud, scenario) for scenario in SCENARIOS if not asked or scenario.name in asked]
        finally:
            stop.set()
            traffic.join()
            cloud.end()
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
