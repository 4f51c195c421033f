"""Whatever the file, there is a result that says what is wrong with it, or an error that says what to do."""

from __future__ import annotations

import ctypes
import functools
import importlib
import json
import struct
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from analysis import engine
from analysis.decode import Decoder
from analysis.engine import MEASURES, analyse
from analysis.errors import AnalysisError
from analysis.layout import channel_weights
from analysis.measures.base import block_frames
from analysis.stderr import c_stderr_muted
from analysis.stream import Limits
from tests.unit.signals import noise, only, song, spread, tone, written

FORMATS: dict[str, tuple[str, dict[str, Any], tuple[str, str, int | None]]] = {
    "wav": ("song.wav", {"subtype": "PCM_16"}, ("WAV", "PCM_16", 16)),
    "wav of 24 bits": ("song.wav", {"subtype": "PCM_24"}, ("WAV", "PCM_24", 24)),
    "wav of floats": ("song.wav", {"subtype": "FLOAT"}, ("WAV", "FLOAT", 32)),
    "rf64": ("song.wav", {"subtype": "PCM_16", "format": "RF64"}, ("WAV", "PCM_16", 16)),
    "aiff": ("song.aiff", {"subtype": "PCM_16"}, ("AIFF", "PCM_16", 16)),
    "flac": ("song.flac", {"subtype": "PCM_24"}, ("FLAC", "PCM_24", 24)),
    "mp3": ("song.mp3", {}, ("MP3", "MPEG_LAYER_III", None)),
    "vorbis": ("song.ogg", {"subtype": "VORBIS"}, ("OGG", "VORBIS", None)),
    "opus": ("song.ogg", {"subtype": "OPUS"}, ("OGG", "OPUS", None)),
}
SIMPLE = ("loudness", "dynamics")


def in_format(folder: Path, name: str) -> Path:
    path = folder / FORMATS[name][0]
    path.write_bytes(_content_in_format(name))
    return path


@functools.cache
def _content_in_format(name: str) -> bytes:
    file, options, _ = FORMATS[name]
    rate = 48_000 if name == "opus" else 44_100
    with tempfile.TemporaryDirectory() as folder:
        return written(Path(folder) / file, song(5, rate), rate, **options).read_bytes()


@pytest.mark.parametrize("name", FORMATS)
def test_every_accepted_format_is_measured_and_named(name: str, tmp_path: Path) -> None:
    path = in_format(tmp_path, name)
    result = analyse(path, measures=SIMPLE)
    file = result["file"]
    assert (file["format"], file["codec"], file["bitDepth"]) == FORMATS[name][2]
    assert file["truncated"] is False
    assert file["channels"] == 2
    assert file["durationS"] == pytest.approx(5, abs=0.06)
    assert file["sizeBytes"] == path.stat().st_size
    assert result["loudness"]["integratedLufs"] == pytest.approx(-12, abs=4)
    assert ("file.bitDepth" in result["notes"]) == (file["bitDepth"] is None)


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_in_half_gives_what_is_there_and_is_flagged(name: str, tmp_path: Path) -> None:
    path = in_format(tmp_path, name)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    result = analyse(path, measures=SIMPLE)
    assert result["file"]["truncated"] is True
    assert "file.truncated" in result["notes"]
    assert 1 < result["file"]["durationS"] < 4
    assert result["loudness"]["integratedLufs"] is not None


@pytest.mark.parametrize("kind", ["WAV", "AIFF"])
def test_a_file_whose_samples_are_fewer_than_promised_is_flagged_though_its_size_is_right(
    kind: str, tmp_path: Path
) -> None:
    content = bytearray(written(tmp_path / "track", song(5), subtype="PCM_16", format=kind).read_bytes())
    del content[len(content) // 2 :]
    content[4:8] = struct.pack("<I" if kind == "WAV" else ">I", len(content) - 8)
    file = file_of(tmp_path, bytes(content))
    assert file["truncated"] is True
    assert file["durationS"] == pytest.approx(2.5, abs=0.01)


def test_a_wav_whose_writer_never_knew_its_length_is_not_called_cut(tmp_path: Path) -> None:
    content = bytearray(in_format(tmp_path, "wav").read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    file = file_of(tmp_path, bytes(content))
    assert file["durationS"] == pytest.approx(5)
    assert file["truncated"] is False


@pytest.mark.parametrize("name", FORMATS)
def test_of_two_files_joined_the_first_is_measured_and_what_is_missing_is_said(name: str, tmp_path: Path) -> None:
    path = in_format(tmp_path, name)
    whole = path.read_bytes()
    alone = analyse(path, measures=SIMPLE)
    path.write_bytes(whole + whole)
    joined = analyse(path, measures=SIMPLE)
    assert joined["file"]["truncated"] is True
    assert "file.truncated" in joined["notes"]
    assert {section: joined[section] for section in SIMPLE} == {section: alone[section] for section in SIMPLE}


@pytest.mark.parametrize("second", ["wav", "rf64", "aiff", "flac", "vorbis"])
@pytest.mark.parametrize("first", ["wav", "aiff", "mp3"])
def test_a_file_of_another_format_joined_on_is_missed_too(first: str, second: str, tmp_path: Path) -> None:
    content = in_format(tmp_path, first).read_bytes() + in_format(tmp_path, second).read_bytes()
    file = file_of(tmp_path, content)
    assert file["truncated"] is True
    assert file["durationS"] == pytest.approx(5, abs=0.06)


TAIL = {"padding": bytes(9000), "text": b"made with love " * 600, "id3v1": b"TAG" + b"a" * 125}


@pytest.mark.parametrize("tail", TAIL)
@pytest.mark.parametrize("name", ["wav", "rf64", "aiff", "mp3", "vorbis"])
def test_tags_and_padding_behind_a_whole_file_are_not_missed(name: str, tail: str, tmp_path: Path) -> None:
    assert file_of(tmp_path, in_format(tmp_path, name).read_bytes() + TAIL[tail])["truncated"] is False


def file_of(folder: Path, content: bytes) -> dict[str, Any]:
    path = folder / "track"
    path.write_bytes(content)
    file: dict[str, Any] = analyse(path, measures=())["file"]
    return file


def m4a() -> bytes:
    return struct.pack(">I4s4s", 24, b"ftyp", b"M4A ") + bytes(500)


BAD: dict[str, tuple[bytes, str, str]] = {
    "no bytes": (b"", "empty", "no bytes"),
    "random bytes": (bytes(np.random.default_rng(1).integers(0, 256, 5000, np.uint8)), "unreadable", "WAV, AIFF"),
    "text": (b"hello, this is not a song\n" * 50, "unreadable", "WAV, AIFF"),
    "an M4A file": (m4a(), "unreadable", "M4A"),
    "an AAC stream": (b"\xff\xf1\x50\x80" * 500, "unreadable", "AAC"),
    "a FLAC header alone": (b"fLaC" + bytes(4), "unreadable", "damaged"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_audio_is_refused_with_a_reason(name: str, tmp_path: Path) -> None:
    content, code, words = BAD[name]
    path = tmp_path / "track.mp3"
    path.write_bytes(content)
    with pytest.raises(AnalysisError) as caught:
        analyse(path)
    assert caught.value.code == code
    assert words in caught.value.detail


def test_a_file_without_a_sample_is_empty(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError) as caught:
        analyse(written(tmp_path / "nothing.wav", np.zeros((0, 2), np.float32)))
    assert caught.value.code == "empty"


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: None], ids=["a folder", "a missing file"])
def test_what_is_no_file_is_unreadable(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "track")
    with pytest.raises(AnalysisError) as caught:
        analyse(tmp_path / "track")
    assert caught.value.code == "unreadable"


@pytest.mark.parametrize(
    ("channels", "rate", "limits", "code"),
    [
        (9, 44_100, Limits(), "too-many-channels"),
        (2, 4_000, Limits(), "unsupported-rate"),
        (2, 384_000, Limits(), "unsupported-rate"),
        (2, 44_100, Limits(max_frames_x_channels=2 * 44_100), "too-long"),
        (2, 44_100, Limits(max_wall_s=0), "too-slow"),
    ],
)
def test_limits_are_kept(channels: int, rate: int, limits: Limits, code: str, tmp_path: Path) -> None:
    path = written(tmp_path / "track.wav", noise(2, rate, channels), rate)
    before = threading.active_count()
    with pytest.raises(AnalysisError) as caught:
        analyse(path, limits=limits)
    assert caught.value.code == code
    assert threading.active_count() <= before + 1  # the digest may still be at it


def test_samples_that_are_no_numbers_count_as_silence_and_are_noted(tmp_path: Path) -> None:
    audio = tone(-20, 4, 44_100)
    audio[1000], audio[2000], audio[3000, 0], audio[4000, 1] = np.nan, np.inf, -np.inf, 1e30
    result = analyse(written(tmp_path / "track.wav", audio, subtype="FLOAT"))
    assert result["notes"]["file"] == "6 samples were not finite or beyond ±1e+06 and counted as silence"
    assert result["loudness"]["integratedLufs"] == pytest.approx(-20, abs=0.1)
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize(
    "audio",
    [np.zeros((44_100 * 5, 2), np.float32), np.zeros((1, 1), np.float32), np.full((3, 8), 0.5, np.float32)],
    ids=["silence", "one sample", "three samples of eight channels"],
)
@pytest.mark.parametrize("rate", [8_000, 44_100, 192_000])
def test_every_null_has_a_note_and_nothing_is_nan(audio: Any, rate: int, tmp_path: Path) -> None:
    result = analyse(written(tmp_path / "track.wav", audio, rate))
    json.dumps(result, allow_nan=False)
    notes = result.pop("notes")
    result["loudness"].pop("shortTermSeries")
    result["dynamics"]["clipping"].pop("firstS")
    for section in result.keys() & MEASURES.keys():
        for key, value in result[section].items():
            inner = value.items() if isinstance(value, dict) else ((None, value),)
            for name, one in inner:
                if one is None:
                    noted = {f"{section}.{key}", f"{section}.{key}.{name}"} & notes.keys()
                    assert noted, f"{section}.{key}.{name} is null without a reason"


@pytest.mark.parametrize(
    "faint", [1e-40, 1e-30, 1e-12], ids=["denormal", "whose squares are denormal", "below -200 dBFS"]
)
def test_what_is_fainter_than_200_db_counts_as_silence(faint: float, tmp_path: Path) -> None:
    audio = song(5)
    fading, ending = audio.copy(), audio.copy()
    fading[100_000:] *= np.float32(faint)
    ending[100_000 // 32 * 32 + 32 :] = 0
    ending[100_000 : 100_000 // 32 * 32 + 32] = fading[100_000 : 100_000 // 32 * 32 + 32]
    results = [
        analyse(written(tmp_path / f"{name}.wav", one, subtype="FLOAT"))
        for name, one in (("fading", fading), ("ending", ending))
    ]
    for result in results:
        del result["contentSha256"]
    assert results[0] == results[1]


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "PCM_U8", "FLOAT"])
@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "AIFF"])
@pytest.mark.parametrize("channels", [1, 3])
def test_samples_are_those_that_libsndfile_gives(kind: str, subtype: str, channels: int, tmp_path: Path) -> None:
    if subtype == "PCM_U8" and kind == "AIFF":
        subtype = "PCM_S8"
    audio = np.random.default_rng(1).uniform(-1.1, 1.1, (1000, channels)).astype(np.float32)
    path = written(tmp_path / "track", audio, subtype=subtype, format=kind)
    read = np.empty((1500, channels), np.float32)
    with Decoder(path) as decoder:
        assert [decoder.read_into(read[at : at + 700]) for at in (0, 700)] == [700, 300]
    assert np.array_equal(read[:1000], soundfile.read(path, dtype="float32", always_2d=True)[0])


def test_a_block_of_many_channels_takes_no_more_memory_than_one_of_two() -> None:
    for rate in (8_000, 44_100, 48_000, 88_200, 96_000, 192_000):
        assert 8 * block_frames(rate, 8) <= 2.4 * block_frames(rate, 2)


def test_24_bits_that_carry_16_are_found_out(tmp_path: Path) -> None:
    coarse = (np.round(song(2) * 32767) / 32768).astype(np.float32)
    assert _used_bits(written(tmp_path / "padded.wav", coarse, subtype="PCM_24")) == (24, 16)
    assert _used_bits(written(tmp_path / "float.wav", coarse, subtype="FLOAT")) == (32, 16)
    assert _used_bits(written(tmp_path / "true.wav", song(2), subtype="PCM_24")) == (24, 24)
    assert _used_bits(written(tmp_path / "truefloat.wav", song(2), subtype="FLOAT")) == (32, 32)
    assert _used_bits(written(tmp_path / "8in16.wav", (np.round(coarse * 100) / 128).astype(np.float32))) == (16, 8)
    assert _used_bits(written(tmp_path / "none.wav", coarse * 0)) == (16, None)


def _used_bits(path: Path) -> tuple[int, int | None]:
    file = analyse(path, measures=())["file"]
    return file["bitDepth"], file["effectiveBitDepth"]


def test_a_damaged_mp3_says_nothing_on_standard_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = in_format(tmp_path, "mp3")
    content = bytearray(path.read_bytes()[:-1500])
    for at in range(3000, len(content), 1500):
        content[at] ^= 0xFF
    path.write_bytes(content)
    capfd.readouterr()
    analyse(path, measures=SIMPLE)
    assert capfd.readouterr().err == ""


def test_standard_error_is_cs_own_again_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    c = ctypes.CDLL(None)
    with c_stderr_muted(), c_stderr_muted():
        c.perror(b"muted")
    c.perror(b"heard")
    err = capfd.readouterr().err
    assert "heard" in err
    assert "muted" not in err


def test_progress_rises_to_one_and_an_exception_in_it_stops_the_analysis(tmp_path: Path) -> None:
    path = written(tmp_path / "track.wav", noise(8))
    told: list[float] = []
    analyse(path, measures=SIMPLE, on_progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) > 4

    class Cancelled(Exception):  # noqa: N818
        pass

    def stop(_: float) -> None:
        raise Cancelled

    before = threading.active_count()
    with pytest.raises(Cancelled):
        analyse(path, on_progress=stop)
    assert threading.active_count() <= before + 1


def test_what_a_measure_raises_reaches_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from analysis.measures.waveform import Waveform

    def fail(self: Waveform, block: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Waveform, "feed", fail)
    with pytest.raises(ZeroDivisionError):
        analyse(written(tmp_path / "track.wav", noise(8)))


def test_a_measure_not_asked_for_is_not_even_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def recorded(name: str) -> Any:
        asked.append(name)
        return importlib.import_module(name)

    monkeypatch.setattr(engine, "importlib", type("Recorder", (), {"import_module": staticmethod(recorded)}))
    analyse(written(tmp_path / "track.wav", noise(1)), measures=["waveform", "loudness"])
    assert asked == ["analysis.measures.loudness", "analysis.measures.waveform"]


def test_a_measure_that_does_not_exist_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such measure: loudnes; there are loudness"):
        analyse(tmp_path / "track.wav", measures=["loudnes"])


@pytest.mark.parametrize(
    ("channels", "vorbis", "mask", "weights"),
    [
        (1, False, None, (1.0,)),
        (2, False, None, (1.0, 1.0)),
        (3, False, None, (1.0, 1.0, 1.0)),
        (5, False, None, (1.0, 1.0, 1.0, 1.41, 1.41)),
        (6, False, None, (1.0, 1.0, 1.0, 0.0, 1.41, 1.41)),
        (6, True, None, (1.0, 1.0, 1.0, 1.41, 1.41, 0.0)),
        (8, False, None, (1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.41, 1.41)),
        (6, False, [2, 3, 11, 4, 14, 15], (1.0, 1.0, 0.0, 1.0, 1.41, 1.41)),
        (4, False, [2, 3, 4, 10], (1.0, 1.0, 1.0, 1.41)),
    ],
)
def test_channels_are_weighted_by_their_loudspeaker(
    channels: int, vorbis: bool, mask: list[int] | None, weights: tuple[float, ...]
) -> None:
    assert channel_weights(channels, vorbis_order=vorbis, channel_map=mask) == weights


@pytest.mark.parametrize(("kind", "lfe"), [("flac", 3), ("wav", 3), ("ogg", 5)])
def test_the_lfe_of_a_5_1_file_is_not_heard_wherever_the_format_has_it(kind: str, lfe: int, tmp_path: Path) -> None:
    audio = only(lfe, 6, tone(-10, 3, 48_000, hz=60))
    path = written(tmp_path / f"surround.{kind}", audio, 48_000)
    loudness = analyse(path, measures=["loudness"])["loudness"]["integratedLufs"]
    assert loudness is None or loudness < -60


def test_a_channel_mask_is_obeyed(tmp_path: Path) -> None:
    path = tmp_path / "mask.wav"
    soundfile.write(path, spread(tone(-20, 3)[:, 0], 2), 48_000, format="WAVEX", subtype="PCM_16")
    content = bytearray(path.read_bytes())
    mask_at = content.index(b"fmt ") + 8 + 20
    content[mask_at : mask_at + 4] = struct.pack("<I", 0x1 | 0x8)  # left, LFE
    path.write_bytes(content)
    assert analyse(path, measures=["loudness"])["loudness"]["integratedLufs"] == pytest.approx(-23.01, abs=0.1)
