"""Python's garbage collector in an instance that holds hundreds of requests at once."""

from __future__ import annotations

import gc

ALLOCATIONS = 10_000  # between two rounds; Python's own 700 are fewer than what some requests under way consist of


def spare_the_living() -> None:
    """To be called once all is imported: that is looked through no more, and requests under way are less often."""
    gc.freeze()
    gc.set_threshold(ALLOCATIONS)
