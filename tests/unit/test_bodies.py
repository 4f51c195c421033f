"""Bodies of questions: none is read that nobody wants, and pictures come a few at a time, whoever sends them."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
from collections.abc import AsyncIterator, Sequence

import pytest
from PIL import Image

from assistant import bodies, images, threads
from assistant.bodies import Bodies
from shared import http
from shared.http import Incoming
from shared.problems import Problem

WORDS = json.dumps({"message": "Why?"}).encode()


def with_a_picture() -> bytes:
    out = io.BytesIO()
    Image.effect_noise((300, 300), 50).save(out, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
    made = json.dumps({"message": "Why?", "images": [url]}).encode()
    assert len(made) > http.LARGEST_BODY_BYTES
    return made


class Sender:
    """Sends chunks, the first ones at once, the last one when told."""

    def __init__(self, chunks: Sequence[bytes], announced: int | None, *, at_once: bool = True) -> None:
        self.sent = 0
        self.go = asyncio.Event()
        self._chunks = chunks
        if at_once:
            self.go.set()
        headers = {} if announced is None else {"content-length": str(announced)}
        self.request = Incoming("POST", "/v1/chat", {}, headers, b"", stream=self._stream)

    async def _stream(self) -> AsyncIterator[bytes]:
        for number, chunk in enumerate(self._chunks, start=1):
            if number == len(self._chunks):
                await self.go.wait()
            self.sent += len(chunk)
            yield chunk


def refusal(sender: Sender, reader: Bodies | None = None) -> Problem:
    with pytest.raises(Problem) as refused:
        asyncio.run((reader or Bodies()).question(sender.request))
    return refused.value


def test_words_are_read_and_so_are_pictures_with_and_without_an_announced_length() -> None:
    picture = with_a_picture()
    for body in (WORDS, picture):
        for announced in (len(body), None):
            chunks = [body[i : i + 9_999] for i in range(0, len(body), 9_999)]
            asked = asyncio.run(Bodies().question(Sender(chunks, announced).request))
            assert (asked.text, len(asked.pictures)) == ("Why?", int(body is picture))


def test_a_body_that_is_announced_too_large_is_refused_before_a_byte_of_it_is_read() -> None:
    sender = Sender([bytes(1000)], images.LARGEST_BODY_BYTES + 1)
    refused = refusal(sender)
    assert (refused.code, refused.kind.status, sender.sent) == ("too-large", 413, 0)
    assert "10 MB each and 23 MB together" in refused.detail


def test_a_body_that_announces_nothing_is_read_no_further_than_the_limit() -> None:
    million = bytes(1_000_000)
    sender = Sender([million] * 60, None)
    assert refusal(sender).code == "too-large"
    assert sender.sent <= images.LARGEST_BODY_BYTES + len(million)


def test_a_body_larger_than_it_announced_is_refused() -> None:
    assert refusal(Sender([bytes(40_000)] * 4, 100)).code == "too-large"


def test_three_pictures_of_ten_megabytes_are_refused_with_the_sum_that_fits() -> None:
    faults: list[str] = []
    url = "data:image/png;base64," + "A" * (images.LARGEST_BYTES // 3 * 4)
    assert images.pictures([url] * 3, faults) == ()
    (fault,) = faults
    assert "23 MB together" in fault


def test_only_a_few_large_bodies_are_held_a_few_wait_and_one_more_is_told_to_come_again() -> None:
    body = with_a_picture()

    async def run() -> None:
        reader = Bodies(at_once=2, waiting_most=1)
        senders = [Sender([body[:-1], body[-1:]], len(body), at_once=False) for _ in range(4)]
        reading = [asyncio.create_task(reader.question(sender.request)) for sender in senders]
        with pytest.raises(Problem, match="pictures are being read") as refused:
            await reading[3]
        assert refused.value.kind.status == 503
        assert int(refused.value.headers["Retry-After"]) > 0
        assert [sender.sent > 0 for sender in senders] == [True, True, False, False]
        words = await reader.question(Sender([WORDS], len(WORDS)).request)
        assert words.text == "Why?", "who asks in words waits for nobody's pictures"
        for sender in senders:
            sender.go.set()
        assert [len(asked.pictures) for asked in await asyncio.gather(*reading[:3])] == [1, 1, 1]

    asyncio.run(run())


def test_who_has_waited_for_a_place_too_long_is_told_to_come_again() -> None:
    body = with_a_picture()

    async def run() -> None:
        reader = Bodies(at_once=1, wait_s=0.01)
        slow = Sender([body[:-1], body[-1:]], len(body), at_once=False)
        first = asyncio.create_task(reader.question(slow.request))
        await asyncio.sleep(0)
        with pytest.raises(Problem, match="try again"):
            await reader.question(Sender([body], len(body)).request)
        slow.go.set()
        assert (await first).pictures

    asyncio.run(run())


def test_a_body_that_does_not_come_is_given_up_and_its_place_is_free_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "READ_WITHIN_S", 0.01)
    body = with_a_picture()

    async def run() -> None:
        reader = Bodies(at_once=1)
        with pytest.raises(Problem, match="did not come"):
            await reader.question(Sender([body[:-1], b""], len(body), at_once=False).request)
        assert (await reader.question(Sender([body], len(body)).request)).pictures

    asyncio.run(run())


def test_pictures_are_unpacked_one_at_a_time_and_hold_up_no_thread_of_the_documents(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = with_a_picture()
    go, at_work, most = threading.Event(), [0], [0]

    def unpacks(_: object, faults: list[str]) -> tuple[()]:
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        go.wait(20)
        at_work[0] -= 1
        return ()

    monkeypatch.setattr(images, "pictures", unpacks)

    async def run() -> None:
        reader = Bodies(at_once=3)
        reading = [asyncio.create_task(reader.question(Sender([body], len(body)).request)) for _ in range(3)]
        threads_of_documents = threads.POOL._max_workers
        assert len(await asyncio.gather(*(threads.in_thread(int) for _ in range(threads_of_documents)))) > 1
        go.set()
        await asyncio.gather(*reading)

    asyncio.run(run())
    assert most == [1]
