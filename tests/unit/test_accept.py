"""What is accepted: the announced upload and the first bytes of a file."""

from __future__ import annotations

import base64
import io
import unicodedata
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


SPOOFING = (
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u200b\u2028\u2029\ufeff\0\r\n\t\x1b\x7f\x85"
)
NAMES = st.text(st.one_of(st.characters(), st.sampled_from("/\\ .e\u0301" + SPOOFING)), min_size=1, max_size=300)


@given(NAMES)
def test_a_name_is_only_text_to_show(name: str) -> None:
    cleaned = clean_filename(name)
    assert 0 < len(cleaned.encode("utf-16-le")) <= 2 * LONGEST_FILENAME
    assert not set(cleaned) & set("/\\" + SPOOFING)
    assert cleaned.isprintable() or all(c.isprintable() or c.isspace() for c in cleaned)
    assert cleaned not in (".", "..")
    assert unicodedata.is_normalized("NFC", cleaned)
    assert clean_filename(cleaned) == cleaned
    assert cleaned.encode()  # no half of a surrogate pair


def test_a_name_is_cut_where_the_rules_would_refuse_it_and_never_within_a_character() -> None:
    assert clean_filename("🎵" * 255) == "🎵" * 127
    assert clean_filename("é" * 255) == "é" * 255


def test_one_name_has_one_spelling() -> None:
    assert clean_filename("ac\u0327a\u0303o.wav") == clean_filename("a\u00e7\u00e3o.wav") == "ação.wav"


def test_folders_and_direction_marks_are_taken_out_of_names() -> None:
    assert clean_filename("../../etc/passwd") == "passwd"
    assert clean_filename("C:\\mixes\\Última faixa.wav") == "Última faixa.wav"
    assert clean_filename("song\u202evaw.exe") == "songvaw.exe"
    for nothing in ("///", "..", ".", "\u202e", " ", "a/.."):
        assert clean_filename(nothing) == "untitled"


@pytest.mark.parametrize("kind", ["text/plain", "image/png", "video/mp4", "application/pdf", "application/zip"])
def test_a_type_that_is_clearly_not_audio_is_refused_before_an_address_is_given(kind: str) -> None:
    with pytest.raises(Problem, match=f"{kind} is not audio. Accepted: WAV, RF64, AIFF, FLAC, Ogg Vorbis") as raised:
        wanted({**BODY, "contentType": kind})
    assert raised.value.kind.status == 415


@pytest.mark.parametrize("kind", ["audio/mp4", "audio/aac", "audio/x-m4a", "audio/midi", "audio/x-ms-wma", "AUDIO/MP4"])
def test_audio_that_is_not_read_is_refused_and_told_what_to_do(kind: str) -> None:
    with pytest.raises(Problem, match="export the track in another format"):
        wanted({**BODY, "contentType": kind})


@pytest.mark.parametrize(
    "kind",
    [
        *("audio/wav", "audio/x-wav", "audio/vnd.wave", "audio/aiff", "audio/x-aiff", "audio/flac", "audio/x-flac"),
        *("audio/ogg", "audio/opus", "application/ogg", "audio/mpeg", "audio/mp3", "application/octet-stream"),
    ],
)
def test_every_type_that_what_is_read_is_called_by_is_taken(kind: str) -> None:
    assert wanted({**BODY, "contentType": kind}).content_type == kind


def test_checksums_are_taken_in_the_form_of_cloud_storage_and_hexadecimal() -> None:
    upload = wanted({**BODY, "crc32c": "yZRlqg==", "sha256": "AB" * 32})
    assert (upload.crc32c, upload.sha256) == ("yZRlqg==", "ab" * 32)


@pytest.mark.parametrize(
    "crc32c", ["", "yZRlqg", "yZRlqg==\n", "yZRlqh==", "yZRlqg====", "AAAA", "c99465aa", "é", 5, []]
)
def test_a_checksum_in_another_form_is_refused(crc32c: Any) -> None:
    with pytest.raises(Problem, match="crc32c must be"):
        wanted({**BODY, "crc32c": crc32c})
    with pytest.raises(Problem, match="sha256 must be"):
        wanted({**BODY, "sha256": crc32c})


@given(st.binary(min_size=4, max_size=4))
def test_every_crc32c_can_be_said(checksum: bytes) -> None:
    text = base64.b64encode(checksum).decode()
    assert wanted({**BODY, "crc32c": text}).crc32c == text


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
    [
        *(b"", b"RIFF", b"RIFF\0\0\0\0AVI LIST", b"Dear diary", b"OggS" + b"\0" * 60, b"\xff\xff\xff\xff", b"\0" * 64),
        *(
            b"ID3",
            b"ID3 is a kind of tag",
            b"ID3\x04\x00\x00\x00\x00\xff\x00",
            b"\xff\xfeU\0T\0F\0",
            b"\xff\xf1\x50\x80",
        ),
        *(
            b"%PDF-1.7",
            b"PK\x03\x04",
            b"\x89PNG\r\n\x1a\n",
            b"\0\0\0\x20ftypM4A ",
            b"MThd\0\0\0\x06",
            b"GIF89a",
            b"\x7fELF",
        ),
    ],
)
def test_what_is_not_audio_is_not_taken_for_it(start: bytes) -> None:
    assert audio_format(start) is None


def test_mp3_is_known_with_a_tag_before_it_and_without() -> None:
    assert audio_format(b"ID3\x03\x00\x00\x00\x00\x0f\x76" + bytes(54)) == "mp3"
    assert audio_format(b"ID3\x04\x00\x80\x00\x00\x0f\x76" + bytes(54)) == "mp3"
    assert audio_format(b"\xff\xfb\x90\x64" + bytes(60)) == "mp3"
    assert audio_format(b"\xff\xf3\x40\xc0" + bytes(60)) == "mp3"  # MPEG-2


@given(st.binary(max_size=START_BYTES))
def test_no_bytes_at_all_make_the_check_fail(start: bytes) -> None:
    assert audio_format(start) in {None, "wav", "aiff", "flac", "ogg", "mp3"}
