"""Which loudspeaker a channel is for, and its weight in the loudness.

ITU-R BS.1770-5, table 4: 1.41 (+1.5 dB) for a loudspeaker at ear level between 60 and 120 degrees to the side, 1 for
any other; the low-frequency channel is left out. Surrounds of 5.0 and 5.1 stand at 110 degrees. Where there are side
channels too (7.1), the rear ones stand at 135 degrees and have the weight 1.
"""

from __future__ import annotations

from collections.abc import Sequence

_SURROUND = 1.41

# Positions as libsndfile numbers them (SF_CHANNEL_MAP_…), and in short.
_OF_MAP = {9: "Rl", 10: "Rr", 11: "LFE", 14: "Sl", 15: "Sr"}

# Orders without a mask. WAVE's holds for FLAC too (RFC 9639, section 9.1.3).
_WAVE = {4: "L R Rl Rr", 5: "L R C Rl Rr", 6: "L R C LFE Rl Rr", 7: "L R C LFE Rc Sl Sr", 8: "L R C LFE Rl Rr Sl Sr"}
# Vorbis I specification, section 4.3.9; Opus (RFC 7845, section 5.1.1.2) has the same.
_VORBIS = {
    4: "L R Rl Rr",
    5: "L C R Rl Rr",
    6: "L C R Rl Rr LFE",
    7: "L C R Sl Sr Rc LFE",
    8: "L C R Sl Sr Rl Rr LFE",
}


def channel_weights(channels: int, *, vorbis_order: bool, channel_map: Sequence[int] | None) -> tuple[float, ...]:
    """channel_map: libsndfile's position of each channel, from the file's channel mask; None where it has none."""
    if channel_map is not None:
        return _weights([_OF_MAP.get(position, "") for position in channel_map])
    order = (_VORBIS if vorbis_order else _WAVE).get(channels)
    return _weights(order.split()) if order else (1.0,) * channels


def _weights(names: Sequence[str]) -> tuple[float, ...]:
    surrounds = {"Sl", "Sr"} if "Sl" in names or "Sr" in names else {"Rl", "Rr"}
    return tuple(0.0 if name == "LFE" else _SURROUND if name in surrounds else 1.0 for name in names)
