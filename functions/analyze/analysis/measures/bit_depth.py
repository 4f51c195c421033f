"""How many bits a file really uses: 24-bit files often carry 16."""

from __future__ import annotations

import numpy as np

from analysis.measures.base import Block

_BITS = 24  # what single precision holds exactly


class BitDepth:
    """Looks for the finest bit that is ever set, and stops looking once that is the file's own last one."""

    def __init__(self, nominal_bits: int) -> None:
        self._nominal = nominal_bits
        self._finest = min(nominal_bits, _BITS)
        self._bits = 0
        self._done = False

    def feed(self, block: Block) -> None:
        if self._done:
            return
        scaled = block.planar * np.float32(1 << (_BITS - 1))
        if float(np.abs(scaled).max(initial=0.0)) >= 2**31:  # a float file far beyond full scale
            self._done = True
            self._bits = 1
            return
        whole = scaled.astype(np.int32)
        self._bits |= int(np.bitwise_or.reduce(whole, axis=None))
        if np.any(whole != scaled):
            self._bits |= 1
        self._done = bool(self._bits & ((1 << (_BITS - self._finest + 1)) - 1))

    def result(self) -> int | None:
        """None for silence."""
        if self._bits == 0:
            return None
        unused = (self._bits & -self._bits).bit_length() - 1
        used = _BITS - unused
        return self._nominal if used >= self._finest else used
