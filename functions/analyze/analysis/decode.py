"""Opens a file and reads it as float samples, through libsndfile."""

from __future__ import annotations

from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile
from numpy.typing import NDArray

from analysis.container import ends_early, refused_format
from analysis.errors import AnalysisError
from analysis.joined import FirstPart, another_follows, first_part_bytes, mp3_head
from analysis.layout import channel_weights
from analysis.pcm import ffi, reader, snd
from analysis.stderr import c_stderr_muted

ACCEPTED = {"WAV": "WAV", "WAVEX": "WAV", "RF64": "WAV", "AIFF": "AIFF", "FLAC": "FLAC", "OGG": "OGG", "MP3": "MP3"}
_ADVICE = "Accepted are WAV, AIFF, FLAC, MP3 and OGG (Vorbis or Opus)."

# Beyond +120 dBFS nothing is audio any more, and squares would overflow.
INSANE = 1e6

# Sound Vorbis and Opus files may give a little less than they claim: up to 0.14 s among a hundred files of games.
_OGG_SHORTFALL_S = 0.25

_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 64}
_SFC_GET_CHANNEL_MAP_INFO = 0x1100
_SF_CHANNEL_MAP_LAST = 27


class Decoder:
    """An open file. `frames` is only what the header claims; what is there shows when it is read."""

    def __init__(self, path: Path) -> None:
        """Raises AnalysisError: `empty`, `unreadable`."""
        self.size_bytes = _size(path)
        self.frames_read = 0
        self.replaced = 0
        self._failed = False
        with ExitStack() as opened:
            self._file: FileIO = opened.enter_context(path.open("rb", buffering=0))
            opened.enter_context(c_stderr_muted())
            self._first_bytes = first_part_bytes(self._file)
            self._sound = opened.enter_context(_open(self._file, self._first_bytes))
            self._opened = opened.pop_all()
        self.format = ACCEPTED[self._sound.format]
        self.codec: str = self._sound.subtype
        self.bit_depth = _BITS.get(self.codec)
        self.sample_rate_hz: int = self._sound.samplerate
        self.channels: int = self._sound.channels
        self.frames: int = self._sound.frames
        self._read = reader(self._sound)
        self.from_integers = self.codec.startswith("PCM_")
        """Then every sample is finite, within full scale, and zero or at least 2**-31."""

    def __enter__(self) -> Decoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def channel_weights(self) -> tuple[float, ...]:
        return channel_weights(self.channels, vorbis_order=self.format == "OGG", channel_map=self._channel_map())

    def read_into(self, buffer: NDArray[np.float32]) -> int:
        """Fills (frames, channels) from its start; returns how many frames, 0 at the end or where damage begins.

        Samples that are not finite, or beyond ±INSANE, become 0 and are counted in `replaced`.
        """
        got = self._read(buffer)
        self._failed = self._failed or snd.sf_error(self._sound._file) != 0
        self.frames_read += got
        if not self.from_integers:
            self.replaced += _replace_insane(buffer[:got])
        return got

    def joined(self) -> bool:
        """Whether another track stands behind the one that is read; asked after the last read."""
        return self._first_bytes is not None or another_follows(self._file, self.size_bytes, self._sound.format)

    def truncated(self) -> bool:
        """Whether something of the track is missing or could not be decoded; asked after the last read."""
        if self._failed or ends_early(self._file, self.size_bytes, self._sound.format):
            return True
        if self.format == "MP3" and mp3_head(self._file) is None:
            return False
        spared = _OGG_SHORTFALL_S * self.sample_rate_hz if self.format == "OGG" else 0
        return self.frames_read < self.frames - spared

    def _channel_map(self) -> list[int] | None:
        """From the mask of WAVE_FORMAT_EXTENSIBLE. libsndfile answers for AIFF too, with uninitialised memory."""
        if self._sound.format not in {"WAVEX", "RF64"}:
            return None
        positions = ffi.new("int[]", self.channels)
        size = ffi.sizeof(positions)
        if not snd.sf_command(self._sound._file, _SFC_GET_CHANNEL_MAP_INFO, positions, size):
            return None
        found = list(positions)
        return found if all(0 < position < _SF_CHANNEL_MAP_LAST for position in found) else None


def _size(path: Path) -> int:
    if not path.is_file():
        raise AnalysisError("unreadable", f"{path.name} is not a file.")
    size = path.stat().st_size
    if size == 0:
        raise AnalysisError("empty", "The file has no bytes. Export or upload it again.")
    return size


def _open(file: FileIO, first_bytes: int | None) -> soundfile.SoundFile:
    """By content only: opened by number, libsndfile sees no name, and the same bytes are the same track.

    first_bytes: how many to show, where another track follows; with both before it libsndfile gives up.
    """
    file.seek(0)
    head = file.read(16)
    file.seek(0)
    refused = refused_format(head)
    if refused:
        raise AnalysisError("unreadable", f"The file is {refused}, which cannot be read. {_ADVICE}")
    try:
        if first_bytes is None:
            sound = soundfile.SoundFile(file.fileno(), closefd=False)
        else:
            sound = soundfile.SoundFile(FirstPart(file, first_bytes))
    except (soundfile.SoundFileError, TypeError, ValueError) as error:
        raise AnalysisError("unreadable", f"The file is damaged, or no audio at all. {_ADVICE}") from error
    if sound.format not in ACCEPTED:
        sound.close()
        raise AnalysisError("unreadable", f"The file is {sound.format}, which is not accepted. {_ADVICE}")
    return sound


def _replace_insane(samples: NDArray[np.float32]) -> int:
    flat = samples.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        if float(np.dot(flat, flat)) < INSANE**2:  # false for NaN, too
            return 0
    bad = ~(np.abs(flat) < INSANE)
    flat[bad] = 0
    return int(np.count_nonzero(bad))
