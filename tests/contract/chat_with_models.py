"""What the tests of models share: a track, questions about it, and answers of models that a script plays."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from assistant import answering
from assistant.conversations import Asked
from assistant.facts import NamedAnalysis
from assistant.models import completions
from assistant.models import ledger as ledger_module
from assistant.models.completions import Deadlines
from assistant.models.ledger import Entry, Ledger
from assistant.models.service import Models
from assistant.pieces import Text, TokenUsage
from shared import cache, settings
from shared.plans import plans
from tests.contract.scripted_model import ScriptedModel

ROOT = Path(__file__).resolve().parents[2]
ANALYSES: Any = json.loads((ROOT / "benchmarks" / "chat_analyses.json").read_text(encoding="utf-8"))
TRACK = NamedAnalysis("Night Drive.wav", "track", ANALYSES["trance"]["analysis"])
SHORT = Deadlines(first_token_s=1.0, silence_s=1.0)
LONG = Deadlines(first_token_s=30, silence_s=30)  # where nothing is to run out
GOOD = (
    "Your true peak is 0.4 dBTP, 1.4 dB above the -1.0 dBTP ceiling. Lower the limiter's ceiling first.\n\n"
    "Then raise the loudness from -11.2 LUFS towards -8.5 LUFS. Cut 2 to 3 dB around 300 Hz with Q 1 on the pads."
)
KEY_LOCKING = "#!lua flags=allow-key-locking\n"  # only Upstash takes that line
ENVIRONMENT = {
    "GOOGLE_CLOUD_PROJECT": "p",
    "UPLOAD_BUCKETS": "us=a",
    "UPSTASH_REDIS_REST_URL": "https://redis.example",
    "UPSTASH_REDIS_REST_TOKEN": "t",
    "MODEL_API_KEY": "key-of-the-service",
    "MODEL_NAMES": "first",
    "MODEL_FALLBACK": "second",
    "MODEL_VISION": "second",
    "MODEL_PRICES": "first=0.15/0.60,second=1/2",
}


class OnRedis:
    """The script runner that the ledger expects, over a plain connection."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def eval(self, script: str, keys: list[str], args: list[str]) -> object:
        return await self._client.eval(script.removeprefix(KEY_LOCKING), len(keys), *keys, *args)


class Gone:
    """A Redis that does not answer."""

    async def eval(self, script: str, keys: list[str], args: list[str]) -> object:
        raise TimeoutError


class Bench:
    """A scripted model, the models of the product in front of it, a ledger on a real Redis, and an empty cache."""

    def __init__(self, model: ScriptedModel, models: Models, client: Any) -> None:
        self.model = model
        self.models = models
        self.redis = client
        self.entries: list[Entry] = []

    def written(self) -> dict[str, Counter[str]]:
        """The durable ledger's sums by model."""
        sums: dict[str, Counter[str]] = {"prompt": Counter(), "completion": Counter(), "cost": Counter()}
        for entry in self.entries:
            sums["prompt"][entry.model] += entry.prompt_tokens
            sums["completion"][entry.model] += entry.completion_tokens
            sums["cost"][entry.model] += entry.cost_microusd
        return sums

    async def spent_microusd(self, uid: str = "") -> int:
        (key,) = [k async for k in self.redis.scan_iter(f"cost:????????{':' + uid if uid else ''}")] or [None]
        return int(await self.redis.get(key)) if key else 0


@asynccontextmanager
async def bench(
    port: int, patch: pytest.MonkeyPatch, deadlines: Deadlines = LONG, redis_gone: bool = False, **environment: str
) -> AsyncIterator[Bench]:
    client = redis.asyncio.Redis(port=port)
    await client.flushall()
    scripted = ScriptedModel()
    kept: dict[str, Any] = {}
    patch.setattr(completions, "DRAIN_S", 5.0)  # a busy machine is no reason to miss a token
    patch.setattr(ledger_module, "GIVE_BACK_AFTER_S", (0.0, 0.0, 0.0))
    patch.setattr(cache, "get", kept.get)
    patch.setattr(cache, "put", lambda key, value, ttl_s: kept.__setitem__(key, value))
    async with scripted.running():
        loaded = settings.parse({**ENVIRONMENT, "MODEL_BASE_URL": scripted.url, **environment})
        entries: list[Entry] = []
        ledger = Ledger(loaded, lambda: Gone() if redis_gone else OnRedis(client), entries.append)
        models = Models(loaded, ledger, deadlines)
        made = Bench(scripted, models, client)
        made.entries = entries
        patch.setattr(answering, "models", lambda: models)
        try:
            yield made
        finally:
            await models.close()
            await client.aclose()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # the other end of a line has no event to wait for
            await asyncio.sleep(0.002)


_numbers = iter(range(10**9))


def asked(text: str = "Why does my master sound small?", uid: str = "ana", **more: Any) -> Asked:
    base = Asked(uid, "c", f"m{next(_numbers)}", text, "en", analyses=(TRACK,))
    return replace(base, **more)


async def answer(
    question: Asked, plan: str = "free", on_text: Callable[[str], None] = lambda _: None
) -> tuple[str, TokenUsage]:
    """The whole answer and what it used."""
    text = ""
    usages: list[TokenUsage] = []
    async with aclosing(answering.pieces(question, plans()[plan])) as pieces:
        async for piece in pieces:
            if isinstance(piece, Text):
                assert not usages, "nothing comes after the usage"
                text += piece.text
                on_text(piece.text)
            else:
                usages.append(piece)
    (usage,) = usages
    return text, usage
