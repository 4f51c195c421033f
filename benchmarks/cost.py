"""What 1,000 analyses, 1,000 chats and a month of each phase cost: measured use of a local cloud, times list prices.

Counted: Upstash's commands (`/stats`), Firestore's operations (cost_counting/), deliveries and their seconds (router),
requests and their seconds (here). A second of a function is priced as if no two requests shared an instance, so the
figures are an upper bound. Run `make bench-cost`; docs/capacity.md has the prices' sources and the assumptions.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import requests

from local import cloud, parts, synth
from local.client import Client
from local.user import make_user

ANALYSES, CHATS, IDLE_S = 4, 9, 65.0  # a user may ask 10 times a minute
TRACK_COPIES = 4  # of the demo's minute: four minutes of 16-bit stereo, 42 MB
STATUS_EVERY_S = 2.0
CHAT_EVERY_S = 2.2  # firestore.rules let a conversation have one message in 2 s
RULE_READS = 4  # users, plans and usage before and after: what firestore.rules look up for a write of a user
ANSWER_GIB, STATUS_GIB = 6e-6, 4e-6  # what leaves the cloud: 6 KB an answer, 4 KB a status
MINUTES_PER_MONTH = 30 * 24 * 60


@dataclass
class Use:
    """What is billed."""

    vcpu_s: float = 0.0
    gib_s: float = 0.0
    requests: float = 0.0
    pubsub_gib: float = 0.0
    reads: float = 0.0
    writes: float = 0.0
    deletes: float = 0.0
    class_a: float = 0.0
    class_b: float = 0.0
    stored_gib_months: float = 0.0
    egress_gib: float = 0.0
    commands: float = 0.0

    def __add__(self, other: Use) -> Use:
        return Use(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def times(self, factor: float) -> Use:
        return Use(**{f.name: getattr(self, f.name) * factor for f in fields(self)})


# USD each, and what a month has free of it. Sources and dates: docs/capacity.md.
PRICES: Mapping[str, tuple[float, float]] = {
    "vcpu_s": (0.000024, 180_000),
    "gib_s": (0.0000025, 360_000),
    "requests": (0.40e-6, 2e6),
    "pubsub_gib": (40 / 1024, 10),
    "reads": (0.06e-5, 50_000 * 30),
    "writes": (0.18e-5, 20_000 * 30),
    "deletes": (0.02e-5, 20_000 * 30),
    "class_a": (0.005e-3, 5_000),
    "class_b": (0.0004e-3, 50_000),
    "stored_gib_months": (0.020, 5),
    "egress_gib": (0.12, 1),
    "commands": (0.20e-5, 500_000),
}
LOAD_BALANCER_USD = 18.25  # a month: one forwarding rule


@dataclass(frozen=True)
class Phase:
    name: str
    users: int  # at once, at the peak
    planned_usd: str
    regions: int

    @property
    def user_hours(self) -> float:
        return self.users * 2 * 30  # the peak's users for two hours a day


ANALYSES_PER_HOUR, CHATS_PER_HOUR = 0.5, 4.0
PHASES = (
    Phase("1", 100, "0", 1),
    Phase("2", 300, "53-90", 1),
    Phase("3", 1000, "270-370", 3),
    Phase("4", 3000, "500+", 3),
)


@dataclass
class Counter:
    """What the running cloud has used since the block began."""

    ready: Mapping[str, Any]
    counts: Path
    use: Use = field(default_factory=Use)

    @contextmanager
    def counting(self, *, ticks: bool) -> Iterator[None]:
        before, seen = self._now(), len(self._deliveries())
        self.use = Use()
        yield
        after = self._now()
        self.use += Use(reads=after[0] - before[0], writes=after[1] - before[1], deletes=after[2] - before[2])
        self.use += Use(commands=after[3] - before[3])
        for delivery in self._deliveries()[seen:]:
            if (delivery["subscription"] in TICKED) == ticks:
                self.add_seconds(delivery["subscription"], delivery["durationMs"] / 1000)
                self.use += Use(pubsub_gib=2 * 1000 / 2**30)  # published and delivered, 1,000 bytes at least

    def add_seconds(self, name: str, seconds: float) -> None:
        row = DEPLOYABLES[name]
        billed_s = math.ceil(seconds * 10) / 10
        self.use += Use(vcpu_s=billed_s * row["cpu"], gib_s=billed_s * row["memoryMib"] / 1024, requests=1)

    def timed(self, name: str, work: Callable[..., Any], *arguments: Any) -> Any:
        started = time.perf_counter()
        value = work(*arguments)
        self.add_seconds(name, time.perf_counter() - started)
        return value

    def _now(self) -> tuple[float, float, float, float]:
        lines = [[int(number) for number in line.split()] for line in self.counts.read_text().splitlines()]
        reads, writes, deletes, judged = (sum(column) for column in zip(*lines, strict=True)) if lines else (0, 0, 0, 0)
        stats = requests.get(f"{self.ready['upstash']['url']}/stats", timeout=10).json()
        return reads + RULE_READS * judged, writes, deletes, stats["commands"]

    def _deliveries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = requests.get(f"{self.ready['router']}/deliveries", timeout=10).json()
        return found


DEPLOYABLES = {row["name"]: row for row in parts.deployables()}
TICKED = {name for name, row in DEPLOYABLES.items() if (row["trigger"] or {}).get("topic") == "tick"}


def analyses(counter: Counter, song: Path, client: Client) -> str:
    """The whole way of some tracks; gives the last one's id."""
    track_id = ""
    for _ in range(ANALYSES):
        upload = counter.timed("upload", client.create_upload, song)
        client.send(upload, song, lambda _: None)
        track_id = upload["trackId"]
        while counter.timed("upload", client.status, track_id)["state"] != "done":
            counter.use += Use(egress_gib=STATUS_GIB)
            time.sleep(STATUS_EVERY_S)
        stored = song.stat().st_size / 2**30
        counter.use += Use(class_a=1, class_b=2, stored_gib_months=stored, egress_gib=STATUS_GIB)
    return track_id


def chats(counter: Counter, track_id: str, client: Client) -> None:
    for number in range(CHATS):
        question = ("What should I change first?", "Is it loud enough for Spotify?", "How is my low end?")[number % 3]
        counter.timed("chat", lambda asked: list(client.ask(asked, [track_id])), question)
        counter.use += Use(egress_gib=ANSWER_GIB)
        time.sleep(CHAT_EVERY_S)


def measured() -> tuple[Use, Use, Use]:
    """One analysis, one chat, one idle minute."""
    with tempfile.TemporaryDirectory(prefix="prodai-cost-") as place:
        counts, song = Path(place) / "counts", Path(place) / "song.wav"
        counts.touch()
        _write_song(song)
        os.environ |= {"COST_COUNTS": str(counts), "PYTHONPATH": str(Path(__file__).parent / "cost_counting")}
        ready_file = Path(place) / "ready.json"
        with cloud.running(threading.Event(), quiet=True, ready_file=ready_file, tell=lambda _: None) as running:
            counter = Counter(running.ready(), counts)
            client = Client(counter.ready, make_user(counter.ready, "cost", "pro", {}))
            with counter.counting(ticks=True):
                time.sleep(IDLE_S)
            idle = counter.use.times(60 / IDLE_S)
            with _without(idle, counter):
                track_id = analyses(counter, song, client)
                time.sleep(3)  # what follows an analysis: the opening message, the measurements
            analysis = counter.use.times(1 / ANALYSES)
            with _without(idle, counter):
                chats(counter, track_id, client)
                time.sleep(3)
            return analysis, counter.use.times(1 / CHATS), idle


@contextmanager
def _without(idle: Use, counter: Counter) -> Iterator[None]:
    """What is used inside, less what a tick would have used anyhow."""
    started = time.monotonic()
    with counter.counting(ticks=False):
        yield
    share = (time.monotonic() - started) / 60
    for name in ("reads", "writes", "deletes", "commands"):
        setattr(counter.use, name, max(0.0, getattr(counter.use, name) - getattr(idle, name) * share))


def _write_song(path: Path) -> None:
    import numpy as np
    import soundfile

    synth.make(path)
    samples, rate = soundfile.read(path, dtype="int16")
    soundfile.write(path, np.tile(samples, (TRACK_COPIES, 1)), rate, subtype="PCM_16")


def usd(use: Use, *, free: bool) -> dict[str, float]:
    """Cost by what is billed; with the month's free amounts, or without."""
    return {
        name: max(0.0, getattr(use, name) - (free_amount if free else 0)) * price
        for name, (price, free_amount) in PRICES.items()
    }


def month(phase: Phase, analysis: Use, chat: Use, idle: Use) -> tuple[Use, float]:
    per_hour = analysis.times(ANALYSES_PER_HOUR) + chat.times(CHATS_PER_HOUR)
    use = per_hour.times(phase.user_hours) + idle.times(MINUTES_PER_MONTH)
    return use, sum(usd(use, free=True).values()) + (LOAD_BALANCER_USD if phase.regions > 1 else 0)


def main() -> None:
    analysis, chat, idle = measured()
    columns = {"1,000 analyses": analysis.times(1000), "1,000 chats": chat.times(1000)}
    columns["idle month"] = idle.times(MINUTES_PER_MONTH)
    print(f"{'':<20}" + "".join(f"{name:>18}{'USD':>9}" for name in columns))
    for name in PRICES:
        cells = ((getattr(use, name), usd(use, free=False)[name]) for use in columns.values())
        print(f"{name:<20}" + "".join(f"{amount:>18,.3f}{cost:>9.3f}" for amount, cost in cells))
    totals = (sum(usd(use, free=False).values()) for use in columns.values())
    print(f"{'USD':<20}" + "".join(f"{'':>18}{total:>9.2f}" for total in totals))
    print(f"\n{'phase':<6}{'users at once':>14}{'analyses':>10}{'chats':>10}{'USD a month':>13}{'planned':>10}")
    for phase in PHASES:
        _, cost = month(phase, analysis, chat, idle)
        volumes = f"{phase.user_hours * ANALYSES_PER_HOUR:>10,.0f}{phase.user_hours * CHATS_PER_HOUR:>10,.0f}"
        print(f"{phase.name:<6}{phase.users:>14}{volumes}{cost:>13.0f}{phase.planned_usd:>10}")
    print(json.dumps({"analysis": vars(analysis), "chat": vars(chat), "idleMinute": vars(idle)}))


if __name__ == "__main__":
    main()
