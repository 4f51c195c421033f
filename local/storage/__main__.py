"""`python -m local.storage`: the stand-in as a process."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import time
from pathlib import Path

from aiohttp import web

from local.storage import log
from local.storage.app import make_app
from local.storage.cors import Cors
from local.storage.objects import Objects
from local.storage.outbox import Publisher
from local.storage.receiving import BLOCK_BYTES
from local.storage.service import Service
from local.storage.sessions import Sessions
from local.storage.signing import Verifier
from local.storage.state import State

HOST = "127.0.0.1"
TOPIC = "storage-events"


def main() -> None:
    options = _options()
    log.configure()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(options))


async def _serve(options: argparse.Namespace) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    # Bodies are kept as they are sent: an object that is gzip stays gzip.
    runner = web.AppRunner(
        make_app(_service(options)),
        access_log=None,
        read_bufsize=BLOCK_BYTES,
        auto_decompress=False,
        shutdown_timeout=1.0,
    )
    await runner.setup()
    await web.TCPSite(runner, HOST, options.port).start()
    await ended.wait()
    await runner.cleanup()


def _service(options: argparse.Namespace) -> Service:
    state = State(options.data)
    objects = Objects(state, frozenset(options.buckets.split(",")), f"http://{HOST}:{options.port}", time.time)
    return Service(
        state=state,
        objects=objects,
        sessions=Sessions(state, objects, time.time),
        publisher=Publisher(state, options.pubsub, options.project, options.topic_prefix + TOPIC),
        verifier=Verifier(options.data, options.project, time.time),
        cors=Cors(dict(options.cors)),
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.storage", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of the objects and open sessions")
    parser.add_argument("--buckets", required=True, help="the buckets that exist, separated by commas")
    parser.add_argument("--pubsub", required=True, metavar="HOST:PORT", help="the Pub/Sub emulator")
    parser.add_argument("--project", required=True)
    parser.add_argument("--topic-prefix", default="", help=f"stands before {TOPIC!r} in the topic's name")
    parser.add_argument(
        "--cors",
        type=_bucket_origins,
        action="append",
        default=[],
        metavar="BUCKET=ORIGIN,…",
        help="origins that may use signed URLs of a bucket from a browser; any, where a bucket is not named",
    )
    return parser.parse_args()


def _bucket_origins(text: str) -> tuple[str, frozenset[str]]:
    bucket, _, origins = text.partition("=")
    return bucket, frozenset(origins.split(","))


if __name__ == "__main__":
    main()
