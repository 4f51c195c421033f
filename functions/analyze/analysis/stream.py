"""From a decoder to blocks of one length, read ahead by a thread, within limits."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from analysis.decode import Decoder
from analysis.errors import AnalysisError
from analysis.measures.base import Block, Samples, Stream, block_frames
from analysis.measures.cells import silence_faint_cells

_AHEAD = 1


@dataclass(frozen=True)
class Limits:
    """What is refused, judged by what was read and never by what a header says, but for channels and rate."""

    max_frames_x_channels: int = 1_050_000_000  # three hours of stereo at 48 kHz
    max_wall_s: float = 240.0
    max_channels: int = 8
    min_rate_hz: int = 8_000
    max_rate_hz: int = 192_000


def stream_of(decoder: Decoder, limits: Limits) -> Stream:
    """Raises AnalysisError: `too-many-channels`, `unsupported-rate`."""
    if decoder.channels > limits.max_channels:
        detail = f"The file has {decoder.channels} channels; at most {limits.max_channels} can be measured."
        raise AnalysisError("too-many-channels", f"{detail} Export a stereo mix.")
    rate = decoder.sample_rate_hz
    if not limits.min_rate_hz <= rate <= limits.max_rate_hz:
        detail = f"The sample rate is {rate} Hz; {limits.min_rate_hz} to {limits.max_rate_hz} Hz can be measured."
        raise AnalysisError("unsupported-rate", f"{detail} Export at 44100 or 48000 Hz.")
    return Stream(rate, decoder.channels, decoder.channel_weights())


def blocks(decoder: Decoder, limits: Limits, read_frames: int) -> Generator[Block, None, None]:
    """The whole track. Decoding runs ahead in a thread; libsndfile and numpy both work without the interpreter's lock.

    read_frames: how many frames to ask the decoder for at once, at most; it changes no block.
    Close the generator before the decoder: that stops the thread.
    Raises AnalysisError: `too-long`, `too-slow`.
    """
    deadline = time.monotonic() + limits.max_wall_s
    ahead = _ReadAhead(decoder, block_frames(decoder.sample_rate_hz, decoder.channels), read_frames)
    start = 0
    try:
        while (samples := ahead.next(deadline)) is not None:
            if (start + len(samples)) * decoder.channels > limits.max_frames_x_channels:
                minutes = limits.max_frames_x_channels / decoder.channels / decoder.sample_rate_hz / 60
                detail = (
                    f"The track is longer than the {minutes:.0f} minutes that can be measured. Upload a shorter one."
                )
                raise AnalysisError("too-long", detail)
            block = Block(samples, start)
            if not decoder.from_integers:
                silence_faint_cells(block)
            yield block
            start += len(samples)
    finally:
        ahead.stop()


class _ReadAhead:
    """A thread that fills blocks; stopped, it ends after the read it is in."""

    def __init__(self, decoder: Decoder, size: int, read_frames: int) -> None:
        self._decoder, self._size, self._read_frames = decoder, size, read_frames
        self._filled: queue.Queue[Samples | BaseException | None] = queue.Queue(_AHEAD)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="decode", daemon=True)
        self._thread.start()

    def next(self, deadline: float) -> Samples | None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise _too_slow()
        try:
            item = self._filled.get(timeout=left_s)
        except queue.Empty:
            raise _too_slow() from None
        if isinstance(item, BaseException):
            raise item
        return item

    def stop(self) -> None:
        """Waits for the thread: nobody may close a file that is being read."""
        self._stopped.set()
        while self._thread.is_alive():
            try:
                self._filled.get(timeout=0.01)
            except queue.Empty:
                continue
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                samples = self._block()
                if len(samples):
                    self._filled.put(samples)
                if len(samples) < self._size:
                    break
            self._filled.put(None)
        except BaseException as error:  # handed to whoever waits
            self._filled.put(error)

    def _block(self) -> Samples:
        samples = np.empty((self._size, self._decoder.channels), np.float32)
        filled = 0
        while filled < self._size and not self._stopped.is_set():
            got = self._decoder.read_into(samples[filled : filled + self._read_frames])
            filled += got
            if got == 0:
                break
        return samples[:filled]


def _too_slow() -> AnalysisError:
    return AnalysisError(
        "too-slow", "The analysis took longer than allowed and was given up. Try again, or upload a shorter track."
    )
