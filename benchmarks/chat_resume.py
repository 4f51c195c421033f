"""Streams of the chat cut at random bytes and resumed, until they are done: is the text that of an uncut one?

In the local cloud. The advisor's answers come at once; their clients close the line and come back whenever. The paced
model's answers take some seconds, from two instances: half of their clients close the line and are back within the
grace, the other half's lines go dark (nobody says goodbye) and they come back to the other instance.
Run `make bench-chat-resume`; needs Java for the emulators.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from benchmarks.chat_streams import serving
from local import cloud
from local.asking import identified_events
from local.user import make_user

STREAMS = int(os.environ.get("STREAMS", "200"))
AT_ONCE = 20
QUESTIONS = ("What is true peak?", "How do I fix a muddy mix?", "O que é LUFS?", "How do I make the vocal sit?")
CUTS_MOST = 4


@dataclass
class Client:
    """One reader: what it has, and every line it ever had, since a dark one is not closed."""

    token: str
    question: str
    text: str = ""
    answer: str | None = None
    last_event_id: str | None = None
    cuts: int = 0
    anew: int = 0
    fault: str = ""
    lines: list[asyncio.StreamWriter] = field(default_factory=list)

    async def read(self, port: int, most_bytes: int | None) -> None:
        """Asks, or goes on; stops after so many bytes of the events."""
        body = json.dumps({"message": self.question}).encode()
        resumes = f"Last-Event-ID: {self.last_event_id}\r\n" if self.last_event_id else ""
        head = f"POST /v1/chat HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer {self.token}\r\n{resumes}"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self.lines.append(writer)
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answered = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in answered.split(b"\r\n")[0]:
            self.fault = answered.decode(errors="replace")[:60]
            return
        seen, size = b"", -1
        while size != 0 and (most_bytes is None or len(seen) < most_bytes):
            size = int(await reader.readline(), 16)
            seen += (await reader.readexactly(size + 2))[:size]
        self._take(seen if most_bytes is None else seen[:most_bytes])

    def _take(self, seen: bytes) -> None:
        """What a client makes of the bytes it got: whole events only."""
        for event_id, name, data in identified_events(seen[: seen.rfind(b"\n\n") + 2].split(b"\n")):
            self.last_event_id = event_id
            if name == "message.start":
                self.anew += bool(self.text)
                self.text = ""
            elif name == "delta":
                self.text += data["text"]
            elif name == "done":
                self.answer = data["answer"]
            elif name == "error":
                self.fault = json.dumps(data)[:200]


async def resumed(client: Client, ports: Sequence[int], chance: random.Random, *, dark: bool, pause_s: float) -> None:
    for number in range(CUTS_MOST + 1):
        last = number == CUTS_MOST
        await client.read(ports[number % len(ports)], None if last else chance.randint(150, 1500))
        if not dark:
            client.lines[-1].close()
        if client.answer is not None or client.fault:
            break
        client.cuts += 1
        await asyncio.sleep(chance.uniform(0.0, pause_s))
    for line in client.lines:
        line.close()


async def many(clients: Sequence[Client], ports: Sequence[int], *, dark: bool, pause_s: float) -> None:
    places, chance = asyncio.Semaphore(AT_ONCE), random.Random(7)

    async def one(client: Client) -> None:
        async with places, asyncio.timeout(120):
            await resumed(client, ports, chance, dark=dark, pause_s=pause_s)

    await asyncio.gather(*(one(client) for client in clients))


def row(name: str, clients: Sequence[Client], whole: dict[str, str]) -> str:
    identical = sum(c.text == c.answer == whole[c.question] for c in clients)
    cuts = sum(c.cuts for c in clients)
    anew = sum(c.anew for c in clients)
    return f"{name:<46}{len(clients):>8}{cuts:>7}{identical:>11}{anew:>12}"


def main() -> int:
    stop = threading.Event()
    print(f"{'':<46}{'streams':>8}{'cuts':>7}{'identical':>11}{'begun anew':>12}")
    with ExitStack() as stack:
        up = stack.enter_context(cloud.running(stop, quiet=True, tell=lambda _: None))
        ready = up.ready()
        tokens = iter([make_user(ready, f"resume-{number}", "pro", {}) for number in range(2 * STREAMS + 8)])
        advisor = [urlsplit(ready["chat"]).port or 0]
        paced = {"LASTS_S": "3", "PIECES": "12"}
        settings = {**up.addresses.settings, "LOG_LEVEL": "WARNING", **paced}
        instances = [stack.enter_context(serving("chat", settings))[0] for _ in range(2)]
        cases = (
            ("advisor, closed and back whenever", advisor, STREAMS, QUESTIONS, False, 2.0),
            ("model, closed and back within the grace", instances[:1], STREAMS // 2, QUESTIONS[:1], False, 0.15),
            ("model, dark and back at another instance", instances, STREAMS // 2, QUESTIONS[:1], True, 1.0),
        )
        failed = 0
        for name, ports, streams, questions, dark, pause_s in cases:
            uncut = [Client(next(tokens), question) for question in questions]
            for client in uncut:
                asyncio.run(client.read(ports[0], None))
            whole = {client.question: client.answer or "" for client in uncut}
            clients = [Client(next(tokens), questions[number % len(questions)]) for number in range(streams)]
            asyncio.run(many(clients, ports, dark=dark, pause_s=pause_s))
            print(row(name, clients, whole), flush=True)
            for fault in sorted({c.fault for c in clients if c.fault})[:3]:
                print("  ", fault)
            failed += sum(c.text != whole[c.question] for c in clients)
            time.sleep(1)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
