"""Reads an open sound into float samples, through the quickest of libsndfile's ways.

libsndfile turns integers into floats one by one; numpy does it in a fifth of the time. So WAV and AIFF are read as the
integers they hold, and 24-bit WAV as its bytes. The values are the same: an integer times a power of two. Everything
else comes from libsndfile as floats.

libsndfile is called directly, without `SoundFile.read`: that one seeks after every call, which doubles the time of MP3
and FLAC, and drops the good samples of a call that meets damage. The names used are private to soundfile, whose version
is pinned; a test would notice a change.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import soundfile
from numpy.typing import DTypeLike, NDArray

snd: Any = soundfile._snd
ffi: Any = soundfile._ffi

Floats = NDArray[np.float32]
Read = Callable[[Floats], int]
"""Fills (frames, channels), C-contiguous, from its start; returns how many frames."""

_CONTAINERS = {"WAV", "WAVEX", "RF64", "AIFF"}
_WHOLE: dict[str, tuple[DTypeLike, str]] = {"PCM_16": (np.int16, "short"), "PCM_32": (np.int32, "int")}


def reader(sound: soundfile.SoundFile) -> Read:
    if sound.format in _CONTAINERS and sound.subtype in _WHOLE:
        return _integers(sound)
    little_endian = sys.byteorder == "little" and sound.endian != "BIG"
    if sound.format in _CONTAINERS - {"AIFF"} and sound.subtype == "PCM_24" and little_endian:
        return _packed_24(sound)
    return _floats(sound)


def _floats(sound: soundfile.SoundFile) -> Read:
    def read(buffer: Floats) -> int:
        pointer = ffi.cast("float *", ffi.from_buffer(buffer))
        return int(snd.sf_readf_float(sound._file, pointer, len(buffer)))

    return read


def _integers(sound: soundfile.SoundFile) -> Read:
    kind, c_type = _WHOLE[sound.subtype]
    read_frames = getattr(snd, f"sf_readf_{c_type}")
    scale = np.float32(2.0 ** (1 - 8 * np.dtype(kind).itemsize))
    held = np.empty(0, kind)

    def read(buffer: Floats) -> int:
        nonlocal held
        if held.size < buffer.size:
            held = np.empty(buffer.size, kind)
        got: int = read_frames(sound._file, ffi.cast(f"{c_type} *", ffi.from_buffer(held)), len(buffer))
        filled = buffer[:got].reshape(-1)
        filled[...] = held[: filled.size]
        filled *= scale
        return got

    return read


def _packed_24(sound: soundfile.SoundFile) -> Read:
    """Looks at every three bytes as the low ones of a 32-bit integer; the shift drops the fourth, a neighbour's."""
    held = np.empty(0, np.uint8)
    shifted = np.empty(0, np.int32)
    frame_bytes = 3 * sound.channels
    scale = np.float32(2.0**-31)

    def read(buffer: Floats) -> int:
        nonlocal held, shifted
        if shifted.size < buffer.size:
            held, shifted = np.zeros(3 * buffer.size + 1, np.uint8), np.empty(buffer.size, np.int32)
        pointer = ffi.cast("void *", ffi.from_buffer(held))
        got: int = snd.sf_read_raw(sound._file, pointer, len(buffer) * frame_bytes) // frame_bytes
        filled = buffer[:got].reshape(-1)
        packed = np.ndarray((filled.size,), np.int32, held.data, strides=(3,))
        filled[...] = np.left_shift(packed, 8, out=shifted[: filled.size])
        filled *= scale
        return got

    return read
