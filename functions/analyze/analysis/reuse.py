"""Equal bytes of one user are measured once: the first track leads, the others wait for it and take its measures.

Only the measures are reused. The verdict is given anew, since genre, reference and tier may differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.documents import as_service, contents
from shared.documents.records import Track
from shared.events import Passing
from shared.problems import Problem

FAULTS_OF_THE_FILE = frozenset({"empty-file", "too-long", "unreadable"})  # equal bytes have them equally
CLAIMS_MOST = 5
_OF_THE_TRACK = ("verdict", "versionDeltas", "reusedFrom")


@dataclass(frozen=True)
class Lead:
    """Nobody has measured these bytes: this track does."""


@dataclass(frozen=True)
class Wait:
    """Another track of the same bytes is being measured, or next to be."""


@dataclass(frozen=True)
class Reuse:
    leader: str
    measures: Mapping[str, Any]


@dataclass(frozen=True)
class Refuse:
    problem: Problem


def decide(track: Track) -> Lead | Wait | Reuse | Refuse:
    """What to do with a track before it is measured. Raises Passing where others decide at the same moment."""
    if track.content_md5 is None:
        return Lead()
    content = (track.uid, track.content_md5, _engine_version())
    for _ in range(CLAIMS_MOST):
        claim = contents.claim(*content, track.id)
        if claim.leader == track.id:
            return Lead()
        leader = as_service.track(claim.leader)
        if leader is not None and not leader.ended:
            return Wait()
        known = _known(leader) if leader is not None else None
        if known is not None:
            return known
        if contents.take_over(claim, *content, track.id):
            return Lead()
    raise Passing("the claim on equal bytes changed while it was read")


def _known(leader: Track) -> Reuse | Refuse | None:
    """What an ended leader leaves to the others; None for nothing, as of one that was cancelled."""
    if leader.state == "done":
        analysis = as_service.analysis(leader.id)
        if analysis is not None and not analysis.get("reduced") and analysis["engineVersion"] == _engine_version():
            return Reuse(leader.id, measures_of(analysis))
    if leader.problem is not None and leader.problem["code"] in FAULTS_OF_THE_FILE:
        return Refuse(Problem(leader.problem["code"], leader.problem["detail"], {"reusedFrom": leader.id}))
    return None


def leads(track: Track) -> bool:
    """Whether others may be waiting for this track."""
    if track.content_md5 is None:
        return False
    return contents.leader(track.uid, track.content_md5, _engine_version()) == track.id


def measures_of(result: Mapping[str, Any]) -> dict[str, Any]:
    return {section: content for section, content in result.items() if section not in _OF_THE_TRACK}


def followers(track: Track) -> Iterator[Track]:
    """The tracks of the same user and bytes that wait."""
    if track.content_md5 is None:
        return
    for other in as_service.tracks_of_content(track.uid, track.content_md5):
        if other.id != track.id and other.state == "queued":
            yield other


def _engine_version() -> str:
    from analysis.engine import ENGINE_VERSION  # a token that finds nothing does not pay for numpy

    return ENGINE_VERSION
