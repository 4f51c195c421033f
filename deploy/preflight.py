"""What is to be deployed, checked before Google is asked: what gcloud accepts and Google refuses is found here.

    python3 -m deploy.preflight sources NAME…          the folders of these functions; NAME may be `all`
    python3 -m deploy.preflight rows REGIONS NAME…     REGIONS: us,eu,asia, or `-` for all that have a bucket

`rows` prints a line per function and region: the fields of `Row`, each ended by FIELD_END. Faults end it with 2, all
named at once.

Limits: Cloud Run, "Configure memory limits" and "Configure CPU limits"; Cloud Functions, "Quotas" (2026-11).
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from deploy import delivery
from shared import settings
from shared.events import TOPICS
from shared.problems import Problem

ROOT = Path(__file__).resolve().parent.parent
PLACES: Mapping[str, str] = {"us": "us-central1", "eu": "europe-west1", "asia": "asia-northeast1"}
SECRETS = tuple(setting.name for setting in settings.TABLE if setting.purpose.endswith("(secret)"))
FIELD_END = "\x1f"  # the ASCII unit separator: settings hold every other sign
LOCAL_ONLY = ("ALLOW_UNSIGNED_TOKENS", "FIRESTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "STORAGE_EMULATOR_HOST")
TICK_TOPIC = "tick"

HTTP_TIMEOUT_MOST_S = 3600
EVENT_TIMEOUT_MOST_S = 540  # and so below the longest ack deadline, 600 s
CONCURRENCY_MOST = 1000
INSTANCES_MOST = 1000
LEAST_CPU_ABOVE_MIB = ((24 * 1024, 8), (16 * 1024, 6), (8 * 1024, 4), (4 * 1024, 2), (1024, 1), (512, 0.5))
LEAST_MIB_OF_CPU = {4: 2 * 1024, 6: 4 * 1024, 8: 4 * 1024}
MEMORY_MOST_MIB = 32 * 1024


class Row(NamedTuple):
    """One function in one region, as deploy.sh reads it."""

    name: str
    region: str
    place: str
    source: str
    entry_point: str
    trigger: str  # http, topic:NAME or bucket:NAME
    memory_mib: int
    cpu: float
    concurrency: int
    threads: int
    timeout_s: int
    min_instances: int
    max_instances: int
    secrets: str  # NAME=SECRET:latest,…  and a `?` after one that need not have a value
    variables: str  # NAME=VALUE|…
    fingerprint: str  # of all of the above: equal rows give equal ones


class Faults(Exception):  # noqa: N818  # the sentence reads so: preflight.Faults
    """What must be put right, each on a line."""


def table() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((ROOT / "functions" / "deployables.json").read_text("utf-8"))["deployables"]
    return rows


def accounts() -> dict[str, dict[str, Any]]:
    """Who may do what: the service accounts of each function, of the triggers and of the builds."""
    rows: dict[str, dict[str, Any]] = _rights()["accounts"]
    return rows


def acted_as() -> list[str]:
    """The accounts as which another one may act: who scales a service, deploys it under its own account."""
    wanted_by_others = {name for rights in accounts().values() for name in rights.get("actsAs", [])}
    return [name for name in accounts() if name in wanted_by_others]


def agents() -> dict[str, list[str]]:
    """What Google's own agents need on the project; NUMBER stands for the project's number."""
    rows: dict[str, list[str]] = _rights()["agents"]
    return rows


def _rights() -> dict[str, Any]:
    rights: dict[str, Any] = json.loads((ROOT / "deploy" / "rights.json").read_text("utf-8"))
    return rights


def wanted(asked: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of the table that are meant. Raises Faults."""
    names = [deployable["name"] for deployable in table()]
    faults = [f"{name} is no function; there are {', '.join(names)}" for name in asked if name not in (*names, "all")]
    if faults:
        raise Faults("\n".join(faults))
    return [deployable for deployable in table() if "all" in asked or deployable["name"] in asked]


def plan(asked: Sequence[str], regions: str, environment: Mapping[str, str]) -> list[Row]:
    """The functions to deploy, each with its regions. Raises Faults.

    An HTTP function stands in every region, as does the one that hears a bucket. One that hears a topic stands in the
    home region alone: in three regions it would be given every message three times.
    """
    deployables = wanted(asked)
    faults = [*setting_faults(environment), *delivery.faults(delivery.table())]
    faults += [f"{deployable['name']}: {fault}" for deployable in deployables for fault in table_faults(deployable)]
    if faults:
        raise Faults("\n".join(faults))
    buckets = settings.parse(_as_deployed(environment)).upload_buckets
    chosen = list(buckets) if regions == "-" else regions.split(",")
    home = environment.get("HOME_REGION", "us")
    faults = [f"{region} is no region; there are {', '.join(PLACES)}" for region in {*chosen, home} - set(PLACES)]
    faults += [f"UPLOAD_BUCKETS names no bucket for {region}" for region in chosen if region not in buckets]
    if faults:
        raise Faults("\n".join(faults))
    rows = [row for deployable in deployables for row in _rows(deployable, chosen, home, buckets, environment)]
    if not rows:
        hint = f"what hears a topic stands in the home region alone, {home}; HOME_REGION moves it"
        raise Faults(f"{', '.join(asked)}: not in {regions}: {hint}")
    return rows


def _rows(
    deployable: Mapping[str, Any],
    regions: Sequence[str],
    home: str,
    buckets: Mapping[str, str],
    environment: Mapping[str, str],
) -> Iterator[Row]:
    trigger = deployable["trigger"] or {}
    for region in regions:
        if "topic" in trigger and region != home:
            continue
        row = Row(
            name=deployable["name"],
            region=region,
            place=PLACES[region],
            source=deployable["source"],
            entry_point=deployable["entryPoint"],
            trigger=_trigger(trigger, buckets[region]),
            memory_mib=deployable["memoryMib"],
            cpu=deployable["cpu"],
            concurrency=deployable["concurrency"],
            threads=deployable["threads"],
            timeout_s=deployable["timeoutS"],
            min_instances=deployable["minInstances"],
            max_instances=deployable["maxInstances"],
            secrets=",".join(_secret(name) for name in accounts()[deployable["name"]]["secrets"]),
            variables=_variables(environment, deployable["threads"]),
            fingerprint="",
        )
        yield row._replace(fingerprint=hashlib.sha256(repr(row).encode()).hexdigest())


def _variables(environment: Mapping[str, str], threads: int) -> str:
    """Separated by `|`, since lists of settings hold commas."""
    given = {name: environment[name] for name in passed_settings() if environment.get(name)}
    return "|".join(f"{name}={value}" for name, value in {**given, "THREADS": str(threads)}.items())


def _secret(name: str) -> str:
    needed = any(setting.name == name and setting.default is None for setting in settings.TABLE)
    return f"{name}={name}:latest" + ("" if needed else "?")


def _trigger(trigger: Mapping[str, Any], bucket: str) -> str:
    if "topic" in trigger:
        return f"topic:{trigger['topic']}"
    return f"bucket:{bucket}" if trigger else "http"


def setting_faults(environment: Mapping[str, str]) -> list[str]:
    """The settings, judged by the code that will read them at the function's start."""
    faults: list[str] = []
    try:
        settings.parse(_as_deployed(environment))
    except Problem as problem:
        faults += [str(fault) for fault in problem.extensions["faults"]]  # type: ignore[attr-defined]
    project = environment.get("GOOGLE_CLOUD_PROJECT", "")
    if project and not re.fullmatch(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", project):
        faults.append(f"GOOGLE_CLOUD_PROJECT is {project}, which is no project's id")
    faults += [f"{name} must not hold a `|`" for name in passed_settings() if "|" in environment.get(name, "")]
    return faults


def _as_deployed(environment: Mapping[str, str]) -> dict[str, str]:
    given = {name: environment[name] for name in passed_settings() if name in environment}
    return {
        **given,
        **dict.fromkeys(SECRETS, "https://kept.by.secret.manager.invalid"),
        "K_SERVICE": "a deployed function",
    }


def passed_settings() -> list[str]:
    """The settings that a deployed function gets as plain variables."""
    return [setting.name for setting in settings.TABLE if setting.name not in (*SECRETS, *LOCAL_ONLY)]


def table_faults(deployable: Mapping[str, Any]) -> Iterator[str]:
    """What Google would refuse of a row of functions/deployables.json, or what would fail at the function's start."""
    name, trigger = deployable["name"], deployable["trigger"]
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,21}[a-z0-9]", name):
        yield "a name has small letters, digits and hyphens, 23 at most: prodai-NAME is its service account"
    if name not in accounts():
        yield "deploy/rights.json does not say what its service account may do"
    if (deployable["signature"] == "http") != (trigger is None):
        yield "an HTTP function has no trigger, and one that hears events has one"
    if trigger and trigger.get("topic", TICK_TOPIC) not in (*TOPICS.values(), TICK_TOPIC):
        yield f"nothing is published on the topic {trigger['topic']}"
    if deployable["entryPoint"] not in _functions_of(ROOT / deployable["source"] / "main.py"):
        yield f"{deployable['source']}/main.py has no function {deployable['entryPoint']}"
    yield from _size_faults(deployable)
    most_s = EVENT_TIMEOUT_MOST_S if trigger else HTTP_TIMEOUT_MOST_S
    if not 1 <= deployable["timeoutS"] <= most_s:
        yield f"a timeout of {deployable['timeoutS']} s is not within 1 to {most_s} s"
    if not 0 <= deployable["minInstances"] <= deployable["maxInstances"] <= INSTANCES_MOST:
        yield f"instances must be 0 <= minInstances <= maxInstances <= {INSTANCES_MOST}"


def _size_faults(deployable: Mapping[str, Any]) -> Iterator[str]:
    memory_mib, cpu, concurrency = deployable["memoryMib"], deployable["cpu"], deployable["concurrency"]
    if cpu not in (1, 2, 4, 6, 8) and not 0.08 <= cpu < 1:
        yield f"{cpu} CPUs: only 1, 2, 4, 6, 8, or 0.08 to 1"
    if not 128 <= memory_mib <= MEMORY_MOST_MIB:
        yield f"{memory_mib} MiB of memory: only 128 to {MEMORY_MOST_MIB}"
    least_cpu = next((least for above, least in LEAST_CPU_ABOVE_MIB if memory_mib > above), 0)
    if cpu < least_cpu:
        yield f"{memory_mib} MiB of memory need {least_cpu} CPUs at least, not {cpu}"
    if memory_mib < LEAST_MIB_OF_CPU.get(cpu, 0):
        yield f"{cpu} CPUs need {LEAST_MIB_OF_CPU[cpu]} MiB of memory at least, not {memory_mib}"
    if not 1 <= concurrency <= CONCURRENCY_MOST:
        yield f"a concurrency of {concurrency} is not within 1 to {CONCURRENCY_MOST}"
    if cpu < 1 and concurrency != 1:
        yield f"less than one CPU allows a concurrency of 1 only, not {concurrency}"


def _functions_of(main: Path) -> set[str]:
    tree = ast.parse(main.read_text(encoding="utf-8")) if main.is_file() else ast.Module([], [])
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def main(arguments: Sequence[str]) -> str:
    if arguments[0] == "sources":
        return "".join(f"{source}\n" for source in sorted({row["source"] for row in wanted(arguments[1:])}))
    rows = plan(arguments[2:], arguments[1], os.environ)
    elsewhere = [row["name"] for row in wanted(arguments[2:]) if row["name"] not in {row.name for row in rows}]
    if elsewhere:
        reason = f"what hears a topic stands in the home region alone, {os.environ.get('HOME_REGION', 'us')}"
        sys.stderr.write(f"deploy: not in {arguments[1]}: {', '.join(elsewhere)}; {reason}\n")
    return "".join("".join(f"{field}{FIELD_END}" for field in row) + "\n" for row in rows)


if __name__ == "__main__":
    try:
        sys.stdout.write(main(sys.argv[1:]))
    except Faults as faults:
        sys.stderr.write("".join(f"deploy: {line}\n" for line in str(faults).splitlines()))
        sys.exit(2)
