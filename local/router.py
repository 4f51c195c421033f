"""Eventarc's part of the local cloud: messages of the Pub/Sub emulator reach the functions as binary CloudEvents.

    python -m local.router --port PORT --pubsub HOST:PORT --project PROJECT --routes '{"SUBSCRIPTION": "URL"}'

`GET /deliveries` lists the last deliveries; `POST /replay {"subscription", "last"}` delivers events a second time, as
Pub/Sub may. A pull that was given up, over REST or gRPC, goes on inside the emulator and swallows messages until their
ack deadline; so pulls are short, and a router that ends lets the last ones finish.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp
from aiohttp import web

from local import pubsub
from local.eventarc import CloudEvent, cloud_event
from shared import telemetry

ACKNOWLEDGING = frozenset({102, 200, 201, 202, 204})  # what Pub/Sub push takes as an acknowledgement
DELIVERIES_KEPT = 1000
CALL_DEADLINE_S = 10.0
PULL_WAIT_S = 1
PULL_HEADERS = {"grpc-timeout": f"{PULL_WAIT_S + 1}S"}  # the emulator answers an empty pull a second before
RETRY_AFTER_S = 0.5
# A message is leased for a short while at a time, so that a router that was killed holds nothing back for long.
LEASE_S = 30
RENEW_EVERY_S = 10.0
STOP_PATIENCE_S = 2.5
# Cloud Run holds a request while an instance starts; a function that nobody listens for gets the same patience.
START_PATIENCE_S = 10.0
START_POLL_S = 0.2


@dataclass(frozen=True)
class Delivery:
    """One attempt to deliver. `status` is null where no answer came, and `error` says why."""

    subscription: str
    eventId: str  # noqa: N815  # as in the JSON
    type: str
    status: int | None
    attempt: int
    durationMs: int  # noqa: N815  # as in the JSON
    error: str | None = None


class EmulatorError(Exception):
    """The emulator is away or refuses; the message says which."""


class Emulator:
    """The subscriber side of the Pub/Sub emulator."""

    def __init__(self, session: aiohttp.ClientSession, host: str, project: str) -> None:
        self._session = session
        self._base = f"http://{host}/v1/projects/{project}/subscriptions"

    async def subscription(self, name: str) -> dict[str, Any]:
        settings: dict[str, Any] = await self._call("GET", name)
        return settings

    async def pull(self, name: str, most: int) -> list[dict[str, Any]]:
        """Waits for messages; an empty list after a while without any."""
        answer = await self._call("POST", f"{name}:pull", {"maxMessages": most}, PULL_HEADERS)
        received: list[dict[str, Any]] = answer.get("receivedMessages", [])
        return received

    async def acknowledge(self, name: str, ack_ids: list[str]) -> None:
        await self._call("POST", f"{name}:acknowledge", {"ackIds": ack_ids})

    async def set_deadline(self, name: str, ack_ids: list[str], deadline_s: int) -> None:
        body = {"ackIds": ack_ids, "ackDeadlineSeconds": deadline_s}
        await self._call("POST", f"{name}:modifyAckDeadline", body)

    async def _call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        timeout = aiohttp.ClientTimeout(total=CALL_DEADLINE_S)
        url = f"{self._base}/{path}"
        try:
            async with self._session.request(method, url, json=body, headers=headers, timeout=timeout) as answer:
                content = await answer.json()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise EmulatorError(f"the Pub/Sub emulator does not answer ({type(error).__name__})") from None
        if answer.status != 200:
            raise EmulatorError(f"the Pub/Sub emulator answered {answer.status}: {content}")
        return content


class Lane:
    """One subscription: pulled, delivered to its function, settled."""

    def __init__(
        self,
        project: str,
        deployable: Mapping[str, Any],
        url: str,
        emulator: Emulator,
        session: aiohttp.ClientSession,
        stop: asyncio.Event,
    ) -> None:
        self.name: str = deployable["name"]
        self.ready = False
        self.sent: deque[tuple[CloudEvent, int]] = deque(maxlen=DELIVERIES_KEPT)
        self._most: int = deployable["maxInstances"] * deployable["concurrency"]
        self._timeout_s = float(deployable["timeoutS"])
        self._project = project
        self._url = url
        self._targets = [url]  # the first instance, and those that scaling added
        self._turn = itertools.count()
        self._emulator = emulator
        self._session = session
        self._topic = ""
        self._first_backoff_s = 0
        self._attempts_most = 0
        self._held: set[str] = set()
        self._deadlines = asyncio.Lock()  # so that a renewal does not overtake a nack
        self._working: set[asyncio.Task[None]] = set()
        self._stop = stop

    async def run(self, record: Callable[[Delivery], None]) -> None:
        """Delivers until told to stop, or cancelled; then all that it holds is given back."""
        renewing = asyncio.create_task(self._renew())
        try:
            await self._persist(self._learn)
            self.ready = True
            while not self._stop.is_set():
                free = self._most - len(self._working)
                if free > 0:
                    await self._take(free, record)
                else:
                    await asyncio.wait(self._working, timeout=PULL_WAIT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            held = list(self._held)
            for task in (renewing, *self._working):
                task.cancel()
            if held:
                await self._settle(lambda: self._emulator.set_deadline(self.name, held, 0))

    async def _take(self, most: int, record: Callable[[Delivery], None]) -> None:
        pulled = await self._persist(lambda: self._emulator.pull(self.name, most)) or []
        self._held.update(received["ackId"] for received in pulled)
        await self._lease()
        for received in pulled:
            task = asyncio.create_task(self._handle(received, record))
            self._working.add(task)
            task.add_done_callback(self._working.discard)

    async def deliver(self, event: CloudEvent, attempt: int) -> Delivery:
        """Posts an event to the function and waits for its answer, as long as the function may take."""
        started = time.monotonic()
        status, fault = await self._post(event)
        duration_ms = round((time.monotonic() - started) * 1000)
        return Delivery(self.name, event.id, event.type, status, attempt, duration_ms, fault)

    async def _learn(self) -> None:
        settings = await self._emulator.subscription(self.name)
        self._topic = settings["topic"].rpartition("/")[2]
        self._timeout_s = min(self._timeout_s, settings["ackDeadlineSeconds"])
        backoff = settings.get("retryPolicy", {}).get("minimumBackoff", "10s")
        self._first_backoff_s = round(float(backoff.removesuffix("s")))
        self._attempts_most = settings.get("deadLetterPolicy", {}).get("maxDeliveryAttempts", 0)

    async def _handle(self, received: Mapping[str, Any], record: Callable[[Delivery], None]) -> None:
        ack_id = received["ackId"]
        attempt = received.get("deliveryAttempt", 1)
        acknowledged = True
        event = self._read(received)
        if event is not None:
            self.sent.append((event, attempt))
            delivery = await self.deliver(event, attempt)
            record(delivery)
            acknowledged = delivery.status in ACKNOWLEDGING
            if not acknowledged:
                self._warn(delivery)
        if acknowledged:
            await self._settle(lambda: self._emulator.acknowledge(self.name, [ack_id]))
            self._held.discard(ack_id)
            return
        # The emulator redelivers at once after a first nack and keeps its backoff only from the second on;
        # production waits each time.
        wait_s = self._first_backoff_s if attempt == 1 else 0
        async with self._deadlines:
            await self._settle(lambda: self._emulator.set_deadline(self.name, [ack_id], wait_s))
            self._held.discard(ack_id)

    def _read(self, received: Mapping[str, Any]) -> CloudEvent | None:
        try:
            return cloud_event(self._project, self.name, self._topic, received)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            message_id = received["message"].get("messageId")
            telemetry.error(
                "a message that cannot be read was dropped",
                subscription=self.name,
                eventId=message_id,
                error=repr(error),
            )
            return None

    def spread(self, further: Sequence[str]) -> None:
        """Delivers to further instances as well, in turn."""
        self._targets = [self._url, *further]

    async def _post(self, event: CloudEvent) -> tuple[int | None, str | None]:
        url = self._targets[next(self._turn) % len(self._targets)]
        patience_ends = time.monotonic() + START_PATIENCE_S
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        while True:
            try:
                async with self._session.post(
                    url, data=event.body, headers=event.headers, timeout=timeout, allow_redirects=False
                ) as answer:
                    await answer.read()
                    return answer.status, None
            except aiohttp.ClientConnectorError as error:
                if time.monotonic() > patience_ends:
                    return None, f"nobody listens at {url} ({error.os_error.strerror})"
                await asyncio.sleep(START_POLL_S)
            except TimeoutError:
                return 504, f"no answer within {self._timeout_s:g} s"
            except (aiohttp.ClientError, OSError) as error:
                return None, f"the connection broke ({type(error).__name__})"

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            await self._lease()

    async def _lease(self) -> None:
        async with self._deadlines:
            if self._held:
                await self._settle(lambda: self._emulator.set_deadline(self.name, list(self._held), LEASE_S))

    async def _persist(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """The result of a call to the emulator, tried until it works; an outage is told once. None where all stops."""
        told = False
        while True:
            try:
                result = await call()
            except EmulatorError as error:
                if self._stop.is_set():
                    return None
                if not told:
                    telemetry.warning(f"{error}; trying again until it works", subscription=self.name)
                told = True
                await asyncio.sleep(RETRY_AFTER_S)
            else:
                if told:
                    telemetry.info("the Pub/Sub emulator answers again", subscription=self.name)
                return result

    async def _settle(self, call: Callable[[], Awaitable[None]]) -> None:
        """An acknowledgement that fails is left: the message comes again when its lease is over."""
        try:
            await call()
        except EmulatorError as error:
            telemetry.warning(f"not settled: {error}", subscription=self.name)

    def _warn(self, delivery: Delivery) -> None:
        last = 0 < self._attempts_most <= delivery.attempt
        message = "an event was given up and becomes a dead letter" if last else "an event will be delivered again"
        emit = telemetry.error if last else telemetry.warning
        emit(message, **{k: v for k, v in asdict(delivery).items() if v is not None})


class Router:
    """All lanes, and what was delivered."""

    def __init__(self) -> None:
        self.lanes: dict[str, Lane] = {}
        self.deliveries: deque[Delivery] = deque(maxlen=DELIVERIES_KEPT)

    async def health(self, _: web.Request) -> web.Response:
        waiting = [lane.name for lane in self.lanes.values() if not lane.ready]
        return web.json_response({"waitingFor": waiting}, status=503 if waiting else 200)

    async def list_deliveries(self, _: web.Request) -> web.Response:
        return web.json_response([asdict(delivery) for delivery in self.deliveries])

    async def replay(self, request: web.Request) -> web.Response:
        """Delivers the last events of a subscription again, oldest first, and answers with these deliveries."""
        try:
            body = await request.json()
            lane, last = self.lanes[body["subscription"]], int(body.get("last", 1))
        except (KeyError, TypeError, ValueError) as error:
            return web.json_response({"error": f"no such subscription or number: {error}"}, status=400)
        again = []
        for event, attempt in list(lane.sent)[-last:] if last > 0 else []:
            again.append(await lane.deliver(event, attempt))
            self.deliveries.append(again[-1])
        return web.json_response([asdict(delivery) for delivery in again])

    async def targets(self, request: web.Request) -> web.Response:
        """Spreads a subscription's events over further instances: `{"subscription", "urls"}`."""
        try:
            body = await request.json()
            self.lanes[body["subscription"]].spread([str(url) for url in body["urls"]])
        except (KeyError, TypeError, ValueError) as error:
            return web.json_response({"error": f"no such subscription or list: {error}"}, status=400)
        return web.json_response({"urls": body["urls"]})


def application(host: str, project: str, routes: Mapping[str, str], deployables: Mapping[str, Any]) -> web.Application:
    """The router as a web application that delivers as long as it runs."""
    router = Router()

    async def delivering(_app: web.Application) -> Any:
        connector = aiohttp.TCPConnector(limit=0)
        # A function may close an idle connection just when the next event is sent, so each event has its own.
        fresh = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector) as calls, aiohttp.ClientSession(connector=fresh) as posts:
            emulator = Emulator(calls, host, project)
            stop = asyncio.Event()
            for name, url in routes.items():
                router.lanes[name] = Lane(project, deployables[name], url, emulator, posts, stop)
            record = router.deliveries.append
            running = [asyncio.create_task(lane.run(record)) for lane in router.lanes.values()]
            yield
            stop.set()
            _, unfinished = await asyncio.wait(running, timeout=STOP_PATIENCE_S)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    app = web.Application()
    app.cleanup_ctx.append(delivering)
    app.router.add_get("/health", router.health)
    app.router.add_get("/deliveries", router.list_deliveries)
    app.router.add_post("/replay", router.replay)
    app.router.add_post("/targets", router.targets)
    return app


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.router")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pubsub", required=True, metavar="HOST:PORT")
    parser.add_argument("--project", required=True)
    parser.add_argument("--routes", type=json.loads, required=True, metavar="JSON")
    options = parser.parse_args()
    deployables = {deployable["name"]: deployable for deployable in pubsub.table()["deployables"]}
    unknown = sorted(options.routes.keys() - deployables.keys())
    if unknown:
        parser.error(f"--routes names what {pubsub.TABLE.name} does not have: {', '.join(unknown)}")
    app = application(options.pubsub, options.project, options.routes, deployables)
    web.run_app(app, host="127.0.0.1", port=options.port, print=None, access_log=None, shutdown_timeout=1)


if __name__ == "__main__":
    main()
