"""`prodai demo [FILE]`: a real track through the whole pipeline, with the cloud started for it and ended after it."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local import cloud
from local.client import Client, Refused
from local.user import make_user
from uploads.accept import START_BYTES, audio_format, not_audio

ANALYSIS_DEADLINE_S = 120.0
QUESTION = "What should I change first, and why?"
Show = Callable[[str], None]


@dataclass
class Timings:
    """Seconds that each stage took."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 3)


def run(file: str | None, *, as_json: bool) -> int:
    """Runs the demo; 0 where the track went through, 1 with the reason on stderr."""
    timings = Timings()
    screen = _Silent() if as_json else _Screen()
    with tempfile.TemporaryDirectory() as folder, timings.stage("totalS"):
        path = Path(file) if file else _synthesised(Path(folder))
        fault = _fault(path)
        if fault:
            print(f"prodai demo: {fault}", file=sys.stderr)
            return 1
        stop = cloud.stop_on_signals()
        screen.say("starting the local cloud …")
        with timings.stage("startS"):
            running = cloud.running(stop, quiet=True, tell=screen.detail)
            up = running.__enter__()
        try:
            outcome = _through(up.ready(), path, screen, timings)
        except (Refused, TimeoutError) as error:
            print(f"prodai demo: {error}", file=sys.stderr)
            return 1
        finally:
            with timings.stage("stopS"):
                running.__exit__(None, None, None)
    if as_json:
        print(json.dumps({**outcome, "timings": timings.seconds}, ensure_ascii=False))
    else:
        screen.say(f"whole demo {timings.seconds['totalS']:.1f} s; the cloud is down again; log: {up.log.path}")
    return 0


def _synthesised(folder: Path) -> Path:
    from local import synth

    path = folder / "demo-124bpm-a-minor.wav"
    synth.make(path)
    return path


def _fault(path: Path) -> str | None:
    """What the upload would refuse, said before a whole cloud is started for it."""
    if not path.is_file():
        return f"there is no file {path}"
    with path.open("rb") as file:
        start = file.read(START_BYTES)
    return None if audio_format(start) else not_audio(f"{path} is not audio.").detail


def _through(ready: Mapping[str, Any], path: Path, screen: _Silent, timings: Timings) -> dict[str, Any]:
    """Upload, analysis, report, one question: what `--json` prints, but for the timings. Raises Refused."""
    client = Client(ready, make_user(ready, "demo-producer", "pro", {}))
    with timings.stage("uploadS"):
        upload = client.create_upload(path)
        with screen.bar(path.name, path.stat().st_size) as advance:
            client.send(upload, path, advance)
    with timings.stage("finalizedToDoneS"):
        status = client.wait(upload["trackId"], ANALYSIS_DEADLINE_S, screen.state)
    if status["state"] != "done":
        raise Refused(status["problem"] or {"title": f"The track is {status['state']}", "detail": ""})
    screen.report(status["analysis"], path.name)
    with timings.stage("chatS"):
        answer = _answer(client, upload["trackId"], screen)
    track = {key: status[key] for key in ("trackId", "state", "receivedBytes")} | {"filename": path.name}
    return {"track": track, "analysis": status["analysis"], "chat": answer}


def _answer(client: Client, track_id: str, screen: _Silent) -> dict[str, Any]:
    screen.say(f"\nyou      {QUESTION}")
    screen.start_answer()
    done: dict[str, Any] = {}
    for name, data in client.ask(QUESTION, [track_id], "en"):
        if name == "delta":
            screen.delta(data["text"])
        elif name == "done":
            done = data
    screen.say("")
    return done


class _Silent:
    """The screen of `--json`: shows nothing, so that stdout holds one JSON object."""

    def say(self, text: str) -> None: ...

    def detail(self, text: str) -> None: ...

    def state(self, status: Mapping[str, Any]) -> None: ...

    def report(self, analysis: Mapping[str, Any], filename: str) -> None: ...

    def start_answer(self) -> None: ...

    def delta(self, text: str) -> None: ...

    @contextmanager
    def bar(self, name: str, size: int) -> Iterator[Callable[[int], None]]:
        yield lambda _: None


class _Screen(_Silent):
    """What a person sees."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False)
        self._seen = ""

    def say(self, text: str) -> None:
        self._console.print(text, markup=False)

    def detail(self, text: str) -> None:
        self._console.print(f"  {text}", style="dim", markup=False)

    @contextmanager
    def bar(self, name: str, size: int) -> Iterator[Callable[[int], None]]:
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task(f"upload {name}", total=size)
            yield lambda sent: progress.update(task, completed=sent)

    def state(self, status: Mapping[str, Any]) -> None:
        shown = f"{status['state']} {status['progress']} %"
        if shown != self._seen:
            self._seen = shown
            self._console.print(f"  {shown}", style="cyan")

    def report(self, analysis: Mapping[str, Any], filename: str) -> None:
        from local.report import render

        self._console.print()
        render(analysis, self._console, filename=filename)

    def start_answer(self) -> None:
        self._console.print("prodai   ", end="", style="bold")

    def delta(self, text: str) -> None:
        self._console.print(text, end="", markup=False, soft_wrap=True)
