"""Small pictures made of characters: big digits, bars, gauges and sparklines."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

_DIGITS = {
    "0": ("█▀█", "█ █", "▀▀▀"),
    "1": ("▀█ ", " █ ", "▀▀▀"),
    "2": ("▀▀█", "█▀▀", "▀▀▀"),
    "3": ("▀▀█", " ▀█", "▀▀▀"),
    "4": ("█ █", "▀▀█", "  ▀"),
    "5": ("█▀▀", "▀▀█", "▀▀▀"),
    "6": ("█▀▀", "█▀█", "▀▀▀"),
    "7": ("▀▀█", "  █", "  ▀"),
    "8": ("█▀█", "█▀█", "▀▀▀"),
    "9": ("█▀█", "▀▀█", "▀▀▀"),
}
_EIGHTHS = " ▏▎▍▌▋▊▉"
_HEIGHTS = "▁▂▃▄▅▆▇█"
_REACH = 4.0  # tolerances from the target to a gauge's end: where the mark reaches 0
_SPARK_RANGE_LU = 24.0


def big_number(number: int) -> str:
    """A number in digits three rows high."""
    return "\n".join(" ".join(_DIGITS[digit][row] for digit in str(number)) for row in range(3))


def filled(share: float, width: int) -> str:
    """A bar, `share` (0 to 1) of it filled."""
    eighths = round(min(1.0, max(0.0, share)) * width * 8)
    bar = "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
    return bar.ljust(width, "·")


def gauge(position: float, side: str, width: int) -> str:
    """Where a value (●) stands: the target in the middle (┃), its tolerance (━) around it.

    position: the distance from the target in tolerances. side: "both", or "ceiling" and "floor", whose good side is
    wholly within tolerance.
    """
    middle = width // 2
    step = middle / _REACH
    low = 0 if side == "ceiling" else round(middle - step)
    high = width - 1 if side == "floor" else round(middle + step)
    cells = ["━" if low <= i <= high else "·" for i in range(width)]
    cells[middle] = "┃"
    clamped = min(_REACH, max(-_REACH, position))
    cells[round(middle + clamped * step)] = "●" if abs(position) <= _REACH else "◀" if position < 0 else "▶"
    return "".join(cells)


def sparkline(levels: Sequence[float | None], width: int) -> str:
    """A curve of loudness: the loudest level of each of `width` stretches, over the 24 LU below the maximum."""
    heard = [level for level in levels if level is not None]
    if not heard:
        return ""
    width, top = min(width, len(levels)), max(heard)
    edges = [round(i * len(levels) / width) for i in range(width + 1)]
    stretches = [[x for x in levels[a:b] if x is not None] for a, b in pairwise(edges)]
    return "".join(_height(max(stretch) - top) if stretch else " " for stretch in stretches)


def _height(below_top_lu: float) -> str:
    share = max(0.0, 1 + below_top_lu / _SPARK_RANGE_LU)
    return _HEIGHTS[round(share * (len(_HEIGHTS) - 1))]
