"""Settings are validated at start, with all faults named at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared import settings
from shared.problems import Problem

ROOT = Path(__file__).resolve().parents[2]
WHOLE = {
    "GOOGLE_CLOUD_PROJECT": "p",
    "UPLOAD_BUCKETS": "us=a,eu=b",
    "UPSTASH_REDIS_REST_URL": "https://redis.example",
    "UPSTASH_REDIS_REST_TOKEN": "very-secret",
}


def test_a_whole_environment_is_taken() -> None:
    parsed = settings.parse({**WHOLE, "ALLOWED_ORIGINS": "https://app.example, http://localhost:3000/"})
    assert parsed.project == "p"
    assert parsed.upload_buckets == {"us": "a", "eu": "b"}
    assert parsed.allowed_origins == ("https://app.example", "http://localhost:3000")
    assert parsed.allow_unsigned_tokens is False


def test_all_faults_are_named_at_once_and_no_value_is_shown() -> None:
    broken = {"UPLOAD_BUCKETS": "mars=x", "UPSTASH_REDIS_REST_URL": "s3cret-no-address", "LOG_LEVEL": "loud"}
    with pytest.raises(Problem) as raised:
        settings.parse(broken)
    faults = " ".join(map(str, raised.value.as_dict()["faults"]))  # type: ignore[call-overload]
    for name in ("GOOGLE_CLOUD_PROJECT", "UPLOAD_BUCKETS", "UPSTASH_REDIS_REST_URL", "REST_TOKEN", "LOG_LEVEL"):
        assert name in faults
    assert "s3cret" not in faults


@pytest.mark.parametrize("name", ["ALLOW_UNSIGNED_TOKENS", "FIRESTORE_EMULATOR_HOST", "STORAGE_EMULATOR_HOST"])
def test_a_deployed_function_refuses_what_is_for_the_local_cloud(name: str) -> None:
    value = "true" if name == "ALLOW_UNSIGNED_TOKENS" else "http://127.0.0.1:1"
    settings.parse({**WHOLE, name: value})
    with pytest.raises(Problem, match=name):
        settings.parse({**WHOLE, name: value, "K_SERVICE": "upload"})


def test_a_function_with_broken_settings_refuses_to_start_with_one_line_and_no_stack_trace() -> None:
    code = "from shared.settings import settings_or_exit; settings_or_exit()"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == settings.GUNICORN_BOOT_ERROR
    assert "urn:prodai:problem:misconfigured" in ended.stdout
    assert ended.stdout.count("\n") == 1
    assert ended.stderr == ""


def test_the_readme_explains_every_setting() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [setting.name for setting in settings.TABLE if f"`{setting.name}`" not in readme]
    assert missing == []
