"""Whatever breaks: every track ends, each is analysed and told of once, the usage is exact, and no lease is left.

`CHAOS=full` runs every fault at its full size, and with `UPDATE_DOCS=1` writes docs/faults.md; the suite runs the quick
ones, small.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos import plays
from tests.cloud import LocalCloud

FULL = os.environ.get("CHAOS") == "full"
TABLE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
HEAD = """\
# Faults and outcomes

What is done to a running local cloud, what becomes of the tracks, and the figures of the last full run: proved and
written by `tests/chaos` (`make chaos`). Each time every track ends, each is analysed once, each that is done gets one
opening message, the usage is exact, and no lease is left: not in Firestore, in the order, or among the uploads under
way.

A silent part is a stopped process (SIGSTOP): it takes connections and answers nothing, so whoever asks waits out its
own deadline; once it goes on, it answers what it was asked meanwhile. A part that refuses connections is another
fault: that is what a killed one (SIGKILL) does until it runs again, and only analyze and Redis are killed here. The
emulators keep their state in memory: killed, they would take the tracks with them.

| fault | what is done | what becomes of the tracks | the last full run |
|---|---|---|---|
"""


@dataclass(frozen=True)
class Fault:
    """full: its size in the full run; quick: in the suite, which leaves out what has none."""

    name: str
    harm: str
    outcome: str
    play: Callable[[LocalCloud, int, Path], str]
    full: int
    quick: int | None

    @property
    def size(self) -> int:
        return self.full if FULL or self.quick is None else self.quick


REFUSED = "failed with the reason, the count given back"
FAULTS = (
    Fault("a broken line", "the connections of {} uploads closed at 1, 50 and 99 %, resumed by another process",
          "done, the same SHA-256", plays.cut_lines, 3, 1),
    Fault("a client that lies", "another size, another SHA-256, no audio, and one that is honest",
          REFUSED, plays.lies, 1, 1),
    Fault("a storage event lost", "{} tracks whose bytes arrived, of which nobody heard",
          "found by the sweep, done", plays.lost_events, 10, 1),
    Fault("events doubled", "a storage event {} times, its token half as often",
          "done, one analysis", plays.doubled_events, 100, 20),
    Fault("an event after the deletion", "{} tracks taken back before their event came",
          "cancelled, the bytes deleted", plays.events_after_deletion, 5, 1),
    Fault("workers killed", "{} tracks, analyze killed 20 times at random points",
          "done; one that is at work in five kills is given up, its count given back", plays.killed_workers, 50, None),
    Fault("Redis wiped", "FLUSHALL while {} tracks wait or are at work",
          "done, the order built anew", plays.wiped_redis, 30, 5),
    Fault("Redis gone", "silent for 3 s, then killed, while {} tracks arrive",
          "done", plays.killed_redis, 10, None),
    Fault("Pub/Sub silent", "for {} s while as many tracks arrive and are at work",
          "done", plays.silent_pubsub, 30, None),
    Fault("Firestore silent", "for {} s while as many tracks arrive and are at work",
          "done", plays.silent_firestore, 30, None),
    Fault("poison files", "{} damaged files, each twice, among as many sound ones",
          REFUSED, plays.poison, 10, 2),
    Fault("equal bytes at once", "{} uploads of one file by one user",
          "done: one analysis, one count", plays.identical, 100, 12),
    Fault("a crowd", "a free user's {} tracks, then 2 each of 5 pro users",
          "done: pro first, free without a pause", plays.crowd, 50, None),
)  # fmt: skip
_seen: dict[str, str] = {}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", [f for f in FAULTS if FULL or f.quick is not None], ids=lambda f: f.name)
def test_after_any_fault_every_track_has_ended_and_was_analysed_told_of_and_counted_once(
    cloud: LocalCloud, fault: Fault, tmp_path: Path
) -> None:
    _seen[fault.name] = fault.play(cloud, fault.size, tmp_path)


def row(fault: Fault) -> str:
    return f"| {fault.name} | {fault.harm.format(fault.full)} | {fault.outcome} |"


def test_the_table_of_faults_in_the_docs_is_this_one() -> None:
    if FULL and os.environ.get("UPDATE_DOCS") and len(_seen) == len(FAULTS):
        rows = [f"{row(fault)} {_seen[fault.name]} |" for fault in FAULTS]
        TABLE.write_text(HEAD + "\n".join(rows) + "\n", encoding="utf-8")
    written = TABLE.read_text(encoding="utf-8")
    assert [fault.name for fault in FAULTS if row(fault) not in written] == []
