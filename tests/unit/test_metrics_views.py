"""What the windows say: to operators, to Prometheus, to everyone, and which client events are taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitoring import analytics, prometheus, status, view
from monitoring.kept import Kept
from monitoring.store import Instance, Queue, State
from monitoring.windows import Minute, Window, together
from shared import controls, limits
from shared import settings as settings_module
from shared.controls import Controls
from shared.http import Request
from shared.limits import Decision, Standing
from shared.observations import bucket_of
from shared.policies import routes
from shared.problems import Problem
from tests.unit.watch_world import ENVIRONMENT

NOW = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)
CHAT = "POST /v1/chat"
STATE = State(3, Queue(7, 2, 41.5), 1.25, (Instance("chat", "a1", NOW.timestamp(), NOW.timestamp()),), 4, 9, {})


def fields(ok: int = 0, failed: int = 0, ms: float = 100, **counts: int) -> dict[str, int]:
    """A minute of the chat as it stands in Redis."""
    found = {f"n|{name}": count for name, count in counts.items()}
    if ok + failed:
        found[f"h|{CHAT}|{bucket_of(ms)}"] = found[f"h|chat.first|{bucket_of(ms)}"] = ok + failed
    return found | ({f"s|{CHAT}|200": ok} if ok else {}) | ({f"s|{CHAT}|503": failed} if failed else {})


def minutes(*told: dict[str, int]) -> list[Minute]:
    """An hour whose last minutes are these; before them the chat was well."""
    before = [fields(ok=10)] * (60 - len(told))
    first = NOW.replace(second=0) - timedelta(minutes=59)
    return [Minute.of(first + timedelta(minutes=i), each) for i, each in enumerate([*before, *told])]


def test_a_window_reads_what_it_knows_and_leaves_out_what_it_does_not() -> None:
    window = Window.of(NOW, {**fields(ok=3, failed=1), "u|a.b": "2", "v|a.b|ms": "9", "x|new": "1", "s|odd": "1"})
    assert (window.requests(CHAT), window.error_rate(CHAT)) == ({200: 3, 503: 1}, 0.25)
    assert (window.events, window.values) == ({"a.b": 2}, {"a.b.ms": 9})
    assert window.endpoints == (CHAT,)
    assert window.error_rate("GET /elsewhere") is None


def test_windows_together_hold_the_sum_of_each() -> None:
    both = together([Window.of(NOW, fields(ok=3, ms=50)), Window.of(NOW, fields(failed=2, ms=900))], NOW)
    assert both.requests() == {200: 3, 503: 2}
    assert both.histogram(CHAT).count == 5


def test_a_summary_has_rates_and_percentiles_by_endpoint_and_timings_apart() -> None:
    shown = view.summary(Window.of(NOW, fields(ok=99, failed=1, ms=300)), 50)
    (endpoint,) = shown["endpoints"]
    assert (endpoint["perSecond"], endpoint["errorRate"], endpoint["statuses"]) == (2.0, 0.01, {"200": 99, "503": 1})
    assert endpoint["p95Ms"] == pytest.approx(300, rel=0.02)
    assert list(shown["timings"]) == ["chat.first"]


def exposition() -> str:
    told = fields(ok=3, failed=1, ms=180) | {
        "n|limiter.allowed": 7,
        "n|storage.failed.us": 2,
        "n|odd": 1,
        f"n|refused.closed {CHAT}": 1,
    }
    totals = Window.of(NOW, {**told, "u|chat.answered": 3, "v|chat.answered|promptTokens": 1200})
    instance = Instance("chat", 'a"\n\\1', NOW.timestamp(), NOW.timestamp(), {"cpu": 0.5, "memory": 0.25})
    state = replace(STATE, instances=(instance,))
    samples = [*prometheus.of_totals(totals), *prometheus.of_state(state, NOW), *prometheus.of_gauges({"queued": 2})]
    return prometheus.as_text(samples)


def scrape(authorization: str = "") -> dict[str, str]:
    headers = {"authorization": authorization, "x-forwarded-for": "203.0.113.7"}
    return prometheus.admitted(Request("GET", "/metrics", {}, headers, b""))


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A function behind one proxy, whose limiter remembers who asked."""
    for name, value in {**ENVIRONMENT, "FORWARDED_HOPS": "1"}.items():
        monkeypatch.setenv(name, value)
    settings_module.settings.cache_clear()
    yield monkeypatch
    settings_module.settings.cache_clear()


class Asked:
    """A limiter that lets so many in, whoever they are."""

    def __init__(self, most: int) -> None:
        self.left = most
        self.addresses: list[str | None] = []

    def ask(self, route: str, user: str | None, address: str | None = None) -> Decision:
        self.addresses.append(address)
        self.left -= 1
        policy = routes()[route].policies[0]
        return Decision(self.left >= 0, (Standing(policy, policy.quota, max(0, self.left), 60_000),))


def test_where_a_token_is_set_prometheus_must_show_it_and_is_not_counted(deployed: pytest.MonkeyPatch) -> None:
    deployed.setenv("METRICS_TOKEN", "s3cret")
    asked = Asked(0)
    deployed.setattr(limits, "limiter", lambda: asked)
    assert scrape("Bearer s3cret") == {}
    for wrong in ("", "Bearer ", "Bearer other", "s3cret", "Bearer s3cret "):
        with pytest.raises(Problem, match="metrics token"):
            scrape(wrong)
    assert asked.addresses == []


def test_where_no_token_is_set_whoever_asks_is_counted_by_address(deployed: pytest.MonkeyPatch) -> None:
    asked = Asked(2)
    deployed.setattr(limits, "limiter", lambda: asked)
    controls.saw(Controls(closed=frozenset({"status"})).as_json(), None)  # is for people, and shuts out no scraper
    try:
        assert "RateLimit" in scrape()
        scrape()
        with pytest.raises(Problem, match="rate-limited"):
            scrape()
    finally:
        controls.saw(None, None)
    assert asked.addresses == ["203.0.113.7"] * 3


def test_scrapes_of_the_same_moment_are_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "_answers", Kept(str, prometheus.KEPT_S, lambda: 0))
    assert {prometheus.cached(NOW + timedelta(seconds=i)) for i in range(4)} == {str(NOW)}


def test_prometheus_own_library_reads_what_is_exposed_and_finds_the_figures() -> None:
    parser = pytest.importorskip("prometheus_client.parser", reason="prometheus-client is not installed")
    families = {family.name: family for family in parser.text_string_to_metric_families(exposition())}
    values = {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families.values() for s in f.samples}
    assert values["prodai_requests_total", (("endpoint", CHAT), ("status", "503"))] == 1
    assert values["prodai_limiter_total", (("kind", "allowed"),)] == 7
    assert values["prodai_other_total", (("kind", "odd"),)] == 1
    assert values["prodai_refused_total", (("endpoint", CHAT),)] == 1
    assert values["prodai_queue_oldest_age_seconds", ()] == 41.5
    assert values["prodai_instance_cpu_ratio", (("instance_id", 'a"\n\\1'), ("service", "chat"))] == 0.5
    assert families["prodai_request_duration_seconds"].type == "histogram"
    buckets = [v for (name, _), v in values.items() if name == "prodai_request_duration_seconds_bucket"]
    assert buckets == sorted(buckets)
    assert buckets[-1] == values["prodai_request_duration_seconds_count", (("endpoint", CHAT),)] == 4
    assert values["prodai_request_duration_seconds_sum", (("endpoint", CHAT),)] == pytest.approx(0.72, rel=0.02)


def test_prometheus_is_told_nothing_of_an_instance_by_the_last_word_of_long_ago() -> None:
    gone = replace(STATE.instances[0], gauges={"memory": 0.97}, seen_at=NOW.timestamp() - 100)
    told = {name for name, _, _ in prometheus.of_state(replace(STATE, instances=(gone,)), NOW)}
    assert "prodai_instances" in told
    assert "prodai_instance_memory_ratio" not in told


def test_every_family_that_is_exposed_is_in_the_table_and_the_text_ends_with_a_line_feed() -> None:
    text = exposition()
    named = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    samples = {line.partition("{")[0].partition(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    assert named <= {family.name for family in prometheus.FAMILIES}
    assert all(any(sample.startswith(name) for name in named) for sample in samples)
    assert text.endswith("\n")
    assert "\r" not in text


def part(shown: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(part for part in shown["parts"] if part["part"] == name)
    return found


def test_all_is_well_where_nothing_fails_and_nothing_is_slow() -> None:
    shown = status.shown(minutes(), STATE, Controls(), NOW)
    assert {p["status"] for p in shown["parts"]} == {"ok"}
    assert (shown["status"], part(shown, "chat")["since"]) == ("ok", None)
    assert part(shown, "chat")["p95Ms"] == pytest.approx(100, abs=2)


@pytest.mark.parametrize(
    ("told", "level"),
    [(fields(ok=60, failed=40), "degraded"), (fields(failed=900), "down"), (fields(ok=900, ms=4000), "degraded")],
)
def test_a_part_that_fails_or_is_slow_is_said_so_with_the_minute_since_when(told: dict[str, int], level: str) -> None:
    shown = status.shown(minutes(told, told), STATE, Controls(), NOW)
    assert (shown["status"], part(shown, "chat")["status"]) == (level, level)
    assert part(shown, "chat")["since"] == (NOW.replace(second=0) - timedelta(minutes=1)).isoformat()
    assert part(shown, "uploads")["status"] == "ok"


def test_a_part_that_has_recovered_is_ok_since_the_failures_are_out_of_the_five_minutes() -> None:
    shown = status.shown(minutes(fields(failed=900), *[fields(ok=10)] * 7), STATE, Controls(), NOW)
    assert part(shown, "chat")["status"] == "ok"
    assert part(shown, "chat")["since"] == (NOW.replace(second=0) - timedelta(minutes=2)).isoformat()


def test_a_few_failures_of_hardly_any_requests_say_nothing() -> None:
    quiet = [fields()] * 4
    assert status.shown(minutes(*quiet, fields(failed=3)), STATE, Controls(), NOW)["status"] == "ok"


def test_what_operators_closed_what_waits_long_and_where_storage_fails_is_shown() -> None:
    state = replace(STATE, queue=Queue(900, 5, 400.0), unhealthy_regions={"eu": NOW.timestamp() + 9})
    shown = status.shown(minutes(), state, Controls(closed=frozenset({"chat"})), NOW)
    found = {p["part"]: p["status"] for p in shown["parts"]}
    assert found["chat"] == "down"
    assert found["analysis"] == found["storage-eu"] == "degraded"
    assert found["storage-us"] == "ok"


def test_the_public_status_tells_nothing_of_users_instances_or_cost() -> None:
    shown = status.shown(minutes(), STATE, Controls(), NOW)
    assert set(shown) == {"status", "time", "parts"}
    assert all(set(p) == {"part", "status", "since", "p95Ms"} for p in shown["parts"])


def test_a_kept_answer_is_worked_out_once_in_its_time_and_an_error_is_not_kept() -> None:
    clock, worked = [0.0], list[float]()

    def work_out(_: datetime) -> int:
        worked.append(clock[0])
        if len(worked) == 2:
            raise ValueError("away")
        return len(worked)

    kept = Kept(work_out, 15, lambda: clock[0])
    assert [kept.get(NOW), kept.get(NOW)] == [1, 1]
    clock[0] = 15
    with pytest.raises(ValueError, match="away"):
        kept.get(NOW)
    assert kept.get(NOW) == 3


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({}, "1 to 20 events"),
        ({"events": []}, "1 to 20 events"),
        ({"events": [{"name": "app.opened"}] * 21}, "1 to 20 events"),
        ({"events": [{"name": "app.opened"}], "uid": "other"}, "1 to 20 events"),
        ({"events": ["app.opened"]}, r"events\[0\] is an object"),
        ({"events": [{"name": "app.opened"}, {"name": "x"}]}, r"events\[1\].name is one of app.opened"),
        ({"events": [{"name": "app.opened", "data": {"email": "a@b.c"}}]}, "has no email"),
        ({"events": [{"name": "app.opened", "data": {"platform": "Ana Souza"}}]}, "platform is one of web"),
        ({"events": [{"name": "app.opened", "data": [1]}]}, "flat object"),
        ({"events": [{"name": "upload.finished", "data": {"retries": "3"}}]}, "retries is a number"),
        ({"events": [{"name": "upload.finished", "data": {"retries": True}}]}, "retries is a number"),
        ({"events": [{"name": "upload.finished", "data": {"retries": {"a": 1}}}]}, "retries is a number"),
        ({"events": [{"name": "upload.finished", "data": {"retries": float("inf")}}]}, "retries is a number"),
        ({"events": [{"name": "upload.finished", "data": {"retries": float("nan")}}]}, "retries is a number"),
        ({"events": [{"name": "upload.finished", "data": {"retries": 1e9}}]}, "retries is a number from 0 to 1000"),
        ({"events": [{"name": "upload.finished", "data": {"retries": -1}}]}, "retries is a number"),
        ({"events": [{"name": "error.shown", "data": {"status": 10**30}}]}, "status is a number from 0 to 999"),
        ({"events": [{"name": "app.opened", "id": "with space"}]}, "id is up to 64"),
    ],
)
def test_a_client_event_that_is_not_in_the_table_is_refused_by_the_name_of_its_fault(body: Any, fault: str) -> None:
    with pytest.raises(Problem, match=fault):
        analytics.receive(body, "u1", NOW)


def test_no_field_of_a_client_event_takes_free_text() -> None:
    kinds = [kind for data in analytics.table().values() for kind in data.values()]
    assert all(isinstance(kind, int) or (isinstance(kind, list) and len(kind) <= 10) for kind in kinds)


def test_no_number_of_a_client_event_can_overflow_a_total() -> None:
    """Redis counts to 2^63: what a hundred thousand clients tell a day, all of them the most, lasts for 50 years."""
    numbers = [kind for data in analytics.table().values() for kind in data.values() if isinstance(kind, int)]
    assert max(numbers) * 100_000 * 365 * 50 < 2**63
