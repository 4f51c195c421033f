"""From linear values to decibels, and to JSON."""

from __future__ import annotations

import math

LUFS_OFFSET = -0.691
"""ITU-R BS.1770-5, annex 1, equation 2."""


def power_db(power: float) -> float | None:
    """10 lg; None for no power at all."""
    return 10 * math.log10(power) if power > 0 else None


def amplitude_db(amplitude: float) -> float | None:
    return 20 * math.log10(amplitude) if amplitude > 0 else None


def lufs(energy: float) -> float | None:
    """energy: the weighted mean square of the K-weighted channels."""
    return LUFS_OFFSET + 10 * math.log10(energy) if energy > 0 else None


def rounded(value: float | None, digits: int = 2) -> float | None:
    """As a plain float, and never -0.0."""
    return None if value is None else round(float(value), digits) + 0.0


def difference(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other
