"""Makes the files that `benchmarks.engine` times: `python -m benchmarks.engine_material FOLDER`.

Synthetic music (tests/unit/signals.py): the same on every machine, and free. The time of a measure hardly depends on
what is in the file, but for the true peak, which a brickwalled master makes hard to prune: so there is one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import soundfile

from tests.unit.signals import Audio, song, written

SONG_S, LONG_S, PIECE_S = 210, 840, 30


def main(folder: Path) -> None:
    pieces = [song(PIECE_S, seed=seed) for seed in range(SONG_S // PIECE_S)]
    audio = np.concatenate(pieces)
    written(folder / "song.wav", audio)
    written(folder / "brickwalled.wav", np.clip(audio * 8, -0.99, 0.99).astype(np.float32))
    for kind in ("mp3", "flac", "ogg"):
        _written_piecewise(folder / f"song.{kind}", pieces, 1)
    _written_piecewise(folder / "long.wav", pieces, LONG_S // SONG_S)
    _written_piecewise(folder / "hour.wav", pieces, 3600 // SONG_S + 1)
    written(folder / "minute.wav", audio[: 60 * 44_100])


def _written_piecewise(path: Path, pieces: list[Audio], times: int) -> None:
    """In one call, libsndfile's Vorbis encoder overflows its stack."""
    with soundfile.SoundFile(path, "w", 44_100, 2) as file:
        for _ in range(times):
            for piece in pieces:
                file.write(piece)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
