"""Damaged and malicious files: no crash, no hang, no NaN, no flood of memory; each gives a result or a typed error.

PRODAI_FUZZ_FILES sets how many (2,000 take some minutes); a file is made from its number, so a failure can be repeated.
With 1,000 and more, the file that decodes to hours meets the limits of production in full; the suite's meets a part.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from analysis.engine import analyse
from analysis.errors import AnalysisError
from analysis.stream import Limits
from tests.unit.signals import song, written

FILES = int(os.environ.get("PRODAI_FUZZ_FILES", "60"))
CODES = {"unreadable", "empty", "too-long", "too-many-channels", "unsupported-rate"}
SLOWEST_S = 30.0
MOST_GROWTH_MIB = 96
BOMB_SHARE = 1 if FILES >= 1000 else 24
BOMB_RATE_HZ, BOMB_BLOCK = 8_000, 65_535
MOST_MIB_OF_A_BOMB = 128
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


BOMBED = """
import json, resource, sys
from analysis.engine import analyse
from analysis.errors import AnalysisError
from analysis.stream import Limits
try:
    code = analyse(sys.argv[1], measures=("loudness",), limits=Limits(int(sys.argv[2])))["file"]
except AnalysisError as error:
    code = error.code
print(json.dumps([code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def test_a_small_file_that_decodes_to_hours_is_refused_while_reading_and_in_little_memory(tmp_path: Path) -> None:
    most_frames = Limits().max_frames_x_channels // BOMB_SHARE
    path = tmp_path / "bomb.flac"
    path.write_bytes(flac_of_silence(most_frames // BOMB_BLOCK + 2))
    assert path.stat().st_size < 400_000
    assert most_frames > 1.5 * 3600 * BOMB_RATE_HZ
    between = ["sh", "-c", '"$@" && :', "sh"]  # a process's peak memory counts from what its parent had
    command = [*between, sys.executable, "-c", BOMBED, str(path), str(most_frames)]
    code, peak_mib = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert code == "too-long"
    assert peak_mib < MOST_MIB_OF_A_BOMB


def flac_of_silence(blocks: int) -> bytes:
    """Mono, 16 bits, of blocks as long as they may be (RFC 9639), 15 bytes each: all the same one."""
    packed = BOMB_RATE_HZ << 44 | 15 << 36  # one channel, length unknown
    information = BOMB_BLOCK.to_bytes(2, "big") * 2 + bytes(6) + packed.to_bytes(8, "big") + bytes(16)
    head = bytes((0xFF, 0xF8, 0x74, 0x08, 0)) + (BOMB_BLOCK - 1).to_bytes(2, "big")
    block = head + bytes((crc(head, 0x07, 8),)) + bytes(3)  # a subframe that is constant, and its value
    block += crc(block, 0x8005, 16).to_bytes(2, "big")
    return b"fLaC\x80" + len(information).to_bytes(3, "big") + information + block * blocks


def crc(content: bytes, polynomial: int, bits: int) -> int:
    value = 0
    for byte in content:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = value << 1 ^ (polynomial if value >> (bits - 1) else 0)
            value &= (1 << bits) - 1
    return value
