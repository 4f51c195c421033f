"""The clients of the remote parts: made once per process, on first use, so that a cold start pays for what it uses."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from shared.settings import settings

if TYPE_CHECKING:
    from google.cloud.firestore import Client as FirestoreClient
    from google.cloud.pubsub_v1 import PublisherClient
    from upstash_redis import Redis

REDIS_DEADLINE_S = 0.15


@cache
def redis() -> Redis:
    """Upstash over REST: no blind retries, and a timeout, which `upstash_redis` does not have of its own."""
    import httpx
    from upstash_redis import Redis

    client = Redis(
        settings().redis_url, settings().redis_token, rest_encoding=None, rest_retries=0, allow_telemetry=False
    )
    client._http._client = httpx.Client(timeout=REDIS_DEADLINE_S)
    return client


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
