"""The real gcloud, loaded once: each command runs in a child of the loaded process. Run by gcloud's own Python.

    python -S gcloud_server.py ROOT SOCKET            serves until its standard input ends
    python -S gcloud_server.py ask SOCKET ARGUMENT…   has one command served, as if the caller ran it

A start of gcloud costs 0.6 s of CPU, nine parts in ten of it imports, and the tests of deploy.sh make hundreds. What a
command imports, the process imports too, so that the next one finds it; nothing else is shared.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

LENGTH_BYTES = 4
STREAMS = 3  # standard input, output and error


def serve(root: str, address: str) -> None:
    import gc
    import importlib
    import select

    sys.path[:0] = [f"{root}/lib/third_party", f"{root}/lib"]
    gcloud: Any = importlib.import_module("googlecloudsdk.gcloud_main")
    commands = gcloud.CreateCLI([])
    gc.disable()  # or every child would copy the memory that its collector looks through
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        while sys.stdin not in select.select([listening, sys.stdin], [], [])[0]:
            line, _ = listening.accept()
            with line:
                for name in _in_a_child(line, lambda: gcloud.main(commands)):
                    with contextlib.suppress(ImportError):
                        importlib.import_module(name)


def _in_a_child(line: socket.socket, command: Any) -> list[str]:
    """Runs what the line asks for, answers with its exit code, and gives the modules that it imported."""
    length, streams, _, _ = socket.recv_fds(line, LENGTH_BYTES, STREAMS)
    text = b""
    while len(text) < int.from_bytes(length, "big"):
        text += line.recv(65536)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        before = set(sys.modules)
        code = _run(json.loads(text), streams, command)
        imported = [name for name in sys.modules if name not in before and name.startswith("googlecloudsdk.")]
        os.write(writing, " ".join(imported).encode())
        line.sendall(str(code).encode())
        os._exit(0)
    os.close(writing)
    for stream in streams:
        os.close(stream)
    with os.fdopen(reading) as imports:
        names = imports.read().split()
    os.waitpid(child, 0)
    return names


def _run(request: dict[str, Any], streams: list[int], command: Any) -> int:
    import atexit

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv = ["gcloud", *request["arguments"]]
    try:
        code = command()
    except SystemExit as ended:
        code = ended.code
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else int(code is not None)


def ask(address: str, arguments: list[str]) -> int:
    request = {"arguments": arguments, "environment": dict(os.environ), "folder": str(Path.cwd())}
    text = json.dumps(request).encode()
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(address)
        socket.send_fds(line, [len(text).to_bytes(LENGTH_BYTES, "big")], list(range(STREAMS)))
        line.sendall(text)
        return int(line.recv(16) or b"1")


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        sys.exit(ask(sys.argv[2], sys.argv[3:]))
    serve(sys.argv[1], sys.argv[2])
