"""The settings of all functions, read from the environment once and validated with all faults named at once.

A function whose settings are broken refuses to start: the deployment fails, and traffic stays where it was.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

from shared.problems import Problem

REGIONS = ("us", "eu", "asia")
GUNICORN_BOOT_ERROR = 3  # gunicorn's master halts without a stack trace on this exit code of a worker


def _text(raw: str) -> str:
    return raw


def _flag(raw: str) -> bool:
    if raw.lower() in {"true", "1", "yes"}:
        return True
    if raw.lower() in {"false", "0", "no", ""}:
        return False
    raise ValueError("must be true or false")


def _url(raw: str) -> str:
    parts = urlsplit(raw)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ValueError("must be an http(s) address")
    return raw.rstrip("/")


def _origins(raw: str) -> tuple[str, ...]:
    origins = tuple(part.strip().rstrip("/") for part in raw.split(",") if part.strip())
    for origin in origins:
        if origin != "*":
            _url(origin)
    return origins


def _buckets(raw: str) -> Mapping[str, str]:
    pairs = [part.partition("=") for part in raw.split(",") if part.strip()]
    buckets = {region.strip(): bucket.strip() for region, _, bucket in pairs}
    unknown = sorted(set(buckets) - set(REGIONS))
    if unknown:
        raise ValueError(f"knows the regions {', '.join(REGIONS)}, not {', '.join(unknown)}")
    if "us" not in buckets or not all(buckets.values()):
        raise ValueError("must have the form us=BUCKET,eu=BUCKET,asia=BUCKET, us at least")
    return buckets


def _level(raw: str) -> str:
    if raw.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
    return raw.upper()


@dataclass(frozen=True)
class Setting:
    name: str
    parse: Callable[[str], object]
    default: str | None  # None: the setting is needed
    purpose: str


TABLE = (
    Setting("GOOGLE_CLOUD_PROJECT", _text, None, "the project's id"),
    Setting("UPLOAD_BUCKETS", _buckets, None, "the buckets of the regions: `us=BUCKET,eu=BUCKET,asia=BUCKET`"),
    Setting("UPSTASH_REDIS_REST_URL", _url, None, "Upstash's REST address"),
    Setting("UPSTASH_REDIS_REST_TOKEN", _text, None, "Upstash's REST token (secret)"),
    Setting("ALLOWED_ORIGINS", _origins, "", "origins of the web client, separated by commas; `*` for any"),
    Setting("METRICS_TOKEN", _text, "", "the bearer token that `GET /metrics` asks for, if set (secret)"),
    Setting("LOG_LEVEL", _level, "INFO", "`DEBUG`, `INFO`, `WARNING` or `ERROR`"),
    Setting("ALLOW_UNSIGNED_TOKENS", _flag, "false", "accept the emulator's unsigned ID tokens; never where deployed"),
    Setting("FIRESTORE_EMULATOR_HOST", _text, "", "`host:port` of the Firestore emulator (local cloud only)"),
    Setting("PUBSUB_EMULATOR_HOST", _text, "", "`host:port` of the Pub/Sub emulator (local cloud only)"),
    Setting("STORAGE_EMULATOR_HOST", _text, "", "address of the storage stand-in (local cloud only)"),
)


@dataclass(frozen=True)
class Settings:
    project: str
    upload_buckets: Mapping[str, str]
    redis_url: str
    redis_token: str
    allowed_origins: tuple[str, ...]
    metrics_token: str
    log_level: str
    allow_unsigned_tokens: bool
    firestore_emulator_host: str
    pubsub_emulator_host: str
    storage_emulator_host: str


def parse(environment: Mapping[str, str]) -> Settings:
    """The settings of an environment.

    Raises Problem `misconfigured`, whose extension `faults` names every fault, never a value.
    """
    values: list[object] = []
    faults: list[str] = []
    for setting in TABLE:
        raw = environment.get(setting.name, setting.default)
        if raw is None or (setting.default is None and not raw.strip()):
            faults.append(f"{setting.name} is missing: {setting.purpose}")
            continue
        try:
            values.append(setting.parse(raw.strip()))
        except ValueError as error:
            faults.append(f"{setting.name} {error}")
    if "K_SERVICE" in environment:
        faults += [
            f"{name} is for the local cloud and must not be set on a deployed function"
            for name in (
                "ALLOW_UNSIGNED_TOKENS",
                "FIRESTORE_EMULATOR_HOST",
                "PUBSUB_EMULATOR_HOST",
                "STORAGE_EMULATOR_HOST",
            )
            if environment.get(name, "").lower() not in {"", "false", "0", "no"}
        ]
    if faults:
        raise Problem("misconfigured", "; ".join(faults), {"faults": faults})
    return Settings(*values)  # type: ignore[arg-type]  # the table's order is the dataclass's


@cache
def settings() -> Settings:
    return parse(os.environ)


def settings_or_exit() -> Settings:
    """For the top of a `main.py`: broken settings end the process with one line that names every fault."""
    from shared import telemetry

    try:
        loaded = settings()
    except Problem as problem:
        telemetry.emit("CRITICAL", f"refusing to start: {problem.detail}", problem=problem.as_dict())
        sys.exit(GUNICORN_BOOT_ERROR)
    telemetry.set_up(loaded.log_level, loaded.project)
    return loaded
