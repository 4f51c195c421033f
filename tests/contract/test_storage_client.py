"""Google's own client against the stand-in: the calls that the product makes."""

import io
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from google.api_core.exceptions import BadRequest, NotFound, PreconditionFailed, RequestRangeNotSatisfiable
from google.cloud.storage.exceptions import DataCorruption
from google.oauth2 import service_account

from tests.contract.storage_process import BUCKET, QUANTUM, StorageProcess, running_storage

DATA = os.urandom(3 * QUANTUM + 1000)
NAMES = [
    "a/b/c.wav",
    "ação – 音楽/faixa.flac",
    "100% %2F%25 + &?#.mp3",
    "..hidden/../x",
    "a//b",
    "ends with a blank ",
    "'\"<>",
]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageProcess]:
    with running_storage(tmp_path_factory.mktemp("storage")) as (process, _):
        yield process


@pytest.fixture(scope="module")
def bucket(storage: StorageProcess) -> Any:
    return storage.client.bucket(BUCKET)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_data_whatever_it_holds(storage: StorageProcess, bucket: Any, name: str) -> None:
    bucket.blob(name).upload_from_string(name.encode())
    assert bucket.blob(name).download_as_bytes() == name.encode()
    assert [blob.name for blob in bucket.list_blobs(prefix=name)] == [name]
    bucket.blob(name).delete()
    assert not bucket.blob(name).exists()
    assert {path.parent for path in storage.data.rglob("*") if path.is_file()} <= {storage.data, storage.data / "bytes"}


def test_an_upload_from_memory_carries_its_type_metadata_and_checksums(bucket: Any) -> None:
    blob = bucket.blob("small")
    blob.metadata = {"traceparent": "00-1-2-03"}
    blob.upload_from_string(b"hello", content_type="text/plain", checksum="md5")
    seen = bucket.get_blob("small")
    assert (seen.content_type, seen.metadata, seen.size) == ("text/plain", {"traceparent": "00-1-2-03"}, 5)
    assert (seen.md5_hash, seen.crc32c) == ("XUFAKrxLKna5cZ2REBfFkg==", "mnG7TA==")
    assert (seen.generation, seen.metageneration) == (blob.generation, 1)
    assert seen.time_created is not None
    assert seen.etag == blob.etag


def test_an_upload_from_a_file_goes_in_chunks_and_comes_back_whole(bucket: Any, tmp_path: Path) -> None:
    blob = bucket.blob("chunked", chunk_size=QUANTUM)
    blob.upload_from_file(io.BytesIO(DATA), size=len(DATA), content_type="audio/wav")
    bucket.blob("chunked").download_to_filename(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == DATA


def test_a_stream_of_unknown_length_is_written_through_the_client(bucket: Any) -> None:
    with bucket.blob("written").open("wb", chunk_size=QUANTUM, ignore_flush=True) as target:
        for start in range(0, len(DATA), 100_000):
            target.write(DATA[start : start + 100_000])
    assert bucket.blob("written").download_as_bytes() == DATA


def test_ranges_are_read_as_asked_and_refused_beyond_the_end(bucket: Any) -> None:
    bucket.blob("ranges").upload_from_string(DATA)
    blob = bucket.blob("ranges")
    assert blob.download_as_bytes(start=0, end=11) == DATA[:12]
    assert blob.download_as_bytes(start=1000) == DATA[1000:]
    assert blob.download_as_bytes(start=len(DATA) - 5, end=len(DATA) + 100) == DATA[-5:]
    with blob.open("rb", chunk_size=QUANTUM) as source:
        assert source.read() == DATA
    with pytest.raises(RequestRangeNotSatisfiable):
        blob.download_as_bytes(start=len(DATA))


def test_a_reader_can_insist_on_the_generation_that_it_knows(bucket: Any) -> None:
    first = bucket.blob("versions")
    first.upload_from_string(b"first")
    bucket.blob("versions").upload_from_string(b"second")
    with pytest.raises(NotFound):
        bucket.blob("versions", generation=first.generation).download_as_bytes()
    with pytest.raises(PreconditionFailed):
        bucket.blob("versions").download_as_bytes(if_generation_match=first.generation)


def test_only_a_generation_that_matches_is_deleted(bucket: Any) -> None:
    blob = bucket.blob("deleted")
    blob.upload_from_string(b"x")
    with pytest.raises(PreconditionFailed):
        bucket.blob("deleted").delete(if_generation_match=blob.generation + 1)
    with pytest.raises(NotFound):
        bucket.blob("deleted", generation=blob.generation + 1).delete()
    bucket.blob("deleted", generation=blob.generation).delete(if_generation_match=blob.generation)
    with pytest.raises(NotFound):
        bucket.blob("deleted").delete()


def test_an_object_is_created_only_once_where_the_creator_asks_for_it(bucket: Any) -> None:
    bucket.blob("once").upload_from_string(b"x", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("once").upload_from_string(b"y", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("once").create_resumable_upload_session(size=1, if_generation_match=0)


def test_metadata_is_changed_key_by_key_and_the_change_is_counted(bucket: Any) -> None:
    blob = bucket.blob("patched")
    blob.metadata = {"kept": "1", "dropped": "2"}
    blob.upload_from_string(b"x")
    blob.metadata = {"dropped": None, "new": "3"}
    blob.content_type = "audio/flac"
    blob.patch(if_metageneration_match=1)
    seen = bucket.get_blob("patched")
    assert (seen.metadata, seen.content_type, seen.metageneration) == ({"kept": "1", "new": "3"}, "audio/flac", 2)
    assert seen.generation == blob.generation
    with pytest.raises(PreconditionFailed):
        blob.patch(if_metageneration_match=1)


def test_objects_are_listed_by_prefix_page_by_page(bucket: Any) -> None:
    names = [f"list/{number:02}" for number in range(7)]
    for name in [*names, "lisu", "list"]:
        bucket.blob(name).upload_from_string(b"")
    pages = [[blob.name for blob in page] for page in bucket.list_blobs(prefix="list/", page_size=3).pages]
    assert pages == [names[:3], names[3:6], names[6:]]


def test_bytes_that_were_damaged_on_the_way_make_no_object(bucket: Any) -> None:
    blob = bucket.blob("damaged", chunk_size=QUANTUM)
    blob.crc32c = "AAAAAA=="
    with pytest.raises((BadRequest, DataCorruption)):
        blob.upload_from_file(io.BytesIO(DATA), size=len(DATA), checksum=None)
    assert not bucket.blob("damaged").exists()


def test_a_multipart_body_without_its_end_makes_no_object(storage: StorageProcess, bucket: Any) -> None:
    body = b'--x\r\nContent-Type: application/json\r\n\r\n{"name": "cut"}\r\n--x\r\nContent-Type: a/b\r\n\r\nbytes'
    for end, status in ((b"", 400), (b"\r\n--x--", 200)):
        answer = requests.post(
            f"{storage.url}/upload/storage/v1/b/{BUCKET}/o?uploadType=multipart",
            data=body + end,
            headers={"Content-Type": 'multipart/related; boundary="x"'},
            timeout=10,
        )
        assert answer.status_code == status
        assert bucket.blob("cut").exists() is (status == 200)


def test_a_media_upload_is_an_object_under_the_name_in_its_address(storage: StorageProcess, bucket: Any) -> None:
    address = f"{storage.url}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=m%C3%A9dia"
    for header, status in (("md5=AAAAAAAAAAAAAAAAAAAAAA==", 400), ("crc32c=mnG7TA==", 200)):
        headers = {"Content-Type": "audio/mpeg", "x-goog-hash": header}
        assert requests.post(address, data=b"hello", headers=headers, timeout=10).status_code == status
    assert bucket.get_blob("média").content_type == "audio/mpeg"


def test_unknown_buckets_objects_and_calls_are_errors_in_google_s_form(storage: StorageProcess) -> None:
    base = f"{storage.url}/storage/v1/b"
    for address, status in (
        (f"{base}/nowhere/o", 404),
        (f"{base}/{BUCKET}/o/nothing", 404),
        (f"{base}/{BUCKET}/o?delimiter=/", 501),
        (f"{base}/{BUCKET}/o/a/acl", 501),
        (f"{base}", 501),
    ):
        answer = requests.get(address, timeout=10)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, status), address


def signed(storage: StorageProcess, bucket: Any, name: str, method: str, **options: Any) -> str:
    """An address made by the client with the stand-in's own service-account key."""
    credentials = service_account.Credentials.from_service_account_file(  # type: ignore[no-untyped-call]
        str(storage.data / "service-account.json")
    )
    expiration = timedelta(minutes=1)
    url: str = bucket.blob(name).generate_signed_url(
        version="v4", method=method, credentials=credentials, expiration=expiration, **options
    )
    return url


def test_a_signed_url_lets_a_stranger_upload_and_download(storage: StorageProcess, bucket: Any) -> None:
    name = "signed/ação 1%.wav"
    headers = {"x-goog-if-generation-match": "0", "x-goog-meta-uid": "u1"}
    upload = signed(storage, bucket, name, "PUT", content_type="audio/wav", headers=dict(headers))
    headers["Content-Type"] = "audio/wav"
    assert requests.put(upload, data=DATA, headers=headers, timeout=10).status_code == 200
    assert requests.put(upload, data=DATA, headers=headers, timeout=10).status_code == 412
    assert bucket.get_blob(name).metadata == {"uid": "u1"}
    download = signed(storage, bucket, name, "GET", response_disposition="attachment")
    answer = requests.get(download, headers={"Range": "bytes=-7"}, timeout=10)
    assert (answer.status_code, answer.content) == (206, DATA[-7:])
    assert answer.headers["Content-Disposition"] == "attachment"


def test_a_signed_url_allows_nothing_but_what_was_signed(storage: StorageProcess, bucket: Any) -> None:
    bucket.blob("mine").upload_from_string(b"mine")
    download = signed(storage, bucket, "mine", "GET")
    assert requests.get(download, timeout=10).content == b"mine"
    tampered = [
        requests.put(download, data=b"x", timeout=10),
        requests.get(download.replace("/mine?", "/yours?"), timeout=10),
        requests.get(download.replace("X-Goog-Expires=60", "X-Goog-Expires=600"), timeout=10),
        requests.get(download + "&generation=1", timeout=10),
        requests.get(download.partition("?")[0], timeout=10),
    ]
    assert [answer.status_code for answer in tampered] == [403] * 5
    assert "<Code>SignatureDoesNotMatch</Code>" in tampered[0].text


def test_a_signed_upload_keeps_to_the_size_that_was_signed(storage: StorageProcess, bucket: Any) -> None:
    limit = {"x-goog-content-length-range": "10,1000"}
    upload = signed(storage, bucket, "limited", "PUT", headers=dict(limit))
    bodies: list[Any] = [b"x" * 1001, iter([b"x" * 1000, b"x"]), b"x" * 9]
    for body in bodies:
        refused = requests.put(upload, data=body, headers=limit, timeout=10)
        assert refused.status_code == 400
        assert "<Code>EntityToo" in refused.text
    assert requests.put(upload, data=b"x" * 10, timeout=10).status_code == 403  # the limit may not be left out
    assert not bucket.blob("limited").exists()
    assert requests.put(upload, data=b"x" * 10, headers=limit, timeout=10).status_code == 200
