"""What has arrived is judged by storage's own size and checksum, and by its first bytes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared import objects
from shared.documents.records import Track, track_of
from shared.objects import Gone, ObjectVersion
from shared.plans import plans
from uploads import checks, retention

NOW = datetime(2026, 11, 24, tzinfo=UTC)
WAVE = b"RIFF\0\0\0\0WAVEfmt "
METADATA = {"bucket": "b", "name": "tracks/u/t", "generation": "7", "size": "1000", "crc32c": "yZRlqg=="}


class Snapshot:
    exists = True
    id = "t"
    update_time = NOW

    def to_dict(self) -> dict[str, Any]:
        announced = {"uid": "u", "filename": "song.wav", "sizeBytes": 1000, "contentType": "audio/wav", "mode": "genre"}
        return {**announced, "crc32c": "yZRlqg==", "tier": "full", "state": "awaiting-upload", "createdAt": NOW}


def track(**changes: Any) -> Track:
    stored = track_of(Snapshot())
    assert stored is not None
    return replace(stored, **changes)


class Storage:
    """The start of an object, and how often it was read."""

    def __init__(self) -> None:
        self.start: bytes | Exception = WAVE
        self.reads: list[tuple[ObjectVersion, int]] = []

    def read_start(self, version: ObjectVersion, count: int) -> bytes:
        self.reads.append((version, count))
        if isinstance(self.start, Exception):
            raise self.start
        return self.start


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Storage:
    fake = Storage()
    monkeypatch.setattr(objects, "read_start", fake.read_start)
    return fake


def test_the_announced_bytes_of_an_audio_file_are_taken_and_no_more_than_their_start_is_read(storage: Storage) -> None:
    assert checks.fault(track(), METADATA) is None
    assert checks.fault(track(crc32c=None), METADATA) is None
    assert {(version.generation, count <= 64) for version, count in storage.reads} == {(7, True)}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"size": "0"}, "empty-file"),
        ({"size": "999"}, "upload-mismatch"),
        ({"size": "1001"}, "upload-mismatch"),
        ({"crc32c": "AAAAAA=="}, "upload-mismatch"),
    ],
)
def test_other_bytes_than_the_announced_ones_are_refused_without_being_read(
    storage: Storage, changes: dict[str, str], code: str
) -> None:
    problem = checks.fault(track(), {**METADATA, **changes})
    assert problem is not None
    assert problem.code == code
    assert storage.reads == []


@pytest.mark.parametrize("start", [b"", b"Dear diary", b"%PDF-1.7", bytes(64)])
def test_what_is_not_audio_is_refused_with_what_is_accepted_whatever_its_name_says(
    storage: Storage, start: bytes
) -> None:
    storage.start = start
    problem = checks.fault(track(), METADATA)
    assert problem is not None
    assert problem.kind.status == 415
    assert problem.extensions["accepted"] == "WAV, RF64, AIFF, FLAC, Ogg Vorbis, Ogg Opus and MP3"


def test_an_object_that_is_gone_before_it_was_read_ends_the_upload(storage: Storage) -> None:
    storage.start = Gone()
    problem = checks.fault(track(), METADATA)
    assert problem is not None
    assert problem.code == "upload-mismatch"


def test_the_sweep_and_the_buckets_lifecycle_delete_originals_at_the_same_age() -> None:
    from deploy.buckets import lifecycle

    ages = {rule["condition"]["age"] for rule in lifecycle()["rule"] if rule["action"]["type"] == "Delete"}
    kept = {retention.until(plan, NOW) - NOW for plan in plans().values()}
    assert ages == {30}
    assert max(kept) == timedelta(days=30)
    assert all(age <= timedelta(days=30) for age in kept)
