"""The ready file: what scripts need to know of a running local cloud, and how commands find it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".prodai"
LAST = STATE / "last"


class NoCloud(Exception):  # noqa: N818
    """No local cloud is running, as far as can be seen."""


def write(path: Path, content: dict[str, Any]) -> None:
    """Written whole or not at all, so that whoever waits for the file may read it at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def find(given: str | None) -> dict[str, Any]:
    """The running cloud: the given ready file, else PRODAI_READY_FILE, else the last one started. Raises NoCloud."""
    path = given or os.environ.get("PRODAI_READY_FILE")
    if not path and LAST.is_file():
        path = LAST.read_text(encoding="utf-8").strip()
    if not path:
        raise NoCloud("no local cloud is running; start one with `prodai up`")
    try:
        content: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NoCloud(f"no local cloud is running: {path} is not there; start one with `prodai up`") from None
    except ValueError as error:
        raise NoCloud(f"{path} is not a ready file: {error}") from None
    return content
