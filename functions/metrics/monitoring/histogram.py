"""Durations in logarithmic buckets: merged by adding, percentiles within 2 %.

The buckets are those of shared/observations.py, which every function writes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shared.observations import bucket_value


@dataclass(frozen=True)
class Histogram:
    """How many durations fell into each bucket."""

    buckets: Mapping[int, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(self.buckets.values())

    @property
    def sum_ms(self) -> float:
        """The sum of all durations, as near as their buckets tell: within 2 %."""
        return sum(bucket_value(bucket) * count for bucket, count in self.buckets.items())

    def percentile(self, q: float) -> float | None:
        """The duration in ms that q percent (0-100) do not exceed, by nearest rank; None where there is none.

        Within 2 % of the true one; what lasted at most 1 ms is told as 1 ms.
        """
        rank = max(1, math.ceil(self.count * q / 100))
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= rank:
                return bucket_value(bucket)
        return None

    def at_most(self, duration_ms: float) -> int:
        """How many durations are up to this one, each counted at its bucket's representative value."""
        return sum(count for bucket, count in self.buckets.items() if bucket_value(bucket) <= duration_ms)


def merged(histograms: Iterable[Histogram]) -> Histogram:
    total: Counter[int] = Counter()
    for histogram in histograms:
        total.update(histogram.buckets)
    return Histogram(dict(total))
