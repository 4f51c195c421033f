"""The clients of the remote parts: made once per process, on first use, so that a cold start pays for what it uses."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from shared.settings import settings

if TYPE_CHECKING:
    from google.cloud.firestore import Client as FirestoreClient
    from google.cloud.pubsub_v1 import PublisherClient
    from upstash_redis import Redis
    from upstash_redis.asyncio import Redis as AsyncRedis


@cache
def redis() -> Redis:
    """Upstash over REST, each call within its deadline (shared/upstash.py)."""
    from shared import upstash

    return upstash.client(settings().redis_url, settings().redis_token)


@cache
def redis_async() -> AsyncRedis:
    """The same for the asynchronous functions, whose process has one event loop."""
    from shared import upstash

    return upstash.async_client(settings().redis_url, settings().redis_token)


@cache
def firestore() -> FirestoreClient:
    """Firestore as the function's service account: the rules do not judge it."""
    from google.cloud.firestore import Client

    return Client(project=settings().project)


@cache
def publisher() -> PublisherClient:
    from google.cloud.pubsub_v1 import PublisherClient

    return PublisherClient()


@cache
def storage() -> Any:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client

    if settings().storage_emulator_host:
        return Client(project=settings().project, credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
    return Client(project=settings().project)
