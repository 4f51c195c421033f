"""Events of the objects, kept on disk until Pub/Sub has them: at least once, in no promised order, never lost.

Their form: https://cloud.google.com/storage/docs/pubsub-notifications
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any
from urllib.parse import quote

import aiohttp

from local.storage.log import logger
from local.storage.state import State

BATCH_MOST = 100
BACKOFF_FIRST_S = 0.05
BACKOFF_LONGEST_S = 2.0
DEADLINE_S = 10.0


def put(state: State, event_type: str, resource: dict[str, Any], event_time: str, more: dict[str, str]) -> None:
    """Leaves an event in the outbox, in the transaction of the change that it tells of."""
    attributes = {
        "notificationConfig": f"projects/_/buckets/{resource['bucket']}/notificationConfigs/1",
        "eventType": event_type,
        "payloadFormat": "JSON_API_V1",
        "bucketId": resource["bucket"],
        "objectId": resource["name"],
        "objectGeneration": resource["generation"],
        "eventTime": event_time,
        **more,
    }
    data = base64.b64encode(json.dumps(resource).encode()).decode()
    message = json.dumps({"data": data, "attributes": attributes})
    state.db.execute("INSERT INTO outbox (message) VALUES (?)", (message,))


class Publisher:
    """Publishes what lies in the outbox, as long as it runs."""

    def __init__(self, state: State, pubsub: str, project: str, topic: str) -> None:
        self._state = state
        self._url = f"http://{pubsub}/v1/projects/{project}/topics/{quote(topic, safe='')}:publish"
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There may be something new."""
        self._woken.set()

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                self._woken.clear()
                while await self._publish_batch(session):
                    pass
                await self._woken.wait()

    async def _publish_batch(self, session: aiohttp.ClientSession) -> bool:
        """Publishes the oldest events, trying until it works; False where there are none."""
        rows = self._state.db.execute("SELECT id, message FROM outbox ORDER BY id LIMIT ?", (BATCH_MOST,)).fetchall()
        if not rows:
            return False
        messages = [json.loads(message) for _, message in rows]
        backoff_s, told = BACKOFF_FIRST_S, ""
        while fault := await self._fault_of(session, messages):
            if fault != told:
                logger.warning("%d storage event(s) wait: %s; trying again until it works", len(rows), fault)
            told = fault
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, BACKOFF_LONGEST_S)
        with self._state.transaction():
            self._state.db.executemany("DELETE FROM outbox WHERE id = ?", [(row[0],) for row in rows])
        return True

    async def _fault_of(self, session: aiohttp.ClientSession, messages: list[dict[str, Any]]) -> str | None:
        """Tries once; why it did not work, or None."""
        try:
            async with session.post(self._url, json={"messages": messages}) as answer:
                return None if answer.status == 200 else f"Pub/Sub answered {answer.status} for {self._url}"
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return f"Pub/Sub could not be reached at {self._url} ({type(error).__name__})"
