"""Events and what survives: each way into storage is told to Pub/Sub, and a killed process loses nothing."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from google.oauth2 import service_account

from tests.contract.storage_process import (
    BUCKET,
    PROJECT,
    QUANTUM,
    FakePubSub,
    StorageProcess,
    running_storage,
    wait_until,
)

DATA = os.urandom(3 * QUANTUM + 1000)
Running = tuple[StorageProcess, FakePubSub]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_storage(tmp_path_factory.mktemp("storage"), "--topic-prefix", "mine-") as both:
        yield both


def upload_media(storage: StorageProcess, name: str, data: bytes = DATA) -> None:
    address = f"{storage.url}/upload/storage/v1/b/{BUCKET}/o"
    sent = requests.post(address, params={"uploadType": "media", "name": name}, data=data, timeout=10)
    assert sent.status_code == 200


def upload_multipart(storage: StorageProcess, name: str) -> None:
    storage.client.bucket(BUCKET).blob(name).upload_from_string(DATA)


def upload_resumable(storage: StorageProcess, name: str) -> None:
    assert requests.put(storage.session(name, len(DATA)), data=DATA, timeout=10).status_code == 200


def upload_by_status_query(storage: StorageProcess, name: str) -> None:
    url = storage.session(name)
    requests.put(url, data=DATA[:QUANTUM], headers={"Content-Range": f"bytes 0-{QUANTUM - 1}/*"}, timeout=10)
    done = requests.put(url, headers={"Content-Range": f"bytes */{QUANTUM}"}, timeout=10)
    assert done.status_code == 200


def upload_signed(storage: StorageProcess, name: str) -> None:
    credentials = service_account.Credentials.from_service_account_file(  # type: ignore[no-untyped-call]
        str(storage.data / "service-account.json")
    )
    blob = storage.client.bucket(BUCKET).blob(name)
    url = blob.generate_signed_url(version="v4", method="PUT", credentials=credentials, expiration=60)
    assert requests.put(url, data=DATA, timeout=10).status_code == 200


WAYS = [upload_media, upload_multipart, upload_resumable, upload_by_status_query, upload_signed]


@pytest.mark.parametrize("upload", WAYS)
def test_every_way_into_storage_is_told_as_google_tells_it(running: Running, upload: object) -> None:
    storage, pubsub = running
    name = f"tracks/u1/{upload.__name__}"  # type: ignore[attr-defined]
    upload(storage, name)  # type: ignore[operator]
    wait_until(lambda: bool(pubsub.events(name)))
    [(event_type, resource, attributes)] = pubsub.events(name)
    assert event_type == "OBJECT_FINALIZE"
    assert (resource["kind"], resource["bucket"], resource["name"]) == ("storage#object", BUCKET, name)
    assert {"size", "md5Hash", "crc32c", "contentType", "timeCreated", "metageneration"} <= resource.keys()
    assert (
        attributes.items()
        >= {
            "bucketId": BUCKET,
            "objectId": name,
            "objectGeneration": resource["generation"],
            "payloadFormat": "JSON_API_V1",
            "eventTime": resource["timeCreated"],
        }.items()
    )
    assert pubsub.paths == {f"/v1/projects/{PROJECT}/topics/mine-storage-events:publish"}


def test_deleting_and_overwriting_are_told_too(running: Running) -> None:
    storage, pubsub = running
    for _ in range(2):
        upload_media(storage, "gone")
    requests.delete(f"{storage.url}/storage/v1/b/{BUCKET}/o/gone", timeout=10).raise_for_status()
    wait_until(lambda: len(pubsub.events("gone")) == 4)
    told = [(event_type, resource["generation"]) for event_type, resource, _ in pubsub.events("gone")]
    first, second = (generation for event_type, generation in told if event_type == "OBJECT_FINALIZE")
    assert sorted(told) == sorted(
        [("OBJECT_FINALIZE", first), ("OBJECT_DELETE", first), ("OBJECT_FINALIZE", second), ("OBJECT_DELETE", second)]
    )
    replaced = next(attributes for _, _, attributes in pubsub.events("gone") if "overwroteGeneration" in attributes)
    assert (replaced["objectGeneration"], replaced["overwroteGeneration"]) == (second, first)


def test_what_never_became_an_object_is_never_told(running: Running) -> None:
    storage, pubsub = running
    url = storage.session("refused", 10)
    assert requests.put(url, data=DATA, timeout=10).status_code == 400
    upload_media(storage, "after")
    wait_until(lambda: bool(pubsub.events("after")))
    assert pubsub.events("refused") == []


def test_events_wait_for_pubsub_and_survive_the_death_of_storage(tmp_path: Path) -> None:
    with running_storage(tmp_path / "data") as (storage, pubsub):
        pubsub.down = True
        for number in range(3):
            upload_media(storage, f"waiting/{number}")
        wait_until(lambda: pubsub.refused > 1)
        storage.kill()
        assert pubsub.messages == []
        pubsub.down = False
        storage.start()
        wait_until(lambda: len(pubsub.messages) >= 3)
        assert {m["attributes"]["objectId"] for m in pubsub.messages} == {f"waiting/{n}" for n in range(3)}
        assert b"Pub/Sub answered 503" in storage.output
        assert all(line.startswith(b"{") for line in storage.output.splitlines())


def test_objects_and_open_sessions_survive_the_death_of_storage(tmp_path: Path) -> None:
    with running_storage(tmp_path / "data") as (storage, _):
        upload_media(storage, "whole")
        url = storage.session("half", len(DATA))
        chunk = {"Content-Range": f"bytes 0-{QUANTUM - 1}/{len(DATA)}"}
        assert requests.put(url, data=DATA[:QUANTUM], headers=chunk, timeout=10).status_code == 308
        storage.kill()
        leftover = storage.data / "bytes" / "leftover"
        leftover.write_bytes(b"of an upload that was being received")
        storage.start()
        assert storage.content("whole") == DATA
        assert storage.content("half") is None
        assert not leftover.exists()
        status = requests.put(url, headers={"Content-Range": "bytes */*"}, timeout=10)
        assert status.headers["Range"] == f"bytes=0-{QUANTUM - 1}"
        rest = {"Content-Range": f"bytes {QUANTUM}-{len(DATA) - 1}/{len(DATA)}"}
        assert requests.put(url, data=DATA[QUANTUM:], headers=rest, timeout=10).status_code == 200
        assert storage.content("half") == DATA
        assert storage.stop() == 0
        assert url.rpartition("upload_id=")[2].encode() not in b"".join(
            p.read_bytes() for p in storage.data.glob("*.*")
        )


def test_a_client_that_goes_away_is_no_error_in_the_log(tmp_path: Path) -> None:
    with running_storage(tmp_path / "data") as (storage, pubsub):
        upload_media(storage, "large", bytes(16 * 1024 * 1024))
        session = storage.session("gone").removeprefix(storage.url)
        for request in (
            f"GET /download/storage/v1/b/{BUCKET}/o/large?alt=media HTTP/1.1\r\nHost: x\r\n\r\n",
            f"PUT {session} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
            f"PUT {session} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nContent-Range: bytes */*\r\n\r\n",
            f"POST {session} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
        ):
            with socket.create_connection(("127.0.0.1", storage.port)) as connection:
                connection.sendall(request.encode())
                if request.startswith("GET"):
                    connection.recv(1000)
        wait_until(lambda: bool(pubsub.events("large")))
        assert storage.content("large") is not None
        assert storage.stop() == 0
        assert storage.output == b""


def test_a_process_killed_in_the_middle_of_a_body_leaves_no_half_object(tmp_path: Path) -> None:
    def body() -> Iterator[bytes]:
        for block in range(64):
            if block == 32:
                storage.kill()
            yield big[block * QUANTUM : (block + 1) * QUANTUM]

    big = os.urandom(64 * QUANTUM)
    with running_storage(tmp_path / "data") as (storage, pubsub):
        url = storage.session("killed", len(big))
        with pytest.raises(requests.ConnectionError):
            requests.put(url, data=body(), timeout=10)
        storage.start()
        assert storage.content("killed") is None
        kept = requests.put(url, headers={"Content-Range": f"bytes */{len(big)}"}, timeout=10)
        offset = int(kept.headers["Range"].rpartition("-")[2]) + 1 if "Range" in kept.headers else 0
        assert offset % QUANTUM == 0
        rest = {"Content-Range": f"bytes {offset}-{len(big) - 1}/{len(big)}"}
        assert requests.put(url, data=big[offset:], headers=rest, timeout=10).status_code == 200
        assert storage.content("killed") == big
        wait_until(lambda: len(pubsub.events("killed")) == 1)
