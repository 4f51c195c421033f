"""What changed between two versions of a track: the difference of every number that both analyses have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shared import cache, telemetry
from shared.analyses import cache_key
from shared.documents import as_service
from shared.documents.records import Track

SECTIONS = ("loudness", "dynamics", "stereo", "spectrum", "rhythm", "tonality")


def compare_late(track: Track) -> None:
    """Compares those that were done before the version that they replace, once that is done, whichever is the last.

    A comparison that fails is told of and harms no analysis.
    """
    try:
        for later in (track, *as_service.tracks_replacing(track.id)):
            if later.replaces_track_id is not None and later.uid == track.uid:
                _compare(later, later.replaces_track_id)
    except Exception as error:
        telemetry.warning("versions were not compared", track=track.id, error=repr(error))


def _compare(later: Track, earlier_id: str) -> None:
    result = as_service.analysis(later.id)
    if result is None or result["versionDeltas"]["metrics"] is not None:
        return
    earlier = as_service.analysis(earlier_id)
    if earlier is not None:
        as_service.put_version_deltas(later.id, deltas(result, earlier))
        cache.forget(cache_key(later.uid, later.id))


def deltas(result: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """By metric, such as `loudness.integratedLufs`: `{from, to, delta}` in the metric's own unit, the score included.

    Series are left out. What either result does not have (null, or withheld from a reduced analysis) is left out too.
    """
    before, after = dict(_numbers(earlier)), dict(_numbers(result))
    return {
        metric: {"from": before[metric], "to": value, "delta": round(value - before[metric], 6)}
        for metric, value in after.items()
        if metric in before
    }


def _numbers(result: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for section in SECTIONS:
        yield from _leaves(section, result.get(section))
    yield from _leaves("verdict.score", (result.get("verdict") or {}).get("score"))


def _leaves(path: str, value: object) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{path}.{key}", inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value
