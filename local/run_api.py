"""The Cloud Run Admin API's part of the local cloud: how many instances of a function are kept ready.

    python -m local.run_api --port PORT --router URL --project PROJECT

Answers `GET` and `PATCH /v2/projects/P/locations/L/services/S?updateMask=scaling.minInstanceCount` as Cloud Run does.
For a function that hears events, workers are started and stopped, and the router spreads the events over them; one
that is called over HTTP has one address here, so its count is only kept. `GET /scaled` shows it all.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import aiohttp
from aiohttp import web

from local import pubsub
from shared import telemetry

PLACES = ("us-central1", "europe-west1", "asia-northeast1")
HOME = PLACES[0]  # what hears a topic stands in one region
MASK = "scaling.minInstanceCount"
WORKERS_MOST = 2  # beside the first: this is one machine
READY_WITHIN_S = 60.0
STOP_WITHIN_S = 5.0


class Worker(Protocol):
    url: str
    pid: int

    async def stop(self) -> None: ...


Start = Callable[[Mapping[str, Any]], Awaitable[Worker]]
Spread = Callable[[str, Sequence[str]], Awaitable[None]]


class Services:
    """What was asked for, and the workers that follow from it."""

    def __init__(self, deployables: Sequence[Mapping[str, Any]], start: Start, spread: Spread) -> None:
        self._deployables = {deployable["name"]: deployable for deployable in deployables}
        self._start = start
        self._spread = spread
        self._lock = asyncio.Lock()
        self.wanted: dict[str, int] = {}  # by function: the highest of its regions
        self.least: dict[tuple[str, str], int] = {}  # by function and place
        self.workers: dict[str, list[Worker]] = {}

    def stands(self, name: str, place: str) -> bool:
        deployable = self._deployables.get(name)
        if deployable is None or place not in PLACES:
            return False
        hears_topic = "topic" in (deployable["trigger"] or {})
        return place == HOME or not hears_topic

    def scale(self, name: str, place: str, instances: int) -> asyncio.Task[None]:
        """Notes what is wanted at once; the workers follow, as instances do."""
        self.least[name, place] = instances
        self.wanted[name] = max(count for (service, _), count in self.least.items() if service == name)
        return asyncio.create_task(self._follow(name))

    async def _follow(self, name: str) -> None:
        async with self._lock:
            workers = self.workers.setdefault(name, [])
            if self._deployables[name]["trigger"] is None:
                return
            while len(workers) < self._extra(name):
                workers.append(await self._start(self._deployables[name]))
            surplus = workers[self._extra(name) :]
            del workers[self._extra(name) :]
            await self._spread(name, [worker.url for worker in workers])
            for worker in surplus:
                await worker.stop()

    def _extra(self, name: str) -> int:
        return min(max(self.wanted.get(name, 0) - 1, 0), WORKERS_MOST)


class Process:
    """A further instance of a function, under functions-framework as the first one."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.url = f"http://127.0.0.1:{port}"
        self.pid = process.pid

    async def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), STOP_WITHIN_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


async def start_process(deployable: Mapping[str, Any]) -> Worker:
    """Raises TimeoutError where it does not become ready."""
    from local import parts

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
    environment = {**os.environ, **parts.instance_environment(deployable)}
    command = parts.function_command(deployable, port)
    process = await asyncio.create_subprocess_exec(*command, env=environment, cwd=parts.ROOT)
    async with asyncio.timeout(READY_WITHIN_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                telemetry.info(f"one more instance of {deployable['name']}", port=port)
                return Process(process, port)


def application(project: str, services: Services) -> web.Application:
    running: set[asyncio.Task[None]] = set()

    def found(request: web.Request) -> tuple[str, str]:
        name, place = request.match_info["name"], request.match_info["place"]
        if request.match_info["project"] != project or not services.stands(name, place):
            raise web.HTTPNotFound(text=f"no service {name} in {place}")
        return name, place

    def answer(name: str, place: str) -> dict[str, Any]:
        full_name = f"projects/{project}/locations/{place}/services/{name}"
        return {"name": full_name, "scaling": {"minInstanceCount": services.least.get((name, place), 0)}}

    async def get(request: web.Request) -> web.Response:
        return web.json_response(answer(*found(request)))

    async def patch(request: web.Request) -> web.Response:
        name, place = found(request)
        body = await request.json()
        instances = body.get("scaling", {}).get("minInstanceCount")
        if request.query.get("updateMask") != MASK or not isinstance(instances, int) or instances < 0:
            raise web.HTTPBadRequest(text=f"only updateMask={MASK}, a whole number of 0 or more, is known here")
        task = services.scale(name, place, instances)
        running.add(task)
        task.add_done_callback(running.discard)
        operation = f"projects/{project}/locations/{place}/operations/{name}"
        return web.json_response({"name": operation, "done": False, "metadata": answer(name, place)})

    async def scaled(_: web.Request) -> web.Response:
        shown = {
            name: {"minInstances": count, "workers": [worker.pid for worker in services.workers.get(name, [])]}
            for name, count in services.wanted.items()
        }
        return web.json_response(shown)

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    path = "/v2/projects/{project}/locations/{place}/services/{name}"
    app = web.Application()
    app.router.add_get(path, get)
    app.router.add_patch(path, patch)
    app.router.add_get("/scaled", scaled)
    app.router.add_get("/health", health)
    return app


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.run_api")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--router", required=True, metavar="URL")
    parser.add_argument("--project", required=True)
    options = parser.parse_args()

    async def spread(name: str, urls: Sequence[str]) -> None:
        body = {"subscription": name, "urls": list(urls)}
        async with aiohttp.ClientSession() as session, session.post(f"{options.router}/targets", json=body) as told:
            told.raise_for_status()

    services = Services(pubsub.table()["deployables"], start_process, spread)
    app = application(options.project, services)
    web.run_app(app, host="127.0.0.1", port=options.port, print=None, access_log=None, shutdown_timeout=1)


if __name__ == "__main__":
    main()
