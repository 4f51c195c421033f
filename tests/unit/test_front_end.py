"""web/vercel.json leads the front end's `/api/…` to the functions, and says the same headers as they do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from deploy import front
from shared.http import PREFLIGHT_S

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "https://api.example.com"  # stands for FRONT_DOMAIN
CONFIGURATION = json.loads((ROOT / "web" / "vercel.json").read_text(encoding="utf-8"))
REWRITES: list[tuple[str, str]] = [(rule["source"], rule["destination"]) for rule in CONFIGURATION["rewrites"]]
FUNCTIONS = sorted(path.parent.name for path in (ROOT / "functions").glob("*/main.py"))


def endpoints(function: str) -> list[str]:
    """The paths that a function's ENDPOINTS answer, as its main.py has them."""
    text = (ROOT / "functions" / function / "main.py").read_text(encoding="utf-8")
    return re.findall(r'Endpoint\("[A-Z]+", "(/[^"]*)"', text)


def led_to(path: str) -> str | None:
    """Where the rewrites lead a path; the first that matches counts, as on Vercel."""
    for source, destination in REWRITES:
        matched = re.fullmatch(source.replace(":path*", "(.*)"), path)
        if matched:
            return destination.replace(":path*", matched[1] if matched.groups() else "")
    return None


@pytest.mark.parametrize("function", [name for name in FUNCTIONS if name != "analyze"])  # which hears events alone
def test_every_endpoint_for_browsers_is_reached_at_the_same_path_under_api(function: str) -> None:
    paths = [path for path in endpoints(function) if path.startswith("/v1/")]
    assert paths
    for path in paths:
        asked = re.sub(r"\{\w+\}", "some-id", path)
        assert led_to(f"/api{asked}") == f"{ADDRESS}{asked}"


def test_every_rewrite_is_of_one_function_and_none_leads_to_what_is_not_for_browsers() -> None:
    owned = {pattern.removesuffix("*") for paths in front.PATHS.values() for pattern in paths}
    for source, destination in REWRITES:
        path = source.removeprefix("/api")
        assert destination == f"{ADDRESS}{path}"
        assert path.removesuffix(":path*") in owned
    assert led_to("/api/metrics") is None  # Prometheus has a token of its own


def test_the_headers_are_those_of_the_functions() -> None:
    (rule,) = CONFIGURATION["headers"]
    assert re.fullmatch(rule["source"], "/api/v1/uploads/some-id")
    headers = {header["key"]: header["value"] for header in rule["headers"]}
    assert headers == {"Cache-Control": "s-maxage=0", "Access-Control-Max-Age": str(PREFLIGHT_S)}
