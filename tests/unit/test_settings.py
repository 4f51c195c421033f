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


MODELS = {"MODEL_BASE_URL": "https://models.example/v1/", "MODEL_NAMES": "small", "MODEL_PRICES": "small=0.15/0.60"}


def test_models_are_named_by_plan_or_once_for_all() -> None:
    for_all = settings.parse({**WHOLE, **MODELS})
    assert for_all.model_base_url == "https://models.example/v1"
    assert for_all.model_names == {"free": "small", "plus": "small", "pro": "small"}
    by_plan = {**MODELS, "MODEL_NAMES": "plus=a/b:1, pro=c", "MODEL_PRICES": "a/b:1=0/0,c=2.5/10", "MODEL_VISION": "c"}
    parsed = settings.parse({**WHOLE, **by_plan})
    assert parsed.model_names == {"plus": "a/b:1", "pro": "c"}
    assert parsed.model_prices == {"a/b:1": (0.0, 0.0), "c": (2.5, 10.0)}
    assert (parsed.daily_cost_limit_usd, parsed.user_daily_cost_limit_usd) == (100.0, 2.0)
    assert settings.parse(WHOLE).models == frozenset()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"MODEL_BASE_URL": ""}, "MODEL_BASE_URL is missing"),
        ({"MODEL_NAMES": ""}, "MODEL_NAMES is missing"),
        ({"MODEL_NAMES": "gold=x"}, "MODEL_NAMES must be one model's name"),
        ({"MODEL_FALLBACK": "other"}, "MODEL_PRICES has no price for other"),
        ({"MODEL_PRICES": "small=cheap"}, "MODEL_PRICES must have the form"),
        ({"MODEL_PRICES": "small=-1/2"}, "MODEL_PRICES must have the form"),
        ({"MODEL_VISION": "eye"}, "MODEL_VISION names eye"),
        ({"DAILY_COST_LIMIT_USD": "nan"}, "DAILY_COST_LIMIT_USD must be an amount"),
    ],
)
def test_settings_of_models_that_contradict_each_other_are_faults(changes: dict[str, str], fault: str) -> None:
    with pytest.raises(Problem, match=fault):
        settings.parse({**WHOLE, **MODELS, **changes})


def test_the_key_of_the_models_service_is_not_printed() -> None:
    assert "key-1" not in repr(settings.parse({**WHOLE, **MODELS, "MODEL_API_KEY": "key-1"}))
