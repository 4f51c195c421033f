"""`prodai top`: one picture of how the service stands, readable at 80 columns."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from local import top

CALM: dict[str, Any] = {
    "time": "2026-11-24T19:16:24+00:00",
    "active": {"minute": 0, "fiveMinutes": 0},
    "uploadsOpen": 0,
    "queue": None,
    "costTodayUsd": 0.0,
    "unhealthyRegions": [],
    "incidents": [],
    "instances": [],
    "controls": {"closed": [], "rateFactor": 1.0, "shedPlans": []},
    "recent": {"endpoints": [], "timings": {}, "counts": {}},
    "minutes": [],
    "funnels": [],
}
ENDPOINT = {"endpoint": "GET /v1/conversations/{conversation_id}/messages", "requests": 90, "perSecond": 0.3}
BUSY = CALM | {
    "active": {"minute": 812, "fiveMinutes": 1034},
    "uploadsOpen": 61,
    "queue": {"waiting": 140, "running": 5, "oldestAgeS": 432.0},
    "costTodayUsd": 83.456,
    "unhealthyRegions": ["eu"],
    "incidents": [
        {
            "severity": "critical",
            "title": "GET /v1/uploads/{track_id} fails (more than 5 % errors)" * 2,
            "openedAt": "2026-11-24T19:10:00",
        }
    ]
    * 6,
    "instances": [
        {"service": "upload-finalized", "id": f"{i:08x}", "ageS": 90_000, "seenS": 3, "cpu": 0.95, "memory": 0.5}
        for i in range(20)
    ],
    "controls": {"closed": ["model"], "rateFactor": 0.25, "shedPlans": ["free"]},
    "recent": {
        "endpoints": [
            ENDPOINT | {"errorRate": 0.125, "p50Ms": 40.0, "p95Ms": 2400.0, "p99Ms": 61_000.0},
            ENDPOINT | {"endpoint": "POST /v1/chat", "errorRate": None, "p50Ms": None, "p95Ms": None, "p99Ms": None},
        ],
        "timings": {"model.first": {"p50Ms": 210.0, "p95Ms": 900.0, "p99Ms": 1500.0}},
        "counts": {"limiter.allowed": 12_345, "limiter.refused": 6, "model.tokens.prompt": 10**9, "cold.chat": 2},
    },
    "minutes": [{"requests": n} for n in range(60)],
    "funnels": [{"day": "2026-11-24", "uploaded": 40, "analysed": 38, "asked": 21, "returned": 5}],
}


def text(shown: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(top.frame(shown))
    written = console.file
    assert isinstance(written, io.StringIO)
    return written.getvalue()


@pytest.mark.parametrize("shown", [CALM, BUSY], ids=["calm", "busy"])
def test_no_line_is_wider_than_eighty_columns_and_the_frame_fits_a_terminal(shown: dict[str, Any]) -> None:
    lines = text(shown).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 40


def test_what_an_operator_looks_for_is_there() -> None:
    frame = text(BUSY)
    for said in ("critical: GET /v1/uploads", "closed: model", "limits x 0.25", "shed: free", "storage: eu"):
        assert said in frame
    for said in ("812 last min", "61", "140 (oldest 7 min)", "$83.46", "12.5%", "2400 ms", "61.0 s", "12,345", "95%"):
        assert said in frame
    assert "uploaded 40 → analysed 38 → asked 21 → returned 5" in frame
    assert "and 8 more" in frame


def test_a_quiet_service_says_so_and_what_is_not_known_is_said() -> None:
    frame = text(CALM)
    assert "nothing switched off" in frame
    assert "no requests" in frame
    assert "unknown" in frame


def test_an_address_needs_a_token() -> None:
    with pytest.raises(ValueError, match="--url needs --token"):
        top.run("https://metrics.example", None, None, once=True)
