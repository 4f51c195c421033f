"""What the functions measure on a track's way reaches the operators: as JSON, for Prometheus, in the terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import requests

from tests.e2e.conftest import LocalCloud, eventually


def test_a_tracks_way_is_measured_and_seen_by_operators_prometheus_and_everyone(cloud: LocalCloud, song: Path) -> None:
    client = cloud.client("measured")
    upload = client.create_upload(song)
    client.send(upload, song, lambda _: None)
    client.wait(upload["trackId"], 60, lambda _: None)
    operator = {"Authorization": f"Bearer {cloud.token('watches', claims={'operator': True})}"}

    def shown() -> dict[str, Any]:
        client.status(upload["trackId"])  # what upload measured before travels with its next request
        found: dict[str, Any] = requests.get(
            f"{cloud.ready['metrics']}/v1/metrics", headers=operator, timeout=10
        ).json()
        return found

    def measured(found: dict[str, Any]) -> bool:
        endpoints = {row["endpoint"]: row for row in found["lastHour"]["endpoints"]}
        seen = {"POST /v1/uploads", "GET /v1/uploads/{track_id}"} <= set(endpoints)
        uploads = [i for i in found["instances"] if i["service"] == "upload"]
        return seen and bool(uploads) and found["totals"].get("analysis.done", 0) >= 1 and bool(found["funnels"])

    found = eventually(lambda: measured(last := shown()) and last)
    created = next(row for row in found["lastHour"]["endpoints"] if row["endpoint"] == "POST /v1/uploads")
    assert 0 < created["p50Ms"] <= created["p95Ms"] <= created["p99Ms"]
    assert 0 < next(i["memory"] for i in found["instances"] if i["service"] == "upload") <= 1
    assert found["active"]["fiveMinutes"] >= 1
    assert isinstance(found["incidents"], list)  # of what was read, whether or not there are any
    assert found["funnels"][0]["uploaded"] >= 1

    counted = 'prodai_request_duration_seconds_count{endpoint="POST /v1/uploads"}'
    eventually(lambda: counted in requests.get(f"{cloud.ready['metrics']}/metrics", timeout=10).text)
    status = requests.get(f"{cloud.ready['metrics']}/v1/status", timeout=10)
    assert status.headers["Cache-Control"] == "public, max-age=15"
    assert {part["part"] for part in status.json()["parts"]} >= {"uploads", "analysis", "chat", "storage-us"}


def test_top_prints_a_frame_for_whoever_runs_the_local_cloud(cloud: LocalCloud, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    ready.write_text(cloud._ready_file.read_text(encoding="utf-8"), encoding="utf-8")
    command = [sys.executable, "-m", "local.cli", "top", "--once", "--ready-file", str(ready)]
    environment = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=True)
    assert "active users" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
