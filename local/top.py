"""`prodai top`: how the service stands, once a second, from `GET /v1/metrics` as an operator."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import requests
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from local import readyfile
from local.client import Refused
from local.report_gauges import filled

REFRESH_S = 1.0
DEADLINE_S = 10
ENDPOINTS_MOST = 10
INSTANCES_MOST = 12
INCIDENTS_MOST = 4
HEIGHTS = " ▁▂▃▄▅▆▇█"
WARN_SHARE, ALARM_SHARE = 0.7, 0.9
SLOW_MS, ALARM_MS = 1_000.0, 2_000.0

Shown = Mapping[str, Any]


def run(url: str | None, token: str | None, ready_file: str | None, *, once: bool) -> int:
    """Shows until Ctrl-C. Raises ValueError, NoCloud, Refused, or what requests raises at the first frame."""
    fetch = _from_url(url, token) if url else _from_local_cloud(ready_file)
    console = Console()
    if once:
        console.print(frame(fetch()))
        return 0
    with Live(console=console, screen=True, auto_refresh=False) as live:
        shown = fetch()
        while True:
            live.update(frame(shown), refresh=True)
            time.sleep(REFRESH_S)
            try:
                shown = fetch()
            except (requests.RequestException, Refused, readyfile.NoCloud) as error:
                live.update(Group(Text(f" {error}"[:200], style="bold red"), frame(shown)), refresh=True)


def _from_url(url: str, token: str | None) -> Callable[[], Shown]:
    if not token:
        raise ValueError("--url needs --token, an ID token with the claim operator")
    given = token
    return lambda: _fetched(url.rstrip("/"), given)


def _from_local_cloud(ready_file: str | None) -> Callable[[], Shown]:
    """Finds the cloud anew each time, since a part that was started again may have another address."""
    from local.tokens import unsigned_token

    def fetch() -> Shown:
        ready = readyfile.find(ready_file)
        return _fetched(ready["metrics"], unsigned_token("operator", ready["project"], {"operator": True}))

    return fetch


def _fetched(url: str, token: str) -> Shown:
    answer = requests.get(f"{url}/v1/metrics", headers={"Authorization": f"Bearer {token}"}, timeout=DEADLINE_S)
    body: dict[str, Any] = answer.json()
    if answer.status_code != 200:
        raise Refused(body)
    return body


def frame(shown: Shown) -> RenderableType:
    """One picture of it all, readable at 80 columns."""
    return Group(
        _head(shown),
        Text(),
        _endpoints(shown),
        Text(),
        _counts(shown),
        Text(),
        _instances(shown),
        *_funnel(shown),
    )


def _head(shown: Shown) -> RenderableType:
    queue, active = shown["queue"], shown["active"]
    when = f"  {datetime.fromisoformat(shown['time']):%Y-%m-%d %H:%M:%S} UTC"
    line = Text.assemble((" prodai ", "bold reverse"), when)
    waiting = f"{queue['waiting']} (oldest {_duration(queue['oldestAgeS'])})" if queue else "unknown"
    table = Table.grid(padding=(0, 2))
    table.add_row(" active users", f"{active['minute']} last min, {active['fiveMinutes']} in 5 min", "waiting", waiting)
    running = str(queue["running"]) if queue else "unknown"
    table.add_row(" uploads open", str(shown["uploadsOpen"]), "analysing", running)
    rates = [minute["requests"] for minute in shown["minutes"]]
    table.add_row(" requests/min", Text(_bars(rates[-30:]), "cyan"), "cost today", f"${shown['costTodayUsd']:.2f}")
    return Group(line, _alarms(shown), *_incidents(shown), Text(), table)


def _alarms(shown: Shown) -> Text:
    """What is not as usual: switches, limits that are tightened, regions that are avoided."""
    ordered, said = shown["controls"], []
    if ordered["closed"]:
        said.append(f"closed: {', '.join(ordered['closed'])}")
    if ordered["rateFactor"] < 1:
        said.append(f"limits x {ordered['rateFactor']:g}")
    if ordered["shedPlans"]:
        said.append(f"shed: {', '.join(ordered['shedPlans'])}")
    if shown["unhealthyRegions"]:
        said.append(f"storage: {', '.join(shown['unhealthyRegions'])}")
    return Text(f" {'   '.join(said)}", "bold red") if said else Text(" nothing switched off", "green")


def _incidents(shown: Shown) -> list[Text]:
    found = shown["incidents"]
    if found is None:
        return [Text(" incidents unknown: Firestore does not answer", "bold red")]
    told = found[:INCIDENTS_MOST]
    return [
        Text(f" {i['severity']}: {i['title']}, since {i['openedAt'][11:16]}", "bold red", no_wrap=True) for i in told
    ]


def _endpoints(shown: Shown) -> Table:
    table = _table("last 5 min", ["req/s", "errors", "p50", "p95", "p99"])
    rows = sorted(shown["recent"]["endpoints"], key=lambda row: -row["requests"])
    for row in rows[:ENDPOINTS_MOST]:
        errors = row["errorRate"] or 0.0
        alarm = "red" if errors > 0.05 else "yellow" if errors else "default"
        durations = [_ms(row[name]) for name in ("p50Ms", "p95Ms", "p99Ms")]
        table.add_row(row["endpoint"], f"{row['perSecond']:.2f}", Text(f"{errors:.1%}", alarm), *durations)
    if not rows:
        table.add_row("no requests", "", "", "", "", "")
    for name, timing in shown["recent"]["timings"].items():
        table.add_row(name, "", "", *(_ms(timing[p]) for p in ("p50Ms", "p95Ms", "p99Ms")), style="dim")
    return table


def _counts(shown: Shown) -> Table:
    """What was counted in five minutes, a line for each group."""
    groups: dict[str, list[str]] = {}
    for name, count in shown["recent"]["counts"].items():
        group, _, kind = name.partition(".")
        groups.setdefault(group, []).append(f"{kind} {count:,}")
    table = Table.grid(padding=(0, 2))
    for group, said in groups.items():
        table.add_row(f" {group}", ", ".join(said))
    return table


def _instances(shown: Shown) -> Table:
    table = _table("instances", ["cpu", "memory", "age", "seen"])
    found = sorted(shown["instances"], key=lambda i: (i["service"], -i.get("memory", 0)))
    for instance in found[:INSTANCES_MOST]:
        ages = [_duration(instance["ageS"]), f"{instance['seenS']} s ago"]
        label = Text.assemble(f"{instance['service']} ", (instance["id"], "dim"))
        table.add_row(label, _share(instance.get("cpu")), _share(instance.get("memory")), *ages)
    if len(found) > INSTANCES_MOST:
        table.add_row(f"and {len(found) - INSTANCES_MOST} more", "", "", "", "", style="dim")
    return table


def _funnel(shown: Shown) -> list[RenderableType]:
    if not shown["funnels"]:
        return []
    day = shown["funnels"][0]
    steps = " → ".join(f"{step} {day[step]}" for step in ("uploaded", "analysed", "asked", "returned"))
    return [Text(), Text(f" new on {day['day']}: {steps}")]


def _table(title: str, columns: list[str]) -> Table:
    table = Table(box=None, padding=(0, 1), show_edge=False, header_style="bold dim", expand=True)
    table.add_column(title, ratio=1, no_wrap=True, overflow="ellipsis")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _share(share: float | None) -> Text:
    if share is None:
        return Text("–", "dim")
    style = "red" if share > ALARM_SHARE else "yellow" if share > WARN_SHARE else "green"
    return Text(f"{filled(share, 8)} {share:4.0%}", style)


def _ms(duration_ms: float | None) -> Text:
    if duration_ms is None:
        return Text("–", "dim")
    style = "red" if duration_ms > ALARM_MS else "yellow" if duration_ms > SLOW_MS else "default"
    return Text(f"{duration_ms:.0f} ms" if duration_ms < 9_999 else f"{duration_ms / 1000:.1f} s", style)


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _bars(values: list[int]) -> str:
    """A small picture of amounts, the largest in full height."""
    most = max(values, default=0)
    return "".join(HEIGHTS[-(-value * 8 // most) if most else 0] for value in values)
