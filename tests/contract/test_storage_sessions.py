"""Resumable sessions over HTTP: what arrives, what is kept, what is refused."""

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
import requests

from tests.contract.storage_process import BUCKET, QUANTUM, StorageProcess, running_storage, wait_until

DATA = os.urandom(3 * QUANTUM + 1000)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageProcess]:
    with running_storage(tmp_path_factory.mktemp("storage")) as (process, _):
        yield process


def put(url: str, body: bytes = b"", content_range: str | None = None, **headers: str) -> requests.Response:
    ranged = {} if content_range is None else {"Content-Range": content_range}
    return requests.put(url, data=body, headers=ranged | headers, timeout=10)


def test_a_whole_object_arrives_in_one_request(storage: StorageProcess) -> None:
    answer = put(storage.session("whole", len(DATA)), DATA)
    assert answer.status_code == 200
    assert answer.json()["size"] == str(len(DATA))
    assert storage.content("whole") == DATA


def test_an_object_arrives_in_chunks_and_each_answer_tells_what_is_kept(storage: StorageProcess) -> None:
    url = storage.session("chunks", len(DATA))
    for start in range(0, 3 * QUANTUM, QUANTUM):
        answer = put(url, DATA[start : start + QUANTUM], f"bytes {start}-{start + QUANTUM - 1}/{len(DATA)}")
        assert (answer.status_code, answer.headers["Range"]) == (308, f"bytes=0-{start + QUANTUM - 1}")
        assert storage.content("chunks") is None
    assert put(url, DATA[3 * QUANTUM :], f"bytes {3 * QUANTUM}-{len(DATA) - 1}/{len(DATA)}").status_code == 200
    assert storage.content("chunks") == DATA


def test_an_object_of_unknown_size_ends_with_its_last_chunk(storage: StorageProcess) -> None:
    url = storage.session("stream")
    assert put(url, DATA[:QUANTUM], f"bytes 0-{QUANTUM - 1}/*").status_code == 308
    assert put(url, content_range=f"bytes */{QUANTUM}").status_code == 200
    assert storage.content("stream") == DATA[:QUANTUM]


def test_an_empty_object_can_be_uploaded(storage: StorageProcess) -> None:
    assert put(storage.session("empty", 0)).status_code == 200
    assert storage.content("empty") == b""


def test_the_status_of_an_upload_tells_what_is_kept_and_never_finalises_less(storage: StorageProcess) -> None:
    url = storage.session("status", len(DATA))
    for question in ("bytes */*", f"bytes */{len(DATA)}"):
        nothing = put(url, content_range=question)
        assert (nothing.status_code, "Range" in nothing.headers) == (308, False)
    put(url, DATA[:QUANTUM], f"bytes 0-{QUANTUM - 1}/{len(DATA)}")
    for question in ("bytes */*", f"bytes */{len(DATA)}"):
        some = put(url, content_range=question)
        assert (some.status_code, some.headers["Range"]) == (308, f"bytes=0-{QUANTUM - 1}")
    assert storage.content("status") is None
    put(url, DATA[QUANTUM:], f"bytes {QUANTUM}-{len(DATA) - 1}/{len(DATA)}")
    assert put(url, content_range=f"bytes */{len(DATA)}").json()["name"] == "status"


def test_a_session_that_is_done_answers_every_repetition_with_its_object(storage: StorageProcess) -> None:
    url = storage.session("again", len(DATA))
    first = put(url, DATA).json()
    repeated = [
        put(url, DATA),
        put(url, content_range="bytes */*"),
        put(url, DATA[:QUANTUM], f"bytes 0-{QUANTUM - 1}/*"),
    ]
    assert [answer.json()["generation"] for answer in repeated] == [first["generation"]] * 3


def test_a_chunk_that_was_kept_already_may_be_sent_again(storage: StorageProcess) -> None:
    url = storage.session("resent", len(DATA))
    for _ in range(2):
        assert put(url, DATA[:QUANTUM], f"bytes 0-{QUANTUM - 1}/{len(DATA)}").headers["Range"] == "bytes=0-262143"
    overlapping = put(url, DATA[1000:], f"bytes 1000-{len(DATA) - 1}/{len(DATA)}")
    assert overlapping.status_code == 200
    assert storage.content("resent") == DATA


def test_a_chunk_beyond_what_is_kept_is_refused_and_nothing_is_lost(storage: StorageProcess) -> None:
    url = storage.session("gap", len(DATA))
    answer = put(url, DATA[QUANTUM : 2 * QUANTUM], f"bytes {QUANTUM}-{2 * QUANTUM - 1}/{len(DATA)}")
    assert answer.status_code == 503
    assert "the upload offset is 262144 byte(s), which exceeds already uploaded size of 0 byte(s)" in answer.text
    assert put(url, DATA).status_code == 200


def test_a_chunk_that_is_no_multiple_of_256_kib_is_kept_rounded_down(storage: StorageProcess) -> None:
    url = storage.session("odd", len(DATA))
    answer = put(url, DATA[: QUANTUM + 7], f"bytes 0-{QUANTUM + 6}/{len(DATA)}")
    assert (answer.status_code, answer.headers["Range"]) == (308, f"bytes=0-{QUANTUM - 1}")


@pytest.mark.parametrize(
    ("content_range", "length", "message"),
    [
        ("bytes 0-999/5000", 1000, "required to be equal or greater than 262144"),
        ("bytes 0-999/1000", 999, "There were 999 byte(s) in the request body. There should have been 1000"),
        ("bytes 0-2000/1000", 2001, "Failed to parse Content-Range header"),
        ("octets 0-9/10", 10, "Failed to parse Content-Range header"),
        ("bytes */*", 1, "Client sent query request with a non-empty body"),
    ],
)
def test_a_content_range_that_is_wrong_is_refused(
    storage: StorageProcess, content_range: str, length: int, message: str
) -> None:
    url = storage.session("wrong")
    answer = put(url, DATA[:length], content_range)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]
    assert put(url, content_range="bytes */*").status_code == 308


def more_than_declared(data: bytes) -> Iterator[bytes]:
    """A body without Content-Length, so that nothing but counting reveals its size."""
    yield data
    yield b"more"


@pytest.mark.parametrize("chunked", [True, False])
def test_more_bytes_than_declared_end_the_session_without_an_object(storage: StorageProcess, chunked: bool) -> None:
    url = storage.session("too-long", len(DATA))
    body = more_than_declared(DATA) if chunked else DATA + b"more"
    assert requests.put(url, data=body, timeout=10).status_code == 400
    assert put(url, content_range=f"bytes */{len(DATA)}").status_code == 410
    assert storage.content("too-long") is None


@pytest.mark.parametrize("content_range", [None, f"bytes 0-{QUANTUM - 1}/{QUANTUM}"])
def test_another_total_than_declared_ends_the_session(storage: StorageProcess, content_range: str | None) -> None:
    url = storage.session("other-total", len(DATA))
    assert put(url, DATA[:QUANTUM], content_range).status_code == 400
    assert put(url, DATA).status_code == 410
    assert storage.content("other-total") is None


def test_what_arrived_before_the_connection_broke_is_kept_in_multiples_of_256_kib(storage: StorageProcess) -> None:
    url = storage.session("broken", len(DATA))
    address = urlsplit(url)
    with socket.create_connection(("127.0.0.1", storage.port)) as connection:
        head = f"PUT {address.path}?{address.query} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(DATA)}\r\n\r\n"
        connection.sendall(head.encode() + DATA[: 2 * QUANTUM + 5000])
    wait_until(lambda: put(url, content_range="bytes */*").headers.get("Range") == f"bytes=0-{2 * QUANTUM - 1}")
    assert storage.content("broken") is None
    rest = put(url, DATA[2 * QUANTUM :], f"bytes {2 * QUANTUM}-{len(DATA) - 1}/{len(DATA)}")
    assert rest.status_code == 200
    assert storage.content("broken") == DATA


def test_a_client_that_starts_over_takes_the_upload_from_its_stalled_request(storage: StorageProcess) -> None:
    url = storage.session("stalled", len(DATA))
    address = urlsplit(url)
    with socket.create_connection(("127.0.0.1", storage.port)) as stalled:
        head = f"PUT {address.path}?{address.query} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(DATA)}\r\n\r\n"
        stalled.sendall(head.encode() + DATA[:QUANTUM])
        assert put(url, DATA).status_code == 200
        stalled.sendall(b"?" * (len(DATA) - QUANTUM))
        assert b" 503 " in stalled.recv(1000)
    assert storage.content("stalled") == DATA


def test_a_cancelled_session_takes_nothing_more(storage: StorageProcess) -> None:
    url = storage.session("cancelled", len(DATA))
    put(url, DATA[:QUANTUM], f"bytes 0-{QUANTUM - 1}/{len(DATA)}")
    assert requests.delete(url, timeout=10).status_code == 499
    assert put(url, DATA).status_code == 499
    assert put(url, content_range="bytes */*").status_code == 499
    assert storage.content("cancelled") is None


def test_an_unknown_session_is_not_found(storage: StorageProcess) -> None:
    url = storage.session("guessed")
    assert put(url[:-1] + ("A" if url[-1] != "A" else "B"), DATA).status_code == 404


def test_no_two_sessions_have_addresses_that_resemble_each_other(storage: StorageProcess) -> None:
    ids = {storage.session("same-name").rpartition("upload_id=")[2] for _ in range(20)}
    assert len(ids) == 20
    assert min(map(len, ids)) >= 43  # 256 bits


def test_of_eight_racing_creators_one_wins_and_the_others_learn_it(storage: StorageProcess) -> None:
    urls = [storage.session("race", len(DATA), ifGenerationMatch="0") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda url: put(url, DATA).status_code, urls))
    assert sorted(codes) == [200, *[412] * 7]
    assert storage.open_session("race", ifGenerationMatch="0").status_code == 412


def test_a_session_to_replace_one_generation_does_not_replace_another(storage: StorageProcess) -> None:
    first = put(storage.session("replaced"), b"first").json()["generation"]
    url = storage.session("replaced", ifGenerationMatch=first)
    put(storage.session("replaced"), b"second")
    assert put(url, b"third").status_code == 412
    assert storage.content("replaced") == b"second"


@pytest.mark.parametrize("header", ["crc32c=AAAAAA==", "md5=AAAAAAAAAAAAAAAAAAAAAA=="])
def test_a_checksum_that_does_not_match_makes_no_object(storage: StorageProcess, header: str) -> None:
    answer = put(storage.session("corrupt"), DATA, **{"x-goog-hash": header})
    assert (answer.status_code, answer.json()["error"]["errors"][0]["reason"]) == (400, "invalid")
    assert storage.content("corrupt") is None


def test_a_checksum_told_when_the_session_opened_is_checked_at_its_end(storage: StorageProcess) -> None:
    address = f"{storage.url}/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable"
    opened = requests.post(address, json={"name": "told", "crc32c": "AAAAAA=="}, timeout=10)
    assert put(opened.headers["Location"], DATA).status_code == 400
    assert storage.content("told") is None


@pytest.mark.parametrize(
    ("bucket", "query", "status"),
    [
        ("nowhere", "uploadType=resumable&name=x", 404),
        (BUCKET, "uploadType=resumable", 400),
        (BUCKET, "uploadType=resumable&name=..", 400),
        (BUCKET, f"uploadType=resumable&name={'n' * 1025}", 400),
        (BUCKET, "uploadType=other&name=x", 400),
        (BUCKET, "uploadType=resumable&name=x&ifGenerationMatch=one", 400),
        (BUCKET, "uploadType=resumable&name=x&predefinedAcl=publicRead", 501),
    ],
)
def test_a_session_that_cannot_be_opened_is_refused_in_google_s_form(
    storage: StorageProcess, bucket: str, query: str, status: int
) -> None:
    answer = requests.post(f"{storage.url}/upload/storage/v1/b/{bucket}/o?{query}", timeout=10)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, status)
    assert error["errors"][0]["message"] == error["message"]
