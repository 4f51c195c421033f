"""`prodai upload` and `prodai chat`: a producer at the terminal, against the running local cloud."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from local import readyfile, uploading
from local.client import Client
from local.pending import Pending, Store, default_folder, fingerprint
from local.report import render
from local.uploading import Transfer
from local.user import make_user


def upload(paths: Sequence[Path], ready_file: str | None, uid: str, plan: str, priority: int = 0) -> int:
    """Uploads files, or goes on with those that an earlier call began, and waits for their analyses.

    Shows a bar for each and a line for each track; the whole report where there is one. Without paths it goes on with
    all that is unfinished. 1 where a track was not analysed. Raises ValueError.
    """
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise ValueError(f"there is no file {', '.join(missing)}")
    ready, store = readyfile.find(ready_file), Store(default_folder())
    token = make_user(ready, uid, plan, {})
    service = ready["upload"]
    wanted = [Pending(str(path.resolve()), fingerprint(path), service, uid, priority) for path in paths]
    pending = {p.id: p for p in map(store.add, wanted)} if paths else {p.id: p for p in store.unfinished(service, uid)}
    transfers = [Transfer(one) for one in pending.values()]
    console = Console(highlight=False)
    if not transfers:
        console.print("nothing is unfinished")
        return 0
    try:
        with _bars(transfers, console) as show:
            uploading.run(lambda: Client(ready, token), store, transfers, show)
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on from here")
        raise
    if len(transfers) == 1 and transfers[0].done:
        render(transfers[0].status["analysis"], console, filename=transfers[0].name)
    for transfer in transfers:
        console.print(_line(transfer), markup=False, soft_wrap=True)
    return 0 if all(transfer.done for transfer in transfers) else 1


@contextmanager
def _bars(transfers: Sequence[Transfer], console: Console) -> Iterator[Callable[[], None]]:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TextColumn("{task.fields[state]}", markup=False), console=console) as progress:
        tasks = [progress.add_task(t.name, total=t.pending.content.size_bytes, state=t.state) for t in transfers]

        def show() -> None:
            for task, transfer in zip(tasks, transfers, strict=True):
                progress.update(task, completed=transfer.sent_bytes, state=_state(transfer))

        yield show


def _state(transfer: Transfer) -> str:
    if transfer.fault is not None:
        return "failed"
    if transfer.queue is not None:
        return f"queued, place {transfer.queue['position']}, about {transfer.queue['etaS']} s"
    return f"analysing {transfer.progress} %" if transfer.state == "analysing" else transfer.state


def _line(transfer: Transfer) -> str:
    if not transfer.done:
        track = f"  track {transfer.track_id}" if transfer.track_id else ""
        return f"{transfer.name}  {transfer.fault}{track}"
    verdict = transfer.status["analysis"]["verdict"]
    return f"{transfer.name}  score {verdict['score']} ({verdict['grade']})  track {transfer.track_id}"


def chat(text: str, track_id: str, ready_file: str | None, uid: str, plan: str) -> int:
    """Asks about a track and prints the answer as it comes."""
    console = Console(highlight=False)
    shown = ""
    for name, data in _client(ready_file, uid, plan).ask(text, [track_id]):
        if name == "message.start" and shown:
            console.print("\n(the answer begins anew)\n", style="dim")
            shown = ""
        elif name == "delta":
            shown += data["text"]
            console.print(data["text"], end="", markup=False, soft_wrap=True)
    console.print()
    return 0


def _client(ready_file: str | None, uid: str, plan: str) -> Client:
    ready = readyfile.find(ready_file)
    return Client(ready, make_user(ready, uid, plan, {}))
