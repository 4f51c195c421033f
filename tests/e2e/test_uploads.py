"""Uploads on the whole cloud: checksums, regions, leases, what is over, and what is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import soundfile

from local.cloud import write_document
from local.pending import fingerprint
from tests.e2e.conftest import LocalCloud, eventually
from tests.e2e.test_the_sweep import PAST, tick

BODY = {"filename": "song.wav", "sizeBytes": 1000, "contentType": "audio/wav"}
SAME_SIZE = b"RIFF\0\0\0\0WAVE" + bytes(988)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of noise: audio that is analysed at once."""
    path = tmp_path_factory.mktemp("noise") / "noise.wav"
    soundfile.write(path, np.random.default_rng(6).normal(0, 0.1, (44_100, 2)), 44_100)
    return path


def redis(cloud: LocalCloud, *command: str) -> Any:
    upstash = cloud.ready["upstash"]
    headers = {"Authorization": f"Bearer {upstash['token']}"}
    return requests.post(upstash["url"], json=command, headers=headers, timeout=10).json()["result"]


def announced(cloud: LocalCloud, uid: str, query: str = "", country: str = "", **changes: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {cloud.token(uid)}", "X-Client-Geo-Location": country}
    address = f"{cloud.ready['upload']}/v1/uploads{query}"
    answer = requests.post(address, json={**BODY, **changes}, headers=headers, timeout=30)
    assert answer.status_code == 201, answer.text
    upload: dict[str, Any] = answer.json()
    return upload


def sent_to(cloud: LocalCloud, query: str, country: str = "") -> str:
    """Where the redirect leads."""
    headers = {"X-Client-Geo-Location": country}
    address = f"{cloud.ready['upload']}/v1/edge-upload{query}"
    answer = requests.get(address, headers=headers, timeout=10, allow_redirects=False)
    assert (answer.status_code, answer.content) == (307, b"")
    return answer.headers["Location"]


def put(upload: dict[str, Any], content: bytes) -> int:
    return requests.put(upload["uploadUrl"], data=content, timeout=30).status_code


def test_a_track_is_analysed_from_the_region_of_its_country_with_its_checksums(cloud: LocalCloud, noise: Path) -> None:
    content = fingerprint(noise)
    sums = {"sha256": content.sha256, "crc32c": content.crc32c, "sizeBytes": content.size_bytes}
    eventually(lambda: sent_to(cloud, "", "DE,Berlin").endswith("eu"))  # all is well there
    upload = announced(cloud, "berliner", "?region=auto", "DE,Berlin", **sums)
    assert upload["region"] == "eu"
    client = cloud.client("berliner")
    client.send(upload, noise, lambda _: None)
    status = client.wait(upload["trackId"], 60, lambda _: None)
    assert status["analysis"]["contentSha256"] == content.sha256
    track = cloud.document(f"tracks/{upload['trackId']}")
    assert (track["bucket"], track["region"]) == ("prodai-uploads-eu", "eu")


def test_other_bytes_of_the_same_size_are_refused_by_storage_and_the_count_is_given_back(cloud: LocalCloud) -> None:
    upload = announced(cloud, "forger", crc32c="AAAAAA==")
    assert put(upload, SAME_SIZE) == 400
    status = cloud.client("forger").status(upload["trackId"])
    assert (status["state"], status["problem"]["code"]) == ("failed", "upload-mismatch")
    assert cloud.usage("forger")["analyses"] == 0


def test_the_offset_is_what_storage_has_and_asking_extends_the_lease(cloud: LocalCloud) -> None:
    upload = announced(cloud, "half-way", sizeBytes=500_000)
    part = {"Content-Range": "bytes 0-262143/500000"}
    assert requests.put(upload["uploadUrl"], data=bytes(262_144), headers=part, timeout=10).status_code == 308
    redis(cloud, "ZREM", "uploads:open", upload["trackId"])
    client = cloud.client("half-way")
    assert client.status(upload["trackId"])["receivedBytes"] == 262_144
    lease = eventually(
        lambda: client.status(upload["trackId"]) and redis(cloud, "ZSCORE", "uploads:open", upload["trackId"])
    )
    assert float(lease) > time.time()


def test_an_upload_that_is_over_is_410_with_its_status_even_before_the_sweep_and_its_address_is_dead(
    cloud: LocalCloud,
) -> None:
    upload = announced(cloud, "too-late")
    write_document(cloud.ready["firestore"], f"uploadSessions/{upload['trackId']}", {"expiresAt": PAST})
    headers = {"Authorization": f"Bearer {cloud.token('too-late')}"}
    for _ in range(2):
        address = f"{cloud.ready['upload']}/v1/uploads/{upload['trackId']}"
        answer = requests.get(address, headers=headers, timeout=30)
        assert answer.status_code == 410
        assert (answer.json()["code"], answer.json()["state"]) == ("upload-expired", "expired")
    whole = {"Content-Range": "bytes */1000"}
    eventually(lambda: requests.put(upload["uploadUrl"], headers=whole, timeout=10).status_code in (404, 410, 499))
    assert cloud.usage("too-late")["analyses"] == 0


def test_a_cancelled_upload_ends_its_session(cloud: LocalCloud) -> None:
    upload = announced(cloud, "thinks-again")
    headers = {"Authorization": f"Bearer {cloud.token('thinks-again')}"}
    address = f"{cloud.ready['upload']}/v1/uploads/{upload['trackId']}"
    assert requests.delete(address, headers=headers, timeout=30).json()["state"] == "cancelled"
    assert put(upload, SAME_SIZE) in (404, 410, 499)


def test_an_edge_upload_is_redirected_to_its_region_and_an_unknown_one_to_us(cloud: LocalCloud) -> None:
    eventually(lambda: sent_to(cloud, "?region=asia") == "/v1/uploads?region=asia")
    eventually(lambda: sent_to(cloud, "?region=auto", "JP") == "/v1/uploads?region=asia")
    eventually(lambda: sent_to(cloud, "?region=mars") == sent_to(cloud, "") == "/v1/uploads?region=us")


def test_after_its_retention_the_original_is_deleted_and_the_analysis_stays(cloud: LocalCloud, noise: Path) -> None:
    client = cloud.client("archivist")
    upload = client.create_upload(noise)
    client.send(upload, noise, lambda _: None)
    assert client.wait(upload["trackId"], 60, lambda _: None)["state"] == "done"
    path = f"tracks/{upload['trackId']}"
    kept_until = datetime.fromisoformat(cloud.document(path)["originalUntil"])
    assert timedelta(days=29) < kept_until - datetime.now(UTC) < timedelta(days=30, minutes=5)
    write_document(cloud.ready["firestore"], path, {"originalUntil": PAST})
    tick(cloud)
    eventually(lambda: cloud.document(path)["bucket"] is None)
    objects = f"http://{cloud.ready['storage']}/storage/v1/b/prodai-uploads-us/o?prefix=tracks/archivist/"
    assert requests.get(objects, timeout=10).json().get("items", []) == []
    assert client.status(upload["trackId"])["analysis"]["contentSha256"] == fingerprint(noise).sha256


def test_prodai_upload_takes_several_files_and_ends_with_a_line_for_each(
    cloud: LocalCloud, noise: Path, tmp_path: Path
) -> None:
    samples, rate_hz = soundfile.read(noise)
    soundfile.write(tmp_path / "hiss.flac", samples / 2, rate_hz)
    (tmp_path / "diary.wav").write_text("Dear diary, today I made no music at all.")
    (tmp_path / "ready.json").write_text(json.dumps(cloud.ready))
    command = [sys.executable, "-m", "local.cli", "upload", "--ready-file", "ready.json", "--uid", "several"]
    ended = subprocess.run(
        [*command, str(noise), "hiss.flac", "diary.wav"],
        cwd=tmp_path,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    lines = ended.stdout.splitlines()[-3:]
    assert [line.split()[0] for line in lines] == ["noise.wav", "hiss.flac", "diary.wav"]
    assert "score" in lines[0]
    assert "score" in lines[1]
    assert "Accepted: WAV, RF64, AIFF" in lines[2]
    assert list((tmp_path / "state" / "prodai" / "uploads").iterdir()) == []
    assert "upload_id" not in ended.stdout + ended.stderr
