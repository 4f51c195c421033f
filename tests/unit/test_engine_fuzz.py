"""Damaged files of every format: no crash, no hang, no NaN; each gives a result or a typed error.

PRODAI_FUZZ_FILES sets how many (2,000 take some minutes); a file is made from its number, so a failure can be repeated.
"""

from __future__ import annotations

import json
import os
import resource
import time
from pathlib import Path

import numpy as np
import pytest

from analysis.engine import analyse
from analysis.errors import AnalysisError
from tests.unit.signals import song, written

FILES = int(os.environ.get("PRODAI_FUZZ_FILES", "60"))
CODES = {"unreadable", "empty", "too-long", "too-many-channels", "unsupported-rate"}
SLOWEST_S = 30.0
MOST_GROWTH_MIB = 96
KINDS = ("wav", "aiff", "flac", "mp3", "ogg", "wav24", "wavfloat", "opus", "surround", "id3")


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("originals")
    audio = song(2.5)
    files = {kind: written(folder / f"a.{kind}", audio).read_bytes() for kind in KINDS[:5]}
    files["wav24"] = written(folder / "b.wav", audio, subtype="PCM_24", format="WAVEX").read_bytes()
    files["wavfloat"] = written(folder / "c.wav", audio, subtype="FLOAT").read_bytes()
    files["opus"] = written(folder / "d.ogg", audio, 48_000, subtype="OPUS").read_bytes()
    files["surround"] = written(folder / "e.flac", song(2.5, channels=6)).read_bytes()
    files["id3"] = b"ID3\x03\x00\x00\x00\x00\x10\x00" + bytes(2048) + files["mp3"]
    return files


def mutated(originals: dict[str, bytes], number: int) -> bytes:
    rng = np.random.default_rng(number)
    content = bytearray(originals[KINDS[number % len(KINDS)]])
    for _ in range(rng.integers(1, 4)):
        change = rng.integers(8)
        size = len(content)
        at = int(rng.integers(size)) if size else 0
        span = int(rng.integers(1, max(2, size // 4)))
        if change == 0:  # header bytes
            for _ in range(rng.integers(1, 6)):
                content[int(rng.integers(min(size, 120)))] = rng.integers(256)
        elif change == 1:  # bytes anywhere
            for _ in range(rng.integers(1, 60)):
                content[int(rng.integers(size))] ^= 1 << int(rng.integers(8))
        elif change == 2:  # a cut
            del content[max(1, at) :]
        elif change == 3:  # a beheaded file
            del content[: min(at, size - 1)]
        elif change == 4:  # a hole
            content[at : at + span] = bytes(len(content[at : at + span]))
        elif change == 5:  # another file joined on
            content += originals[KINDS[int(rng.integers(len(KINDS)))]][: span * 2]
        elif change == 6:  # noise put in
            content[at:at] = rng.integers(0, 256, min(span, 4000), np.uint8).tobytes()
        else:  # a size or count at its extreme
            place = int(rng.integers(max(1, min(size, 80) - 4)))
            content[place : place + 4] = (b"\xff\xff\xff\xff", bytes(4), b"\x00\x00\x00\x80")[int(rng.integers(3))]
    return bytes(content)


def test_damaged_files_give_a_result_or_a_typed_error(originals: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "track"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    measured = 0
    for number in range(FILES):
        path.write_bytes(mutated(originals, number))
        started = time.monotonic()
        try:
            result = analyse(path)
        except AnalysisError as error:
            assert error.code in CODES, f"file {number}: {error.code}"
            assert len(error.detail) > 20, f"file {number}"
        else:
            measured += 1
            json.dumps(result, allow_nan=False)
            assert result["file"]["durationS"] > 0, f"file {number}"
        assert time.monotonic() - started < SLOWEST_S, f"file {number} took too long"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MOST_GROWTH_MIB, f"{grown:.0f} MiB more"
    assert FILES / 4 < measured < FILES
