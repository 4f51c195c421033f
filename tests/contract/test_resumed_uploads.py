"""Bytes arrive whole, whatever the line does: the client of `prodai upload`, the storage, and a line that breaks."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from local.client import Client, Refused
from local.pending import fingerprint
from tests.contract.line import Line
from tests.contract.storage_process import BUCKET, QUANTUM, StorageProcess, running_storage

SIZE = 12 * QUANTUM + 1000
ANOTHER_PROCESS = """
import json, sys
from pathlib import Path
from local.client import Client
upload = json.loads(sys.stdin.read())
Client({"upload": ""}, "").send(upload, Path(sys.argv[1]), lambda sent: print(sent, flush=True), resume=True)
"""


class Interrupted(Exception):  # noqa: N818
    """Ctrl-C."""


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageProcess]:
    with running_storage(tmp_path_factory.mktemp("storage")) as (process, _):
        yield process


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "song.wav"
    path.write_bytes(os.urandom(SIZE))
    return path


def opened(storage: StorageProcess, name: str, size: int = SIZE, crc32c: str | None = None) -> dict[str, Any]:
    """A session as the function opens it: for so many bytes of this checksum, where no object is yet."""
    blob = storage.client.bucket(BUCKET).blob(name)
    blob.crc32c = crc32c
    url = blob.create_resumable_upload_session(content_type="audio/wav", size=size, if_generation_match=0)
    return {"uploadUrl": url}


def sha256(content: bytes | None) -> str:
    return hashlib.sha256(content or b"").hexdigest()


@pytest.mark.parametrize("percent", [1, 50, 99])
def test_cut_anywhere_the_upload_goes_on_by_itself_and_sends_hardly_more_than_the_file(
    storage: StorageProcess, file: Path, percent: int
) -> None:
    upload = opened(storage, f"cut-{percent}", crc32c=fingerprint(file).crc32c)
    line = Line(storage.port, cut_after=SIZE * percent // 100)
    told: list[int] = []
    Client({}, "").send({**upload, "uploadUrl": line.through(upload["uploadUrl"])}, file, told.append)
    line.close()
    assert sha256(storage.content(f"cut-{percent}")) == fingerprint(file).sha256
    assert told[-1] == SIZE
    assert line.carried_bytes < SIZE + 6 * QUANTUM


@pytest.mark.parametrize("percent", [1, 50, 99])
def test_interrupted_anywhere_another_process_goes_on_where_the_bytes_end(
    storage: StorageProcess, file: Path, percent: int
) -> None:
    upload = opened(storage, f"process-{percent}", crc32c=fingerprint(file).crc32c)

    def interrupt(sent: int) -> None:
        if sent >= SIZE * percent // 100:
            raise Interrupted

    with pytest.raises(Interrupted):
        Client({}, "").send(upload, file, interrupt)
    command = [sys.executable, "-c", ANOTHER_PROCESS, str(file)]
    ended = subprocess.run(command, input=json.dumps(upload), capture_output=True, text=True, timeout=60, check=True)
    told = [int(sent) for sent in ended.stdout.split()]
    assert told[-1] == SIZE
    assert percent < 50 or told[0] >= 4 * QUANTUM  # what had arrived is not sent again
    assert sha256(storage.content(f"process-{percent}")) == fingerprint(file).sha256


def test_what_is_complete_already_is_not_sent_again(storage: StorageProcess, file: Path) -> None:
    upload = opened(storage, "complete")
    Client({}, "").send(upload, file, lambda _: None)
    told: list[int] = []
    Client({}, "").send(upload, file, told.append, resume=True)
    assert told == [SIZE]


def test_other_bytes_than_the_announced_checksum_never_become_an_object(storage: StorageProcess, file: Path) -> None:
    upload = opened(storage, "forged", crc32c="AAAAAA==")
    with pytest.raises(Refused, match="CRC32C"):
        Client({}, "").send(upload, file, lambda _: None)
    assert storage.content("forged") is None
    again = requests.put(upload["uploadUrl"], headers={"Content-Range": f"bytes */{SIZE}"}, timeout=10)
    assert again.status_code == 410


def test_a_checksum_beside_the_last_chunk_is_held_to_as_well(storage: StorageProcess, file: Path) -> None:
    upload = opened(storage, "beside")
    whole = {"Content-Range": f"bytes 0-{SIZE - 1}/{SIZE}", "x-goog-hash": "crc32c=AAAAAA=="}
    refused = requests.put(upload["uploadUrl"], data=file.read_bytes(), headers=whole, timeout=10)
    assert refused.status_code == 400
    assert storage.content("beside") is None


def test_a_client_that_lies_about_the_size_gets_no_object(storage: StorageProcess, file: Path) -> None:
    upload = opened(storage, "shorter-announced", size=SIZE - 1)
    with pytest.raises(Refused):
        Client({}, "").send(upload, file, lambda _: None)
    assert storage.content("shorter-announced") is None


def test_the_address_of_a_session_is_in_no_error_and_no_log(
    storage: StorageProcess, file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from local import client as client_module
    from local.client import BrokenLine
    from shared.documents.records import Session
    from uploads import sessions

    upload = opened(storage, "secret")
    secret = upload["uploadUrl"].partition("upload_id=")[2]
    monkeypatch.setattr(client_module, "GIVE_UP_AFTER_S", 0.0)
    with pytest.raises(BrokenLine) as raised:
        Client({}, "").send({**upload, "uploadUrl": upload["uploadUrl"].replace(str(storage.port), "1")}, file, print)
    caplog.set_level("DEBUG")
    session = Session(upload["uploadUrl"], "us", BUCKET, None)  # type: ignore[arg-type]
    assert sessions.progress(session, SIZE).received_bytes == 0
    sessions.cancel(session)
    assert secret not in str(raised.value)
    assert secret not in caplog.text
    assert secret not in repr(session)
