"""A Firestore and a Pub/Sub that cost next to nothing, for benchmarks of what asks them.

Every user is active, nothing else is there, everything is written and published. Google's emulator judges the rules
with some dozens of commits a second on two cores, so a benchmark of the chat with it would be one of the emulator.
`python -m benchmarks.google_stand_in PORT DELAY_S` answers each call after a delay, as a service elsewhere does.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.cloud.firestore_v1.types import document, firestore, write
from google.protobuf.timestamp_pb2 import Timestamp  # type: ignore[import-untyped]
from google.pubsub_v1.types import pubsub

FIRESTORE, PUBSUB = "google.firestore.v1.Firestore", "google.pubsub.v1.Publisher"


class StandIn:
    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self.calls = 0

    async def batch_get(self, raw: bytes, _: Any) -> AsyncIterator[bytes]:
        await self._called()
        request = firestore.BatchGetDocumentsRequest.pb().FromString(raw)
        for name in request.documents:
            answer = firestore.BatchGetDocumentsResponse.pb()(read_time=_now())
            if "/users/" in name:
                answer.found.CopyFrom(_active(name))
            else:
                answer.missing = name
            yield answer.SerializeToString()

    async def get(self, raw: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        await self._called()
        request = firestore.GetDocumentRequest.pb().FromString(raw)
        if "/users/" not in request.name:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"{request.name} is not there")
        return bytes(_active(request.name).SerializeToString())

    async def query(self, _: bytes, __: Any) -> AsyncIterator[bytes]:
        await self._called()
        yield firestore.RunQueryResponse.pb()(read_time=_now()).SerializeToString()

    async def commit(self, raw: bytes, _: Any) -> bytes:
        await self._called()
        request = firestore.CommitRequest.pb().FromString(raw)
        answer = firestore.CommitResponse.pb()(commit_time=_now())
        for _write in request.writes:
            answer.write_results.append(write.WriteResult.pb()(update_time=_now()))
        return bytes(answer.SerializeToString())

    async def publish(self, raw: bytes, _: Any) -> bytes:
        await self._called()
        count = len(pubsub.PublishRequest.pb().FromString(raw).messages)
        return bytes(pubsub.PublishResponse.pb()(message_ids=["1"] * count).SerializeToString())

    async def _called(self) -> None:
        self.calls += 1
        await asyncio.sleep(self._delay_s)


def _active(name: str) -> Any:
    found = document.Document.pb()(name=name, create_time=_now(), update_time=_now())
    found.fields["plan"].string_value = "pro"
    found.fields["planStatus"].string_value = "active"
    return found


def _now() -> Timestamp:
    now = Timestamp()
    now.GetCurrentTime()
    return now


async def serve(port: int, delay_s: float) -> None:
    stand_in, server = StandIn(delay_s), grpc.aio.server()
    handlers = {
        "BatchGetDocuments": grpc.unary_stream_rpc_method_handler(stand_in.batch_get),
        "GetDocument": grpc.unary_unary_rpc_method_handler(stand_in.get),
        "RunQuery": grpc.unary_stream_rpc_method_handler(stand_in.query),
        "Commit": grpc.unary_unary_rpc_method_handler(stand_in.commit),
    }
    publisher = {"Publish": grpc.unary_unary_rpc_method_handler(stand_in.publish)}
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(FIRESTORE, handlers),
            grpc.method_handlers_generic_handler(PUBSUB, publisher),
        )
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
