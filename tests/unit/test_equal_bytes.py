"""Equal bytes are measured once, versions are compared in figures, and what waits too long is given up."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from analysis import processing, reuse, verdict, versions
from analysis.engine import ENGINE_VERSION
from shared import cache, events, giving_up
from shared.documents import as_service, contents
from shared.documents.contents import Claim
from shared.documents.records import Track
from tests.unit.test_tokens import NOW, track

MEASURES = {"engineVersion": ENGINE_VERSION, "contentSha256": "f" * 64, "loudness": {"integratedLufs": -9.0}}


class Documents:
    """The claims, tracks and analyses of one user."""

    def __init__(self) -> None:
        self.leader: str | None = None
        self.tracks: dict[str, Track] = {}
        self.analyses: dict[str, dict[str, Any]] = {}

    def claim(self, _uid: str, _md5: str, _version: str, track_id: str) -> Claim:
        self.leader = self.leader or track_id
        return Claim(self.leader, 1)

    def take_over(self, _found: Claim, _uid: str, _md5: str, _version: str, track_id: str) -> bool:
        self.leader = track_id
        return True


@pytest.fixture
def documents(monkeypatch: pytest.MonkeyPatch) -> Documents:
    made = Documents()
    monkeypatch.setattr(contents, "claim", made.claim)
    monkeypatch.setattr(contents, "take_over", made.take_over)
    monkeypatch.setattr(as_service, "track", made.tracks.get)
    monkeypatch.setattr(as_service, "analysis", made.analyses.get)
    return made


SECOND = track("second", content_md5="0" * 32)


def test_the_first_of_equal_bytes_leads_and_the_others_wait_while_it_is_at_work(documents: Documents) -> None:
    assert reuse.decide(track("first", content_md5="0" * 32)) == reuse.Lead()
    documents.tracks["first"] = track("first", "analysing")
    assert reuse.decide(SECOND) == reuse.Wait()
    assert reuse.decide(track("first", content_md5="0" * 32)) == reuse.Lead()  # its next attempt


def test_once_the_leader_is_done_its_measures_are_taken_and_not_its_verdict(documents: Documents) -> None:
    documents.leader = "first"
    documents.tracks["first"] = track("first", "done")
    documents.analyses["first"] = MEASURES | {"verdict": {"score": 80}, "versionDeltas": {}}
    assert reuse.decide(SECOND) == reuse.Reuse("first", MEASURES)


@pytest.mark.parametrize("left", [{"reduced": True}, {"engineVersion": "0.9"}, None])
def test_a_leader_that_left_no_whole_analysis_of_this_engine_is_followed_by_another(
    documents: Documents, left: dict[str, Any] | None
) -> None:
    documents.leader = "first"
    documents.tracks["first"] = track("first", "done" if left else "cancelled")
    if left:
        documents.analyses["first"] = MEASURES | left
    assert reuse.decide(SECOND) == reuse.Lead()
    assert documents.leader == "second"


def test_a_fault_of_the_bytes_is_the_fault_of_all_equal_ones_and_a_fault_of_ours_is_not(documents: Documents) -> None:
    documents.leader = "first"
    problem = {"code": "unreadable", "detail": "It is damaged."}
    documents.tracks["first"] = track("first", "failed", problem=problem)
    refused = reuse.decide(SECOND)
    assert isinstance(refused, reuse.Refuse)
    assert (refused.problem.code, refused.problem.detail) == ("unreadable", "It is damaged.")
    documents.tracks["first"] = track("first", "failed", problem=problem | {"code": "analysis-failed"})
    assert reuse.decide(SECOND) == reuse.Lead()


@pytest.mark.parametrize(("leader", "own", "expected"), [
    ("full", "reduced", "full"),  # the user has it in full already
    ("full", "full", "full"),
    ("reduced", "full", "full"),
    ("reduced", "reduced", "reduced"),
])  # fmt: skip
def test_of_equal_bytes_nothing_is_withheld_that_their_user_has_in_full(
    monkeypatch: pytest.MonkeyPatch, leader: Any, own: Any, expected: str
) -> None:
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(as_service, "finish", lambda _, result, **__: bool(written.append(result)))  # type: ignore[func-returns-value]
    measures = MEASURES | {"spectrum": {"bands": {}}}
    monkeypatch.setattr(events, "publish", lambda *_: None)
    monkeypatch.setattr(versions, "compare_late", lambda _: None)
    monkeypatch.setattr(verdict, "judge", lambda *_, **__: {"score": 80, "mode": "genre", "suggestions": []})
    processing._finish_reused(track("second", tier=own), measures, "first", leader)
    assert [not result.get("reduced") for result in written] == [expected == "full"]
    assert [("spectrum" in result) for result in written] == [expected == "full"]


def test_bytes_whose_md5_storage_does_not_know_are_measured(documents: Documents) -> None:
    assert reuse.decide(track("composed")) == reuse.Lead()
    assert documents.leader is None


def test_the_deltas_of_two_versions_are_of_every_number_that_both_have() -> None:
    earlier = {
        "loudness": {"integratedLufs": -12.5, "truePeakDbtp": -1.0, "shortTermSeries": [1, 2]},
        "dynamics": {"clipping": {"samples": 4}, "drDb": None},
        "tonality": {"key": "A", "tuningCents": 3},
        "verdict": {"score": 61},
        "file": {"durationS": 100.0},
    }
    later = {
        "loudness": {"integratedLufs": -9.1, "shortTermSeries": [3, 4]},
        "dynamics": {"clipping": {"samples": 0}, "drDb": 8.0},
        "tonality": {"key": "C", "tuningCents": 3},
        "verdict": {"score": 82},
        "file": {"durationS": 90.0},
    }
    assert versions.deltas(later, earlier) == {
        "loudness.integratedLufs": {"from": -12.5, "to": -9.1, "delta": 3.4},
        "dynamics.clipping.samples": {"from": 4, "to": 0, "delta": -4},
        "tonality.tuningCents": {"from": 3, "to": 3, "delta": 0},
        "verdict.score": {"from": 61, "to": 82, "delta": 21},
    }


@pytest.mark.parametrize("last", ["first", "second"])
def test_a_version_that_is_done_before_the_one_it_replaces_is_compared_once_both_are_done(
    documents: Documents, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    second = track("second", "done", replaces_track_id="first")
    documents.analyses["second"] = {"loudness": {"integratedLufs": -9.0}, "versionDeltas": {"metrics": None}}
    monkeypatch.setattr(as_service, "tracks_replacing", lambda of: [second] if of == "first" else [])
    put: list[Any] = []
    monkeypatch.setattr(as_service, "put_version_deltas", lambda *filled: put.append(filled))
    monkeypatch.setattr(cache, "forget", put.append)
    versions.compare_late(second)
    assert put == []  # there is nothing to compare with
    documents.analyses["first"] = {"loudness": {"integratedLufs": -12.0}}
    versions.compare_late(second if last == "second" else track("first", "done"))
    deltas = {"loudness.integratedLufs": {"from": -12.0, "to": -9.0, "delta": 3.0}}
    assert put == [("second", deltas), "analysis:ana:second"]
    documents.analyses["second"]["versionDeltas"]["metrics"] = deltas
    versions.compare_late(second)
    assert len(put) == 2


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"attempts": 4}, None),
        ({"attempts": 5}, "analysis-failed"),
        ({"queued_at": NOW - timedelta(hours=23)}, None),
        ({"queued_at": NOW - timedelta(hours=25)}, "event-too-old"),
        ({"queued_at": None, "created_at": NOW - timedelta(hours=25)}, "event-too-old"),
    ],
)
def test_five_attempts_or_a_day_are_enough_but_nobody_at_work_is_interrupted(
    changes: dict[str, Any], code: str | None
) -> None:
    problem = giving_up.reason(track("a", **changes), NOW)
    assert (problem and problem.code) == code
    at_work = track("a", "analysing", lease_until=NOW + timedelta(seconds=1), **changes)
    assert giving_up.reason(at_work, NOW) is None
