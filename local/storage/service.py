"""The parts of the stand-in, as the handlers of requests use them."""

from __future__ import annotations

from dataclasses import dataclass

from local.storage.cors import Cors
from local.storage.objects import Objects
from local.storage.outbox import Publisher
from local.storage.sessions import Sessions
from local.storage.signing import Verifier
from local.storage.state import State


@dataclass(frozen=True)
class Service:
    state: State
    objects: Objects
    sessions: Sessions
    publisher: Publisher
    verifier: Verifier
    cors: Cors
