"""The faults: each does its harm to some tracks and checks what became of them."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import requests

from local import pubsub
from local.cloud import write_document
from tests.chaos.scene import Scene, finalised_event, redis, wav, without_subscription
from tests.cloud import LocalCloud, eventually

KILLS_APART_S = 13.0  # the launcher gives up a part that dies more than five times in a minute
STORAGE_KEEPS_BYTES = 256 * 1024  # whole ones of so many
ROOT = Path(__file__).resolve().parents[2]
ANOTHER_PROCESS = """
import json, sys
from pathlib import Path
from local.client import Client
Client({}, "").send(json.loads(sys.argv[2]), Path(sys.argv[1]), lambda _: None, resume=True)
"""


def cut_lines(cloud: LocalCloud, size: int, folder: Path) -> str:
    scene = Scene(cloud, "cut")
    for percent in (1, 50, 99)[-size:]:
        content = wav(20)
        digest, path = hashlib.sha256(content).hexdigest(), folder / f"{percent}.wav"
        path.write_bytes(content)
        upload = scene.announce(content, sha256=digest)
        sent = len(content) * percent // 100
        send_and_cut(upload["uploadUrl"], content, sent)
        kept = sent // STORAGE_KEEPS_BYTES * STORAGE_KEEPS_BYTES  # of 1 % nothing
        eventually(partial(has_received, scene, upload["trackId"], kept))
        command = [sys.executable, "-c", ANOTHER_PROCESS, str(path), json.dumps(upload)]
        subprocess.run(command, check=True, timeout=60, cwd=ROOT)
        status = scene.client.wait(upload["trackId"], 60, lambda _: None)
        assert status["analysis"]["contentSha256"] == digest
    return scene.check({"done": size}, counted=size)


def has_received(scene: Scene, track_id: str, count: int) -> bool:
    return bool(scene.client.status(track_id)["receivedBytes"] == count)


def send_and_cut(url: str, content: bytes, count: int) -> None:
    """Announces all bytes in one request, sends so many of them, and closes the connection."""
    address = urlsplit(url)
    line = HTTPConnection(address.netloc, timeout=30)
    line.putrequest("PUT", f"{address.path}?{address.query}")
    line.putheader("Content-Length", str(len(content)))
    line.putheader("Content-Range", f"bytes 0-{len(content) - 1}/{len(content)}")
    line.endheaders(content[:count])
    line.close()


def lies(cloud: LocalCloud, size: int, folder: Path) -> str:
    """Another size, other bytes of the same size, no audio, and one that is honest."""
    scene, content = Scene(cloud, "liar"), wav()
    shorter = scene.announce(content + b"....")
    requests.put(shorter["uploadUrl"], data=content, timeout=30)
    scene.client.status(shorter["trackId"])  # who asks, is told, and the count is given back
    other = scene.announce(content, sha256=hashlib.sha256(b"other").hexdigest())
    requests.put(other["uploadUrl"], data=content, timeout=30).raise_for_status()
    text = scene.announce(b"no audio at all." * 100)
    requests.put(text["uploadUrl"], data=b"no audio at all." * 100, timeout=30).raise_for_status()
    honest = scene.announce(content, sha256=hashlib.sha256(content).hexdigest())
    requests.put(honest["uploadUrl"], data=content, timeout=30).raise_for_status()
    scene.wait()
    problems = [(scene.track(t).get("problem") or {}).get("code") for t in scene.tracks]
    assert problems == ["upload-mismatch", "upload-mismatch", "not-audio", None]
    return scene.check({"done": 1, "failed": 3}, counted=1)


def lost_events(cloud: LocalCloud, size: int, folder: Path) -> str:
    scene = Scene(cloud, "lost")
    with without_subscription(cloud, "upload-finalized"):
        for content in [wav() for _ in range(size)]:
            upload = scene.announce(content)
            requests.put(upload["uploadUrl"], data=content, timeout=30).raise_for_status()
        time.sleep(0.5)
    assert scene.states() == {"awaiting-upload": size}
    earlier = datetime.now(UTC) - timedelta(seconds=90)
    for track_id in scene.tracks:
        write_document(cloud.ready["firestore"], f"tracks/{track_id}", {"createdAt": earlier})
    scene.tick()
    scene.wait(ticking=True)
    return scene.check({"done": size}, counted=size)


def doubled_events(cloud: LocalCloud, size: int, folder: Path) -> str:
    scene, content = Scene(cloud, "doubled"), wav()
    scene.upload_many([content])
    data, attributes = finalised_event(scene, scene.tracks[0])
    for number in range(size):
        pubsub.publish(cloud.ready["pubsub"], cloud.ready["project"], "storage-events", data, attributes)
        token = json.dumps({"trackId": scene.tracks[0], "uid": scene.uid}).encode()
        if number % 2:
            pubsub.publish(cloud.ready["pubsub"], cloud.ready["project"], "track-queued", token, {})
    scene.wait()
    time.sleep(1)  # the last of them
    return scene.check({"done": 1}, counted=1)


def events_after_deletion(cloud: LocalCloud, size: int, folder: Path) -> str:
    """The bytes arrive, and before their event does, the user takes the track back."""
    scene = Scene(cloud, "deleted")
    with stopped(cloud, "upload-finalized"):
        for content in [wav() for _ in range(size)]:
            upload = scene.announce(content)
            requests.put(upload["uploadUrl"], data=content, timeout=30).raise_for_status()
            scene.cancel(upload["trackId"])

    def objects() -> list[object]:
        address = f"http://{cloud.ready['storage']}/storage/v1/b/prodai-uploads-us/o"
        found = requests.get(address, params={"prefix": f"tracks/{scene.uid}/"}, timeout=10).json()
        items: list[object] = found.get("items", [])
        return items

    eventually(lambda: not objects())
    return scene.check({"cancelled": size}, counted=0)


def killed_workers(cloud: LocalCloud, size: int, folder: Path) -> str:
    scene, choose = Scene(cloud, "killed"), random.Random(7)
    contents = [wav(choose.uniform(10, 60)) for _ in range(size)]
    ids, kills = scene.announce_many(contents), size * 2 // 5
    for number in range(kills):
        killable_at = time.monotonic() + KILLS_APART_S
        for track_id, content in list(zip(ids, contents, strict=True))[number::kills]:
            scene.send(track_id, content)
        scene.wait(lambda: is_at_work_or_done(scene))
        time.sleep(choose.uniform(0, 1.5))
        os.killpg(cloud.ready["pids"]["analyze"], signal.SIGKILL)
        scene.wait(lambda at=killable_at: time.monotonic() > at, ticking=True)  # type: ignore[misc]
    scene.wait(deadline_s=200, ticking=True)
    ended = scene.states()
    assert set(ended) <= {"done", "failed"}  # one that was killed five times is given up, its count given back
    return scene.check(ended, counted=ended["done"])


def is_at_work_or_done(scene: Scene) -> bool:
    states = scene.states()
    return states["analysing"] > 0 or states["queued"] == 0


def wiped_redis(cloud: LocalCloud, size: int, folder: Path) -> str:
    scene = Scene(cloud, "wiped")
    scene.upload_many([wav(4) for _ in range(size)])
    scene.wait(lambda: scene.states()["done"] >= 1)
    redis(cloud, "FLUSHALL")
    scene.wait(deadline_s=120, ticking=True)
    return scene.check({"done": size}, counted=size)


def killed_redis(cloud: LocalCloud, size: int, folder: Path) -> str:
    scene = Scene(cloud, "no-redis")
    contents = [wav() for _ in range(size)]
    ids = scene.announce_many(contents)
    with stopped(cloud, "redis"):
        for track_id, content in zip(ids, contents, strict=True):
            scene.send(track_id, content)
        time.sleep(3)
    os.killpg(cloud.ready["pids"]["redis"], signal.SIGKILL)
    eventually(lambda: started_again(cloud, "redis"))
    scene.wait(deadline_s=120, ticking=True)
    return scene.check({"done": size}, counted=size)


def silent_pubsub(cloud: LocalCloud, size: int, folder: Path) -> str:
    return silent(cloud, "pubsub", size)


def silent_firestore(cloud: LocalCloud, size: int, folder: Path) -> str:
    return silent(cloud, "firestore", size)


def silent(cloud: LocalCloud, part: str, size: int) -> str:
    """While half of the tracks are at work and half arrive, a part answers nobody for a second for each track."""
    scene = Scene(cloud, part)
    contents = [wav(4) for _ in range(size)]
    ids = scene.announce_many(contents)
    for track_id, content in zip(ids[: size // 2], contents, strict=False):
        scene.send(track_id, content)
    scene.wait(lambda: scene.states()["awaiting-upload"] < size)
    with stopped(cloud, part):
        for track_id, content in zip(ids[size // 2 :], contents[size // 2 :], strict=True):
            scene.send(track_id, content)
        time.sleep(size)
    scene.wait(deadline_s=300, ticking=True)
    return scene.check({"done": size}, counted=size)


def poison(cloud: LocalCloud, size: int, folder: Path) -> str:
    """Damaged files, two of each with equal bytes, among sound ones."""
    scene = Scene(cloud, "poison")
    damaged = [b"fLaC" + os.urandom(20_000) for _ in range(size)]
    scene.upload_many([*damaged, *damaged, *(wav() for _ in range(size))])
    scene.wait()
    codes = {(scene.track(t).get("problem") or {}).get("code") for t in scene.tracks[: 2 * size]}
    assert codes == {"unreadable"}
    return scene.check({"done": size, "failed": 2 * size}, counted=size)


def identical(cloud: LocalCloud, size: int, folder: Path) -> str:
    scene, content = Scene(cloud, "identical"), wav()
    ids = scene.announce_many([content] * size)
    threads = [threading.Thread(target=scene.send, args=(track_id, content)) for track_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scene.wait(deadline_s=120, ticking=True)
    (leader,) = scene.analyses_logged()
    assert {scene.track(t).get("reusedFrom") for t in ids} == {leader, None}
    assert [t for t in ids if not scene.track(t).get("reusedFrom")] == [leader]
    return scene.check({"done": size}, counted=1, analysed=1)


def crowd(cloud: LocalCloud, size: int, folder: Path) -> str:
    """A free user with many tracks, then five pro users with two each: the pro ones go first, the free one goes on."""
    free, pros = Scene(cloud, "free", "free"), [Scene(cloud, f"pro-{n}") for n in range(5)]
    free.upload_many([wav(3) for _ in range(size)])
    free.wait(lambda: free.states()["done"] >= 1)
    sent = {}
    for scene in pros:
        scene.upload_many([wav(3), wav(3)])
        sent[scene] = time.monotonic()
    waits = list[float]()
    while sent:
        free.wait(lambda: any(scene.states()["done"] == 2 for scene in sent))
        for scene in [scene for scene in sent if scene.states()["done"] == 2]:
            waits.append(time.monotonic() - sent.pop(scene))
    before = free.states()
    assert before["queued"] > 0
    free.wait(lambda: free.states()["done"] > before["done"])
    free.wait(deadline_s=240)
    for scene in pros:
        scene.check({"done": 2}, counted=2)
    shown = (
        f"pro done {min(waits):.1f} to {max(waits):.1f} s after the upload, {before['queued']} of the free still queued"
    )
    return f"{free.check({'done': size}, counted=size)}; {shown}"


def started_again(cloud: LocalCloud, part: str) -> bool:
    """Whether a part that was killed runs as another process."""
    try:
        os.kill(cloud.ready["pids"][part], 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{cloud.ready['pids'][part]}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@contextmanager
def stopped(cloud: LocalCloud, part: str) -> Iterator[None]:
    """A part, its workers included, that takes connections and answers nothing."""
    pid = cloud.ready["pids"][part]
    os.killpg(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(pid, signal.SIGCONT)
