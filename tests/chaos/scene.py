"""A user with tracks on the local cloud, and what must hold for them after any fault."""

from __future__ import annotations

import io
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import requests
import soundfile

from local import pubsub
from local.cloud import write_document
from tests.cloud import LocalCloud

ENDED = {"done", "failed", "expired", "cancelled"}
TICK_EVERY_S = 3.0
BUCKET = "prodai-uploads-us"
_numbers = itertools.count(int(time.time()) % 100_000)


def wav(seconds: float = 2.0) -> bytes:
    """A short track that is like no other of its user's."""
    rate = 44_100
    moments = np.arange(int(seconds * rate)) / rate
    tone = 0.3 * np.sin(2 * np.pi * (100 + next(_numbers) % 3000) * moments)
    file = io.BytesIO()
    soundfile.write(file, np.stack([tone, 0.8 * tone], axis=1), rate, "PCM_16", format="WAV")
    return file.getvalue()


class Scene:
    """One user of one fault."""

    def __init__(self, cloud: LocalCloud, name: str, plan: str = "pro") -> None:
        self.cloud = cloud
        self.uid = f"chaos-{name}-{next(_numbers)}"
        self.token = cloud.token(self.uid, plan)
        self.client = cloud.client(self.uid, plan)
        self.tracks: list[str] = []

    def announce(self, content: bytes, **options: Any) -> dict[str, Any]:
        """Announces bytes over the interface, as any client does."""
        body = {"filename": "song.wav", "sizeBytes": len(content), "contentType": "audio/wav", **options}
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = requests.post(f"{self.cloud.ready['upload']}/v1/uploads", json=body, headers=headers, timeout=60)
        assert answer.status_code == 201, answer.text
        upload: dict[str, Any] = answer.json()
        self.tracks.append(upload["trackId"])
        return upload

    def announce_many(self, contents: list[bytes], **fields: Any) -> list[str]:
        """As if announced and counted: more than the limits of requests would let a user do at once."""
        now, host = datetime.now(UTC), self.cloud.ready["firestore"]
        month = now.strftime("%Y%m")
        usage = {"uid": self.uid, "month": month, "messages": 0, "analyses": len(contents), "lastCounted": ""}
        write_document(host, f"usage/{self.uid}_{month}", usage)
        ids = [f"{self.uid}-{number}" for number in range(len(contents))]
        for track_id, content in zip(ids, contents, strict=True):
            track = {"uid": self.uid, "filename": "song.wav", "sizeBytes": len(content), "contentType": "audio/wav"}
            track |= {"mode": "genre", "genre": None, "referenceTrackId": None, "replacesTrackId": None}
            track |= {"sha256": None, "crc32c": None, "tier": "full", "createdAt": now, "state": "awaiting-upload"}
            write_document(host, f"tracks/{track_id}", track | fields)
        self.tracks += ids
        return ids

    def send(self, track_id: str, content: bytes) -> None:
        """All bytes of a track that has no session, straight to storage, which tells of them as of any other."""
        address = f"http://{self.cloud.ready['storage']}/upload/storage/v1/b/{BUCKET}/o"
        query = {"uploadType": "media", "name": f"tracks/{self.uid}/{track_id}", "ifGenerationMatch": "0"}
        headers = {"Content-Type": "audio/wav"}
        requests.post(address, params=query, data=content, headers=headers, timeout=60).raise_for_status()

    def upload_many(self, contents: list[bytes]) -> None:
        for track_id, content in zip(self.announce_many(contents), contents, strict=True):
            self.send(track_id, content)

    def cancel(self, track_id: str) -> None:
        address = f"{self.cloud.ready['upload']}/v1/uploads/{track_id}"
        headers = {"Authorization": f"Bearer {self.token}"}
        requests.delete(address, headers=headers, timeout=30).raise_for_status()

    def track(self, track_id: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.cloud.document(f"tracks/{track_id}")
        return found

    def states(self) -> Counter[str]:
        return Counter(self.track(track_id)["state"] for track_id in self.tracks)

    def tick(self) -> None:
        pubsub.publish(self.cloud.ready["pubsub"], self.cloud.ready["project"], "tick", b"{}", {})

    def wait(self, until: Callable[[], bool] | None = None, deadline_s: float = 60.0, *, ticking: bool = False) -> None:
        """Until every track has ended, or a condition holds; ticking: the scheduler's minute is over quickly."""
        deadline, tick_at = time.monotonic() + deadline_s, time.monotonic() + TICK_EVERY_S
        check = until or (lambda: set(self.states()) <= ENDED)
        while not check():
            assert time.monotonic() < deadline, f"after {deadline_s:.0f} s: {dict(self.states())}"
            if ticking and time.monotonic() > tick_at:
                self.tick()
                tick_at = time.monotonic() + TICK_EVERY_S
            time.sleep(0.2)

    def check(self, expected: Mapping[str, int], *, counted: int, analysed: int | None = None) -> str:
        """Every track in a final state, each analysed and told of once, the usage exact, no lease left: in figures.

        analysed: how many were measured, where equal bytes were reused.
        """
        assert self.states() == expected
        assert self.cloud.usage(self.uid).get("analyses", 0) == counted
        measured = 0
        for track_id in self.tracks:
            track = self.track(track_id)
            assert not track.get("leaseUntil")
            assert self.written(f"analyses/{track_id}") == (1 if track["state"] == "done" else 0)
            measured += track["state"] == "done" and not track.get("reusedFrom")
        assert measured == (expected.get("done", 0) if analysed is None else analysed)
        assert max(self.analyses_logged().values(), default=1) == 1
        self.wait(lambda: not self.left_in_the_order(), 20, ticking=True)
        done = [track_id for track_id in self.tracks if self.track(track_id)["state"] == "done"]
        self.wait(lambda: all(self.messages(track_id) == ["opening"] for track_id in done), 30)
        assert [track_id for track_id in self.tracks if redis(self.cloud, "ZSCORE", "uploads:open", track_id)] == []
        ended = ", ".join(f"{count} {state}" for state, count in sorted(expected.items()) if count)
        return f"{ended}; {measured} analysed, {counted} counted, 0 leases"

    def messages(self, track_id: str) -> list[str]:
        """The messages of a track's conversation."""
        found: list[str] = self.cloud.document(f"conversations/{track_id}/messages")
        return found

    def written(self, path: str) -> int:
        """How often a document was written: 0, 1, or 2 for more than once."""
        ready = self.cloud.ready
        base = f"http://{ready['firestore']}/v1/projects/{ready['project']}/databases/(default)/documents"
        answer = requests.get(f"{base}/{path}", headers={"Authorization": "Bearer owner"}, timeout=10)
        if answer.status_code == 404:
            return 0
        answer.raise_for_status()
        return 1 if answer.json()["createTime"] == answer.json()["updateTime"] else 2

    def analyses_logged(self) -> Counter[str]:
        """How often each track was analysed to its end. A worker that was killed may not have come to say so."""
        found: Counter[str] = Counter()
        for line in Path(self.cloud.ready["log"]).read_text(encoding="utf-8").splitlines():
            if '"a track was analysed"' in line:
                track_id = json.loads(line[line.index("{") :])["track"]
                found[track_id] += track_id in self.tracks
        return +found

    def left_in_the_order(self) -> list[str]:
        jobs = [track_id for track_id in self.tracks if redis(self.cloud, "EXISTS", f"{{waiting}}:job:{track_id}")]
        return jobs + ([self.uid] if redis(self.cloud, "HEXISTS", "{waiting}:held", self.uid) else [])


def redis(cloud: LocalCloud, *command: str) -> Any:
    upstash = cloud.ready["upstash"]
    headers = {"Authorization": f"Bearer {upstash['token']}"}
    answer = requests.post(upstash["url"], json=command, headers=headers, timeout=10)
    answer.raise_for_status()
    return answer.json()["result"]


def finalised_event(scene: Scene, track_id: str) -> tuple[bytes, dict[str, str]]:
    """The storage event of a track's object, as storage published it."""
    name = f"tracks/{scene.uid}/{track_id}"
    address = f"http://{scene.cloud.ready['storage']}/storage/v1/b/{BUCKET}/o/{name.replace('/', '%2F')}"
    answer = requests.get(address, timeout=10)
    answer.raise_for_status()
    return answer.content, {"eventType": "OBJECT_FINALIZE", "bucketId": BUCKET, "objectId": name}


@contextmanager
def without_subscription(cloud: LocalCloud, name: str) -> Iterator[None]:
    """What is published meanwhile, this subscription never gets."""
    base = f"http://{cloud.ready['pubsub']}/v1/projects/{cloud.ready['project']}/subscriptions/{name}"
    settings = requests.get(base, timeout=10).json()
    requests.delete(base, timeout=10).raise_for_status()
    try:
        yield
    finally:
        kept = {key: value for key, value in settings.items() if key not in ("name", "state")}
        requests.put(base, json=kept, timeout=10).raise_for_status()
