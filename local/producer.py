"""`prodai upload` and `prodai chat`: a producer at the terminal, against the running local cloud."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from local import readyfile
from local.client import Client, Refused
from local.report import render
from local.user import make_user

ANALYSIS_DEADLINE_S = 600.0


def upload(path: Path, ready_file: str | None, uid: str, plan: str) -> int:
    """Uploads a file with a progress bar, waits for its analysis and shows it."""
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    console, client = Console(highlight=False), _client(ready_file, uid, plan)
    created = client.create_upload(path)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(path.name, total=path.stat().st_size)
        client.send(created, path, lambda sent: progress.update(task, completed=sent))
    with console.status("waiting") as waiting:

        def show(status: Mapping[str, Any]) -> None:
            waiting.update(f"{status['state']} {status['progress']} %")

        status = client.wait(created["trackId"], ANALYSIS_DEADLINE_S, show)
    if status["state"] != "done":
        raise Refused(status["problem"] or {"title": f"The track is {status['state']}"})
    render(status["analysis"], console, filename=path.name)
    console.print(f"track {created['trackId']}")
    return 0


def chat(text: str, track_id: str, ready_file: str | None, uid: str, plan: str) -> int:
    """Asks about a track and prints the answer as it comes."""
    console = Console(highlight=False)
    for name, data in _client(ready_file, uid, plan).ask(text, [track_id]):
        if name == "delta":
            console.print(data["text"], end="", markup=False, soft_wrap=True)
        elif name == "error":
            raise Refused(data)
    console.print()
    return 0


def _client(ready_file: str | None, uid: str, plan: str) -> Client:
    ready = readyfile.find(ready_file)
    return Client(ready, make_user(ready, uid, plan, {}))
