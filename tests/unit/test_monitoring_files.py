"""The files for Prometheus and Grafana: as generated, with the alerts' thresholds, asking only for what is exposed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.monitoring import generate
from monitoring import prometheus

FAMILIES = {family.name: family.kind for family in prometheus.FAMILIES}
ALL_ALERTS = json.loads(generate.ALERTS.read_text(encoding="utf-8"))["alerts"]
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: apt-get install prometheus)"
)


def expressions() -> Iterator[str]:
    yield from (line.partition("expr: ")[2] for line in generate.rules().splitlines() if "expr: " in line)
    panels = json.loads(generate.dashboard())["panels"]
    yield from (target["expr"] for panel in panels for target in panel["targets"])


@pytest.mark.parametrize("name", generate.FILES)
def test_each_file_is_as_generated(name: str) -> None:
    committed = (generate.FOLDER / name).read_text(encoding="utf-8")
    assert committed == generate.FILES[name](), "run python -m deploy.monitoring.generate"


def test_only_names_that_are_exposed_are_asked_for_and_histograms_by_their_buckets() -> None:
    named = [name for expression in expressions() for name in re.findall(r"prodai_\w+", expression)]
    assert len(named) > 30
    for name in named:
        base = name.removesuffix("_bucket")
        assert FAMILIES[base] == "histogram" if base != name else FAMILIES[name] != "histogram"


def test_counters_are_asked_for_as_rates_and_gauges_as_they_are() -> None:
    for expression in expressions():
        for name, kind in FAMILIES.items():
            for found in re.finditer(rf"(\w+)?\(?{name}\b(?!_)", expression):
                if kind == "counter":
                    assert found[1] in {"rate", "increase"}, expression
                elif kind == "gauge":
                    assert found[1] not in {"rate", "increase"}, expression


def test_every_alert_is_a_rule_with_its_own_threshold_and_times_or_is_said_to_be_elsewhere() -> None:
    rules = generate.rules()
    for alert in ALL_ALERTS:
        if alert["signal"] in generate.ELSEWHERE:
            continue
        rule = rules.partition(f"alert: {alert['name']}\n")[2].partition("- alert:")[0]
        assert f"> {alert['above']}" in rule
        assert f"for: {alert['forS']}s" in rule
        assert f"severity: {alert['severity']}" in rule
    assert {alert["signal"] for alert in ALL_ALERTS} == set(generate.EXPRESSIONS) | set(generate.ELSEWHERE)


def promtool(*arguments: str, folder: Path = generate.FOLDER) -> None:
    command = ["promtool", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_promtool_takes_the_rules_and_the_scrape_configuration(tmp_path: Path) -> None:
    for name, content in generate.FILES.items():
        (tmp_path / name).write_text(content(), encoding="utf-8")
    (tmp_path / "metrics-token").write_text("t", encoding="utf-8")
    promtool("check", "rules", "--lint=all", "--lint-fatal", "alerts.rules.yml", folder=tmp_path)
    promtool("check", "config", "--lint=all", "--lint-fatal", "scrape.yml", folder=tmp_path)


@needs_promtool
def test_prometheus_fires_the_alerts_when_their_time_has_come(tmp_path: Path) -> None:
    """promtool's own tests of rules: series go in, alerts come out."""
    (tmp_path / "alerts.rules.yml").write_text(generate.rules(), encoding="utf-8")
    memory = next(alert for alert in ALL_ALERTS if alert["name"] == "memory")
    summary = memory["title"].replace("{label}", "chat")
    (tmp_path / "test.yml").write_text(
        f"""
rule_files: [alerts.rules.yml]
evaluation_interval: 15s
tests:
  - interval: 15s
    input_series:
      - {{series: 'prodai_instance_memory_ratio{{service="chat",instance_id="a"}}', values: '0.95x40'}}
      - {{series: 'prodai_instance_memory_ratio{{service="chat",instance_id="b"}}', values: '0.2x40'}}
      - {{series: 'prodai_requests_total{{endpoint="POST /v1/uploads",status="201"}}', values: '0+9x40'}}
      - {{series: 'prodai_requests_total{{endpoint="POST /v1/uploads",status="503"}}', values: '0+1x40'}}
      - {{series: 'prodai_requests_total{{endpoint="POST /v1/chat",status="503"}}', values: '0+9x40'}}
      - {{series: 'prodai_refused_total{{endpoint="POST /v1/chat"}}', values: '0+9x40'}}
      - {{series: 'prodai_tick_timestamp_seconds', values: '0x40'}}
    alert_rule_test:
      - {{alertname: memory, eval_time: {memory["forS"] - 15}s, exp_alerts: []}}
      - alertname: memory
        eval_time: {memory["forS"]}s
        exp_alerts: [{{exp_labels: {{severity: critical, service: chat}}, exp_annotations: {{summary: '{summary}'}}}}]
      - {{alertname: heartbeat, eval_time: 150s, exp_alerts: []}}
    promql_expr_test:
      - expr: count(ALERTS{{alertname="error-rate", alertstate="firing"}})
        eval_time: 5m
        exp_samples: [{{labels: '{{}}', value: 1}}]
      - expr: count(ALERTS{{alertname="heartbeat", alertstate="firing"}})
        eval_time: 5m
        exp_samples: [{{labels: '{{}}', value: 1}}]
      - expr: count(ALERTS{{alertname="uploads-open"}}) or vector(0)
        eval_time: 5m
        exp_samples: [{{labels: '{{}}', value: 0}}]
  - interval: 15s  # the tick never came
    input_series:
      - {{series: 'prodai_uploads_open', values: '1x10'}}
    promql_expr_test:
      - expr: count(ALERTS{{alertname="heartbeat", alertstate="firing"}})
        eval_time: 1m
        exp_samples: [{{labels: '{{}}', value: 1}}]
""",
        encoding="utf-8",
    )
    promtool("test", "rules", "test.yml", folder=tmp_path)
