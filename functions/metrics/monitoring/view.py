"""What the operators see: JSON for people and pages, the Prometheus text format for scrapers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from monitoring import counters

MINUTES = 60
PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def as_json(now: datetime) -> dict[str, Any]:
    """Totals, gauges, and the minutes of the last hour in which something happened."""
    minutes = counters.last_minutes(now, MINUTES)
    return {
        "time": now.isoformat(),
        "totals": counters.totals(),
        "gauges": counters.gauges(),
        "minutes": [{"start": start.isoformat(), "counts": counts} for start, counts in minutes if counts],
    }


def as_prometheus(totals: Mapping[str, float], gauges: Mapping[str, float]) -> str:
    """Prometheus text format 0.0.4: events and their summed values as counters, states as gauges."""
    events = {name: value for name, value in totals.items() if "." not in name.partition(".")[2]}
    sums = {name: value for name, value in totals.items() if name not in events}
    lines = _family("prodai_events_total", "counter", "Events since the beginning.", "event", events)
    lines += _family("prodai_event_values_total", "counter", "Values summed over events.", "value", sums)
    lines += _family("prodai_tracks", "gauge", "Tracks by state at the last tick.", "state", gauges)
    return "".join(f"{line}\n" for line in lines)


def _family(name: str, kind: str, description: str, label: str, samples: Mapping[str, float]) -> list[str]:
    head = [f"# HELP {name} {description}", f"# TYPE {name} {kind}"]
    return head + [f'{name}{{{label}="{_escaped(key)}"}} {value:g}' for key, value in samples.items()]


def _escaped(text: str) -> str:
    return re.sub(r'[\\"\n]', lambda m: "\\n" if m[0] == "\n" else "\\" + m[0], text)
