"""What is accepted: the announced upload and the first bytes of a file."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from shared.problems import Problem
from uploads.accept import LONGEST_FILENAME, START_BYTES, audio_format, clean_filename, wanted

BODY: dict[str, Any] = {"filename": "song.wav", "sizeBytes": 1000, "contentType": "audio/wav"}


def test_a_plain_announcement_is_taken_with_the_genre_mode() -> None:
    upload = wanted(BODY)
    assert (upload.filename, upload.size_bytes, upload.mode, upload.genre) == ("song.wav", 1000, "genre", None)


def test_every_fault_is_named_at_once() -> None:
    body = {"filename": "", "sizeBytes": "10", "contentType": "wav", "genre": "polka", "mode": "x", "colour": 1}
    with pytest.raises(Problem) as raised:
        wanted(body)
    assert raised.value.code == "invalid-request"
    for key in ("filename", "sizeBytes", "contentType", "genre", "mode", "colour"):
        assert key in raised.value.detail


def test_the_reference_mode_needs_a_reference() -> None:
    with pytest.raises(Problem, match="referenceTrackId"):
        wanted({**BODY, "mode": "reference"})
    assert wanted({**BODY, "mode": "reference", "referenceTrackId": "abc"}).reference_track_id == "abc"


def test_an_empty_file_is_refused_before_an_address_is_given() -> None:
    with pytest.raises(Problem) as raised:
        wanted({**BODY, "sizeBytes": 0})
    assert raised.value.code == "empty-file"


@pytest.mark.parametrize("size", [True, -1, 1.5, "1", None])
def test_a_size_is_a_whole_number(size: Any) -> None:
    with pytest.raises(Problem, match="sizeBytes"):
        wanted({**BODY, "sizeBytes": size})


@given(st.text(min_size=1, max_size=300))
def test_a_name_is_only_text_to_show(name: str) -> None:
    cleaned = clean_filename(name)
    assert 0 < len(cleaned) <= LONGEST_FILENAME
    assert "/" not in cleaned
    assert "\\" not in cleaned
    assert not any(ord(c) < 32 or 0x202A <= ord(c) <= 0x202E for c in cleaned)
    assert clean_filename(cleaned) == cleaned


def test_folders_and_direction_marks_are_taken_out_of_names() -> None:
    assert clean_filename("../../etc/passwd") == "passwd"
    assert clean_filename("C:\\mixes\\Última faixa.wav") == "Última faixa.wav"
    assert clean_filename("song\u202evaw.exe") == "songvaw.exe"
    assert clean_filename("///") == "untitled"


@pytest.mark.parametrize(
    ("kind", "subtype", "expected"),
    [
        ("WAV", "PCM_24", "wav"),
        ("RF64", "PCM_16", "wav"),
        ("AIFF", "PCM_16", "aiff"),
        ("FLAC", "PCM_16", "flac"),
        ("OGG", "VORBIS", "ogg"),
        ("OGG", "OPUS", "ogg"),
        ("MP3", "MPEG_LAYER_III", "mp3"),
    ],
)
def test_real_files_are_known_by_their_first_bytes(kind: str, subtype: str, expected: str) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros((4800, 2)), 48_000, format=kind, subtype=subtype)
    assert audio_format(file.getvalue()[:START_BYTES]) == expected


@pytest.mark.parametrize(
    "start",
    [b"", b"RIFF", b"RIFF\0\0\0\0AVI LIST", b"Dear diary", b"OggS" + b"\0" * 60, b"\xff\xff\xff\xff", b"\0" * 64],
)
def test_what_is_not_audio_is_not_taken_for_it(start: bytes) -> None:
    assert audio_format(start) is None


@given(st.binary(max_size=START_BYTES))
def test_no_bytes_at_all_make_the_check_fail(start: bytes) -> None:
    assert audio_format(start) in {None, "wav", "aiff", "flac", "ogg", "mp3"}
