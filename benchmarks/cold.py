"""From the start of a process to its first answer: each staged bundle against an empty function of the same signature.

Each runs under functions-framework in an environment of its own requirements, with all byte code written, as the
buildpack leaves it. Pairs are interleaved and the ratio is taken within each, so that a busy machine slows both. The
first answer is a refusal without any remote call: 401 without an ID token; analyze drops an event that nobody can read.
Run `make bench-cold`; `python -m benchmarks.cold PAIRS` for more or fewer than 9 pairs. It ends with 1
where an aim was missed.
"""

from __future__ import annotations

import compileall
import http.client
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from deploy import bundle, smoke
from local import environments

PAIRS = 9
START_DEADLINE_S = 60.0
POLL_S = 0.003
EVENT = {"ce-id": "1", "ce-source": "//pubsub.example", "ce-specversion": "1.0", "Content-Type": "application/json"}
EVENT["ce-type"] = "google.cloud.pubsub.topic.v1.messagePublished"


@dataclass(frozen=True)
class Case:
    name: str
    signature: str
    method: str
    path: str
    body: str
    headers: Mapping[str, str]
    status: int
    ratio_most: float


CASES = (
    Case("upload", "http", "POST", "/v1/uploads", "{}", {}, 401, 1.5),
    Case("chat", "http", "POST", "/v1/chat", "{}", {}, 401, 1.5),
    Case("metrics", "http", "GET", "/v1/metrics", "", {}, 401, 1.5),
    Case("analyze", "cloudevent", "POST", "/", json.dumps({"message": None}), EVENT, 200, 1.8),
)
EMPTY = {
    "upload": "@functions_framework.http\ndef upload(request):\n    return '', 401\n",
    "chat": "import functions_framework.aio\nfrom starlette.responses import Response\n\n"
    "@functions_framework.aio.http\nasync def chat(request):\n    return Response(status_code=401)\n",
    "metrics": "@functions_framework.http\ndef metrics(request):\n    return '', 401\n",
    "analyze": "@functions_framework.cloud_event\ndef analyze(cloud_event):\n    pass\n",
}


def start_s(python: Path, source: Path, case: Case) -> float:
    """Seconds from the start of the process to its answer. Raises AssertionError for another answer than expected."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    command = [str(python), "-I", "-m", "functions_framework", "--target", case.name, "--source", f"{source}/main.py"]
    command += ["--signature-type", case.signature, "--host", "127.0.0.1", "--port", str(port)]
    settings = {name: value for name, value in smoke.SETTINGS.items() if name != "K_SERVICE"}
    started = time.perf_counter()
    process = subprocess.Popen(command, env=settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while (status := _status(port, case)) is None:
            assert process.poll() is None, f"{case.name} ended while starting"
            assert time.perf_counter() - started < START_DEADLINE_S, f"{case.name} does not answer"
            time.sleep(POLL_S)
        took = time.perf_counter() - started
    finally:
        process.terminate()
        process.wait()
    assert status == case.status, f"{case.name} answers {status}"
    return took


def _status(port: int, case: Case) -> int | None:
    """The answer's status; None while nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_DEADLINE_S)
    try:
        connection.request(case.method, case.path, case.body, dict(case.headers))
        return connection.getresponse().status
    except ConnectionError:
        return None
    finally:
        connection.close()


def mib(folder: Path) -> float:
    """The size of the files in a folder, byte code left out."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return sum(path.stat().st_size for path in files) / 2**20


def measured(case: Case, pairs: int, place: Path) -> tuple[str, bool]:
    """A line of the table, and whether the aim was met."""
    staged, empty = place / case.name, place / f"{case.name}-empty"
    bundle.stage(f"functions/{case.name}", staged)
    size_mib = mib(staged)
    empty.mkdir()
    (empty / "main.py").write_text(f"import functions_framework\n{EMPTY[case.name]}", encoding="utf-8")
    python = environments.linked(staged / "requirements.txt", place / f"{case.name}.venv")
    for folder in (staged, empty):
        compileall.compile_dir(folder, quiet=1)
    runs = [(start_s(python, staged, case), start_s(python, empty, case)) for _ in range(pairs + 1)][
        1:
    ]  # one to warm up
    ratio = median(ours / theirs for ours, theirs in runs)
    ours_s, empty_s = (median(column) for column in zip(*runs, strict=True))
    met = ratio <= case.ratio_most
    line = (
        f"{case.name:<9}{ours_s * 1e3:>9.0f}{empty_s * 1e3:>10.0f}{ratio:>9.2f}{case.ratio_most:>7}  "
        f"{'met' if met else 'MISSED':<8}{size_mib:>8.2f}{mib(place / f'{case.name}.venv'):>14.1f}"
    )
    return line, met


def main(pairs: int) -> int:
    """1 where an aim was missed."""
    all_met = True
    print(f"{'bundle':<9}{'ms':>9}{'empty ms':>10}{'ratio':>9}{'aim':>7}  {'':<8}{'MiB':>8}{'requires MiB':>14}")
    with tempfile.TemporaryDirectory(prefix="prodai-cold-") as place:
        for case in CASES:
            line, met = measured(case, pairs, Path(place))
            print(line, flush=True)
            all_met &= met
    return 0 if all_met else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS))
