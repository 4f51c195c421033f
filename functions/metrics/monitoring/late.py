"""What is measured of a minute after it was judged: an instance's last requests are told by its next call.

The last minutes are read again at each tick, so that nobody misses what came late.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from monitoring.store import MINUTE_S
from monitoring.windows import Window

LATE_MINUTES = 4  # so long what comes late is still judged

Seen = Mapping[int, Mapping[str, int]]  # by the epoch minute: what was known when it was judged, as it stands in Redis


@dataclass(frozen=True)
class Grown:
    """A minute of which more is known than when it was judged."""

    before: Window
    whole: Window


def sorted_out(windows: Sequence[Window], full: Container[float], seen: Seen) -> tuple[list[Window], list[Grown], Seen]:
    """The minutes that end at the moments `full`, those that have grown since they were judged, and what is seen now.

    A minute that nobody judged, since Redis did not answer, is neither.
    """
    judged: list[Window] = []
    grown: list[Grown] = []
    known = dict(seen)
    for window in windows:
        minute = int(window.start.timestamp()) // MINUTE_S
        fields = window.as_fields()
        if (minute + 1.0) * MINUTE_S in full:
            judged.append(window)
        elif minute not in seen:
            continue
        elif fields != seen[minute]:
            grown.append(Grown(Window.of(window.start, seen[minute]), window))
        known[minute] = fields
    kept = sorted(known)[-LATE_MINUTES:]
    return judged, grown, {minute: known[minute] for minute in kept}
