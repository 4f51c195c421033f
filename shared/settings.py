"""The settings of all functions, read from the environment once and validated with all faults named at once.

A function whose settings are broken refuses to start: the deployment fails, and traffic stays where it was.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal
from urllib.parse import urlsplit

from shared.plans import plans
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


def _edges(raw: str) -> Mapping[str, str]:
    pairs = [part.partition("=") for part in raw.split(",") if part.strip()]
    if any(region.strip() not in REGIONS for region, _, _ in pairs):
        raise ValueError(f"must have the form us=https://…,eu=https://…, of the regions {', '.join(REGIONS)}")
    return {region.strip(): _url(address.strip()) for region, _, address in pairs}


def _count(raw: str) -> int:
    if not (raw.isascii() and raw.isdigit()) or int(raw) < 1:
        raise ValueError("must be a whole number of 1 or more")
    return int(raw)


def _url_if_any(raw: str) -> str:
    return _url(raw) if raw else ""


def _names(raw: str) -> frozenset[str]:
    return frozenset(part.strip() for part in raw.split(",") if part.strip())


def _models(raw: str) -> Mapping[str, str]:
    """A model by plan; one name alone serves all plans."""
    if raw and "=" not in raw and "," not in raw:
        return dict.fromkeys(plans(), raw)
    pairs = [part.partition("=") for part in raw.split(",") if part.strip()]
    models = {plan.strip(): name.strip() for plan, _, name in pairs}
    if set(models) - set(plans()) or not all(models.values()):
        raise ValueError("must be one model's name, or have the form free=NAME,plus=NAME,pro=NAME")
    return models


def _prices(raw: str) -> Mapping[str, tuple[float, float]]:
    prices: dict[str, tuple[float, float]] = {}
    for part in raw.split(","):
        name, _, price = part.strip().rpartition("=")
        if part.strip():
            into, _, out = price.partition("/")
            try:
                prices[name.strip()] = (_amount(into), _amount(out))
            except ValueError as error:
                raise ValueError("must have the form NAME=0.15/0.60,… (USD per million tokens in and out)") from error
    return prices


def _amount(raw: str) -> float:
    value = float(raw)
    if not 0 <= value < 1e6:
        raise ValueError("must be an amount of 0 or more")
    return value


def _hops(raw: str) -> int:
    if not raw.isdigit() or int(raw) > 10:
        raise ValueError("must be a number from 0 to 10")
    return int(raw)


def _webhook(raw: str) -> str:
    return "" if raw == "none" else _url_if_any(raw)


def _mode(raw: str) -> str:
    if raw not in {"on", "dry-run", "off"}:
        raise ValueError("must be on, dry-run or off")
    return raw


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
    Setting("EDGE_URLS", _edges, "", "the addresses of upload in the regions: `us=https://…,eu=https://…`"),
    Setting("UPLOADS_ALERT_THRESHOLD", _count, "50", "simultaneous uploads above which operators are told"),
    Setting("ANALYSES_AT_ONCE", _count, "5", "how many analyses run at once, in all"),
    Setting("UPSTASH_REDIS_REST_URL", _url, None, "Upstash's REST address"),
    Setting("UPSTASH_REDIS_REST_TOKEN", _text, None, "Upstash's REST token (secret)"),
    Setting("ALLOWED_ORIGINS", _origins, "", "origins of the web client, separated by commas; `*` for any"),
    Setting("FORWARDED_HOPS", _hops, "1", "proxies of ours that append to `X-Forwarded-For`: 1, behind the balancer 2"),
    Setting("METRICS_TOKEN", _text, "", "the bearer token that `GET /metrics` asks for, if set (secret)"),
    Setting("LOG_LEVEL", _level, "INFO", "`DEBUG`, `INFO`, `WARNING` or `ERROR`"),
    Setting("ALLOW_UNSIGNED_TOKENS", _flag, "false", "accept the emulator's unsigned ID tokens; never where deployed"),
    Setting("FIRESTORE_EMULATOR_HOST", _text, "", "`host:port` of the Firestore emulator (local cloud only)"),
    Setting("PUBSUB_EMULATOR_HOST", _text, "", "`host:port` of the Pub/Sub emulator (local cloud only)"),
    Setting("STORAGE_EMULATOR_HOST", _text, "", "address of the storage stand-in (local cloud only)"),
    Setting("MODEL_BASE_URL", _url_if_any, "", "an OpenAI-compatible service, up to `/v1`; none: the advisor alone"),
    Setting("MODEL_API_KEY", _text, "", "the key of that service (secret)"),
    Setting("MODEL_NAMES", _models, "", "its model: one name, or by plan `free=NAME,plus=NAME,pro=NAME`"),
    Setting("MODEL_FALLBACK", _text, "", "a second model, asked when the first fails before its first word"),
    Setting("MODEL_VISION", _names, "", "which of the models see images, separated by commas"),
    Setting("MODEL_PRICES", _prices, "", "USD per million tokens in and out: `NAME=0.15/0.60,…`, one for every model"),
    Setting("DAILY_COST_LIMIT_USD", _amount, "100", "what models may cost a day (UTC); the advisor answers beyond it"),
    Setting("USER_DAILY_COST_LIMIT_USD", _amount, "2", "the same for one user"),
    Setting("SLACK_WEBHOOK_URL", _webhook, "", "where incidents are told to Slack; `none` for nowhere (secret)"),
    Setting("DISCORD_WEBHOOK_URL", _webhook, "", "where incidents are told to Discord; `none` for nowhere (secret)"),
    Setting("ACTIONS", _mode, "dry-run", "what the system does by itself in an incident: `on`, `dry-run` or `off`"),
    Setting("RUN_API_URL", _url, "https://run.googleapis.com", "the Cloud Run Admin API"),
    Setting("OTEL_EXPORTER_OTLP_ENDPOINT", _url_if_any, "", "an OpenTelemetry collector that takes OTLP/HTTP in JSON"),
)


@dataclass(frozen=True)
class Settings:
    project: str
    upload_buckets: Mapping[str, str]
    edge_urls: Mapping[str, str]
    uploads_alert_threshold: int
    analyses_at_once: int
    redis_url: str
    redis_token: str
    allowed_origins: tuple[str, ...]
    forwarded_hops: int
    metrics_token: str
    log_level: str
    allow_unsigned_tokens: bool
    firestore_emulator_host: str
    pubsub_emulator_host: str
    storage_emulator_host: str
    model_base_url: str
    model_api_key: str = field(repr=False)
    model_names: Mapping[str, str]  # by plan; a plan without one has the advisor
    model_fallback: str
    model_vision: frozenset[str]
    model_prices: Mapping[str, tuple[float, float]]  # USD per million tokens, which is micro-USD per token
    daily_cost_limit_usd: float
    user_daily_cost_limit_usd: float
    slack_webhook_url: str = field(repr=False)
    discord_webhook_url: str = field(repr=False)
    actions: Literal["on", "dry-run", "off"]
    run_api_url: str
    otlp_endpoint: str

    @property
    def models(self) -> frozenset[str]:
        return frozenset({*self.model_names.values(), self.model_fallback} - {""})


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
    if not faults:
        loaded = Settings(*values)  # type: ignore[arg-type]  # the table's order is the dataclass's
        faults = _model_faults(loaded)
    if faults:
        raise Problem("misconfigured", "; ".join(faults), {"faults": faults})
    return loaded


def _model_faults(loaded: Settings) -> list[str]:
    """What the settings of the models say against each other."""
    if not loaded.model_base_url:
        return ["MODEL_BASE_URL is missing, and MODEL_NAMES names models"] if loaded.models else []
    faults = [] if loaded.model_names else ["MODEL_NAMES is missing: MODEL_BASE_URL names a service"]
    unpriced = sorted(loaded.models - set(loaded.model_prices))
    if unpriced:  # what has no price cannot be held below a ceiling
        faults.append(f"MODEL_PRICES has no price for {', '.join(unpriced)}; a model that costs nothing is NAME=0/0")
    strangers = sorted(loaded.model_vision - loaded.models)
    if strangers:
        faults.append(f"MODEL_VISION names {', '.join(strangers)}, which neither MODEL_NAMES nor MODEL_FALLBACK has")
    return faults


@cache
def settings() -> Settings:
    return parse(os.environ)


def settings_or_exit() -> Settings:
    """For the top of a `main.py`: broken settings end the process with one line that names every fault."""
    import atexit

    from shared import observations, telemetry

    try:
        loaded = settings()
    except Problem as problem:
        telemetry.emit("CRITICAL", f"refusing to start: {problem.detail}", problem=problem.as_dict())
        sys.exit(GUNICORN_BOOT_ERROR)
    telemetry.set_up(loaded.log_level, loaded.project)
    if loaded.otlp_endpoint:
        service = os.environ.get("K_SERVICE") or os.environ.get("FUNCTION_TARGET", "prodai")
        telemetry.export_to(loaded.otlp_endpoint, service)
    atexit.register(observations.flush)  # what is measured last, when the instance is told to stop
    return loaded
