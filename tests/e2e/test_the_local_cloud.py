"""`prodai up`: everything is ended with it, whatever ends it, and a second one beside it is unharmed.

That a signal ends everything is held at the end of the cloud that all these tests share (tests/conftest.py), and that
Ctrl-C is such a signal in tests/unit/test_demo.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import requests

from tests.e2e.conftest import LocalCloud, alive, eventually, start_cloud

NEEDED = {"upload", "analyze", "chat", "metrics", "firestore", "pubsub", "storage", "redis", "upstash", "router"}


def test_a_launcher_killed_with_minus_9_takes_every_child_along_and_leaves_the_cloud_beside_it_unharmed(
    cloud: LocalCloud, tmp_path: Path
) -> None:
    ready_file = tmp_path / "second.json"
    process = start_cloud(ready_file)
    second = json.loads(ready_file.read_text(encoding="utf-8"))
    assert set(second["pids"]) >= NEEDED
    assert all(alive(pid) for pid in second["pids"].values())
    process.kill()
    process.wait(20)
    eventually(lambda: not any(alive(pid) for pid in second["pids"].values()), 15)
    assert all(alive(pid) for pid in cloud.ready["pids"].values())
    answer = requests.post(f"{cloud.ready['upload']}/v1/uploads", data="{}", timeout=10)
    assert answer.status_code == 401


def test_a_function_that_dies_is_started_again_at_its_address(cloud: LocalCloud) -> None:
    pid, address = cloud.ready["pids"]["metrics"], f"{cloud.ready['metrics']}/metrics"
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: cloud.ready["pids"]["metrics"] != pid)

    def answers() -> bool:
        try:
            return requests.get(address, timeout=5).ok
        except requests.ConnectionError:
            return False

    eventually(answers)


def test_the_demo_prints_one_json_object_and_nothing_else(song: Path, cloud: LocalCloud) -> None:
    command = [sys.executable, "-m", "local.cli", "demo", str(song), "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    outcome = json.loads(ended.stdout)
    assert set(outcome) == {"track", "analysis", "chat", "timings"}
    assert outcome["track"]["state"] == "done"
    assert len(outcome["chat"]["answer"]) > 50
    assert ended.stderr == ""
