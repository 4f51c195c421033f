"""What Prometheus scrapes: its text format 0.0.4, from the totals since the beginning and how things stand.

Every family is in FAMILIES, which the dashboard and the alert rules are checked against. Durations are histograms with
few buckets, put together from the finer ones, so that a boundary and a sum are right within 2 %.
Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from monitoring import counters, roll, store
from monitoring.histogram import Histogram
from monitoring.kept import Kept
from monitoring.signals import REFUSED
from monitoring.store import State
from monitoring.windows import Window
from shared import controls, http, limits
from shared.http import Request
from shared.problems import Problem
from shared.settings import REGIONS, settings

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
KEPT_S = 5.0  # less than any scraper's interval: several who scrape cost one
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0)
GROUPS = ("limiter", "cache", "model", "uploads", "analysis", "storage", "cold")


@dataclass(frozen=True)
class Family:
    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str


FAMILIES = (
    Family("prodai_requests_total", "counter", "Answers, by endpoint and status."),
    Family("prodai_request_duration_seconds", "histogram", "How long answers took, by endpoint."),
    Family("prodai_duration_seconds", "histogram", "How long other things took, by what was timed."),
    Family("prodai_events_total", "counter", "Usage events."),
    Family("prodai_event_values_total", "counter", "Values summed over usage events."),
    *(Family(f"prodai_{group}_total", "counter", f"What was counted of {group}, by kind.") for group in GROUPS),
    Family(
        "prodai_refused_total",
        "counter",
        "Answers 503 by order: something is closed, or a plan shed.",
    ),
    Family("prodai_other_total", "counter", "What else was counted, by kind."),
    Family("prodai_tracks", "gauge", "Tracks by state at the last tick."),
    Family("prodai_active_users", "gauge", "Distinct users in the last minute and in five minutes."),
    Family("prodai_uploads_open", "gauge", "Simultaneous uploads."),
    Family("prodai_queue_waiting", "gauge", "Tracks that wait for their analysis."),
    Family("prodai_queue_running", "gauge", "Tracks that are being analysed."),
    Family("prodai_queue_oldest_age_seconds", "gauge", "How long the oldest track has waited."),
    Family("prodai_model_cost_today_dollars", "gauge", "What models cost today (UTC)."),
    Family("prodai_model_cost_limit_dollars", "gauge", "What models may cost a day."),
    Family("prodai_region_healthy", "gauge", "1 where uploads go to the region's storage, 0 while they avoid it."),
    Family("prodai_instances", "gauge", "Instances that told of themselves lately, by service."),
    Family("prodai_instance_cpu_ratio", "gauge", "CPU as a share of what the instance may use."),
    Family("prodai_instance_memory_ratio", "gauge", "Memory as a share of what the instance may use."),
    Family("prodai_tick_timestamp_seconds", "gauge", "When the last tick came, in seconds since 1970."),
)

Labels = Mapping[str, str]
Sample = tuple[str, Labels, float]  # the family's name with its suffix


def admitted(request: Request) -> dict[str, str]:
    """The door of a scrape: the token where one is set, else the limits of the address, but no switch.

    Gives the headers that the answer must carry. Raises Problem.
    """
    token = settings().metrics_token
    if token:
        if hmac.compare_digest(request.headers.get("authorization", "").encode(), f"Bearer {token}".encode()):
            return {}
        raise Problem("unauthenticated", "Send the metrics token as `Authorization: Bearer TOKEN`.")
    decision = limits.limiter().ask("status", None, http.address_of(request))
    if not decision.allowed:
        raise limits.refusal(decision)
    return dict(decision.headers)


def cached(now: datetime) -> str:
    """The answer to a scrape, at most KEPT_S old. Raises Problem `unavailable` where Redis does not answer."""
    return _answers.get(now)


def exposition(now: datetime) -> str:
    """The figures of this moment. Raises Problem `unavailable` where Redis does not answer."""
    with store.needed():
        samples = [*of_totals(roll.totals(now)), *of_state(store.now_state(now), now), *of_gauges(counters.gauges())]
        tick = roll.last_tick()
    limit_usd = controls.fetch().daily_cost_limit_usd
    allowed_usd = settings().daily_cost_limit_usd if limit_usd is None else limit_usd
    samples.append(("prodai_model_cost_limit_dollars", {}, allowed_usd))
    if tick is not None:
        samples.append(("prodai_tick_timestamp_seconds", {}, tick.timestamp()))
    return as_text(samples)


_answers = Kept(exposition, KEPT_S)


def of_totals(totals: Window) -> Iterator[Sample]:
    for endpoint, answers in totals.statuses.items():
        for status, count in answers.items():
            yield "prodai_requests_total", {"endpoint": endpoint, "status": str(status)}, count
    for name, durations in totals.histograms.items():
        if name in totals.statuses:
            yield from _histogram("prodai_request_duration_seconds", {"endpoint": name}, durations)
        else:
            yield from _histogram("prodai_duration_seconds", {"of": name}, durations)
    for event, count in totals.events.items():
        yield "prodai_events_total", {"event": event}, count
    for value, total in totals.values.items():
        yield "prodai_event_values_total", {"value": value}, total
    for name, count in totals.counts.items():
        if name.startswith(REFUSED):
            yield "prodai_refused_total", {"endpoint": name.removeprefix(REFUSED)}, count
            continue
        group, _, kind = name.partition(".")
        known = group in GROUPS
        yield f"prodai_{group}_total" if known else "prodai_other_total", {"kind": kind if known else name}, count


def _histogram(family: str, labels: Labels, durations: Histogram) -> Iterator[Sample]:
    for bound_s in BOUNDS_S:
        yield f"{family}_bucket", {**labels, "le": f"{bound_s:g}"}, durations.at_most(bound_s * 1000)
    yield f"{family}_bucket", {**labels, "le": "+Inf"}, durations.count
    yield f"{family}_sum", labels, durations.sum_ms / 1000
    yield f"{family}_count", labels, durations.count


def of_state(state: State, now: datetime) -> Iterator[Sample]:
    yield "prodai_active_users", {"window": "1m"}, state.active_minute
    yield "prodai_active_users", {"window": "5m"}, state.active_5_minutes
    yield "prodai_uploads_open", {}, state.uploads_open
    if state.queue is not None:
        yield "prodai_queue_waiting", {}, state.queue.waiting
        yield "prodai_queue_running", {}, state.queue.running
        yield "prodai_queue_oldest_age_seconds", {}, state.queue.oldest_age_s
    yield "prodai_model_cost_today_dollars", {}, state.cost_today_usd
    for region in REGIONS:
        yield "prodai_region_healthy", {"region": region}, float(region not in state.unhealthy_regions)
    for service in sorted({instance.service for instance in state.instances}):
        yield "prodai_instances", {"service": service}, sum(i.service == service for i in state.instances)
    for gauge in ("cpu", "memory"):
        for instance in state.instances:
            if gauge in instance.gauges and instance.fresh(now.timestamp()):
                labels = {"service": instance.service, "instance_id": instance.id}
                yield f"prodai_instance_{gauge}_ratio", labels, instance.gauges[gauge]


def of_gauges(gauges: Mapping[str, float]) -> Iterator[Sample]:
    for state, count in gauges.items():
        yield "prodai_tracks", {"state": state}, count


def as_text(samples: Iterable[Sample]) -> str:
    """The text format: each family once, with its head, in the table's order; a family without samples is left out."""
    found: dict[str, list[str]] = {}
    for name, labels, value in samples:
        found.setdefault(_family_of(name), []).append(f"{name}{_labels(labels)} {value:.12g}")
    lines = []
    for family in FAMILIES:
        if family.name in found:
            lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}", *found[family.name]]
    return "".join(f"{line}\n" for line in lines)


def _family_of(name: str) -> str:
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    return base if base.endswith("_seconds") else name


def _labels(labels: Labels) -> str:
    inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{inner}}}" if inner else ""


def _escaped(text: str) -> str:
    return re.sub(r'[\\"\n]', lambda m: "\\n" if m[0] == "\n" else "\\" + m[0], text)
