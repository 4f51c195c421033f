"""What requests say, read strictly: ranges, multipart bodies, signatures."""

import asyncio
import json
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from google.cloud.storage._signing import generate_signed_url_v4
from google.oauth2 import service_account
from hypothesis import given
from hypothesis import strategies as st

from local.storage.errors import ApiError
from local.storage.log import redacted
from local.storage.multipart import RelatedParts
from local.storage.ranges import Chunk, Query, parse_content_range, parse_range
from local.storage.receiving import parse_hash_header
from local.storage.signing import KEY_FILE, Verifier

BOUNDARY = "==xyz=="


class Body:
    def __init__(self, data: bytes, cuts: list[int]) -> None:
        edges = [0, *sorted(cut for cut in set(cuts) if 0 < cut < len(data)), len(data)]
        self._pieces = [data[a:b] for a, b in pairwise(edges)]

    async def readany(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


def multipart(content: bytes) -> bytes:
    head = f"--{BOUNDARY}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n".encode()
    between = f"\r\n--{BOUNDARY}\r\ncontent-type: audio/wav\r\n\r\n".encode()
    return head + json.dumps({"name": "ü"}).encode() + between + content + f"\r\n--{BOUNDARY}--".encode()


async def parts_of(data: bytes, cuts: list[int]) -> tuple[dict[str, Any], str | None, bytes]:
    parts = RelatedParts(f'multipart/related; boundary="{BOUNDARY}"', Body(data, cuts))
    properties, content = await parts.read_properties(), b""
    while piece := await parts.readany():
        content += piece
    return properties, parts.content_type, content


@given(
    content=st.binary(max_size=300) | st.sampled_from([b"\r\n", b"\r\n--", f"\r\n--{BOUNDARY}".encode(), b"--" * 9]),
    cuts=st.lists(st.integers(1, 500)),
)
def test_a_multipart_body_is_the_same_however_the_network_cuts_it(content: bytes, cuts: list[int]) -> None:
    assert asyncio.run(parts_of(multipart(content), cuts)) == ({"name": "ü"}, "audio/wav", content)


@given(missing=st.integers(1, 30), cuts=st.lists(st.integers(1, 200)))
def test_a_multipart_body_that_is_cut_short_is_refused(missing: int, cuts: list[int]) -> None:
    with pytest.raises(ApiError):
        asyncio.run(parts_of(multipart(b"content")[:-missing], cuts))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, Chunk(0, 9, 9, whole=True)),
        ("bytes 0-9/10", Chunk(0, 10, 10)),
        ("bytes 5-9/*", Chunk(5, 10, None)),
        ("bytes */10", Query(10)),
        ("bytes */*", Query(None)),
    ],
)
def test_content_range_says_what_is_sent_or_asked(header: str | None, expected: object) -> None:
    assert parse_content_range(header, 9) == expected


@pytest.mark.parametrize(
    "header", ["", "bytes", "bytes 9-0/10", "bytes 0-10/10", "bytes -5/10", "bytes=0-9/10", "bytes 0-9"]
)
def test_a_content_range_of_another_form_is_refused(header: str) -> None:
    with pytest.raises(ApiError, match="Failed to parse Content-Range header"):
        parse_content_range(header, 9)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=2-", (2, 10)),
        ("bytes=2-99", (2, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes=5-2", None),
        ("bytes=0-1,4-5", None),
        ("lines=1-2", None),
    ],
)
def test_a_range_is_one_part_of_the_object_or_none(header: str | None, expected: tuple[int, int] | None) -> None:
    assert parse_range(header, 10) == expected


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=0-5", 0), ("bytes=-0", 10)])
def test_a_range_beyond_the_end_cannot_be_satisfied(header: str, size: int) -> None:
    with pytest.raises(ApiError) as refused:
        parse_range(header, size)
    assert refused.value.status == 416


def test_checksums_come_in_one_header_or_several() -> None:
    both = {"crc32c": "AAAAAA==", "md5": "AAAA"}
    assert parse_hash_header(["crc32c=AAAAAA==,md5=AAAA"]) == both
    assert parse_hash_header(["crc32c=AAAAAA==", " md5=AAAA"]) == both
    for wrong in ("sha1=AAAA", "md5", "md5=%"):
        with pytest.raises(ApiError):
            parse_hash_header([wrong])


def test_a_signed_url_holds_until_it_expires_and_not_longer(tmp_path: Path) -> None:
    clock = [0.0]
    verifier = Verifier(tmp_path, "demo-prodai", lambda: clock[0])
    credentials = service_account.Credentials.from_service_account_file(  # type: ignore[no-untyped-call]
        str(tmp_path / KEY_FILE)
    )
    signed_at = 1_800_000_000.0
    url = generate_signed_url_v4(
        credentials, "/b/a%C3%A7%C3%A3o", timedelta(hours=1), "http://h:1", "GET", _request_timestamp="20270115T080000Z"
    )
    sent = urlsplit(url)
    for clock[0] in (signed_at, signed_at + 3600):
        verifier.check("GET", sent.path, sent.query, {"host": ["h:1"]})
    for clock[0] in (signed_at + 3601, signed_at - 3600):
        with pytest.raises(ApiError, match="expired") as refused:
            verifier.check("GET", sent.path, sent.query, {"host": ["h:1"]})
        assert refused.value.status == 400


def test_a_url_signed_with_another_key_is_refused(tmp_path: Path) -> None:
    for folder in ("ours", "theirs"):
        (tmp_path / folder).mkdir()
    verifier = Verifier(tmp_path / "ours", "demo-prodai", lambda: 1_800_000_000.0)
    Verifier(tmp_path / "theirs", "demo-prodai", lambda: 0.0)
    stranger = service_account.Credentials.from_service_account_file(  # type: ignore[no-untyped-call]
        str(tmp_path / "theirs" / KEY_FILE)
    )
    url = generate_signed_url_v4(stranger, "/b/x", 60, "http://h:1", "GET", _request_timestamp="20270115T080000Z")
    with pytest.raises(ApiError, match="signature"):
        verifier.check("GET", "/b/x", urlsplit(url).query, {"host": ["h:1"]})


def test_a_log_line_holds_no_address_that_lets_its_reader_in() -> None:
    line = redacted(
        "PUT /upload/storage/v1/b/x/o?uploadType=resumable&upload_id=SECRET and /b/x?X-Goog-Signature=abc&a=1"
    )
    assert "SECRET" not in line
    assert "abc" not in line
    assert line.endswith("&a=1")
