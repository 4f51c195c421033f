"""Announcing an upload: an Idempotency-Key gives one upload, and a fault that passes does not use it up."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from shared import events, observations
from shared.documents import as_service
from shared.documents.as_user import Exists
from shared.documents.records import NewTrack, Session, Track, Usage, User
from shared.identity import Caller
from shared.problems import Problem
from tests.unit.test_tokens import NOW, track
from uploads import creation, leases, sessions
from uploads.creation import Origin

BODY = {"filename": "song.wav", "sizeBytes": 1000, "contentType": "audio/wav"}
ANA = Caller("ana", "token", False)


class World:
    """Firestore as ana sees it, and a storage that opens sessions or does not."""

    def __init__(self) -> None:
        self.tracks: dict[str, Track] = {}
        self.sessions: dict[str, Session] = {}
        self.counted = 0
        self.fault: Exception | None = None

    def track(self, track_id: str) -> Track | None:
        return self.tracks.get(track_id)

    def profile(self) -> User:
        return User("ana", "pro", "active", None, None)

    def usage(self) -> Usage:
        return Usage(0, self.counted)

    def create_track(self, new: NewTrack) -> None:
        if new.id in self.tracks:
            raise Exists
        self.tracks[new.id] = track(new.id, "awaiting-upload", **{k: v for k, v in asdict(new).items() if k != "id"})
        self.counted += 1

    def take_back(self, taken: Track) -> bool:
        del self.tracks[taken.id]
        self.counted -= 1
        return True

    def open(self, _: str, track_id: str, *__: Any) -> Session:
        if self.fault:
            raise self.fault
        return Session(f"https://storage.example/{track_id}", "us", "b-us", NOW + sessions.LIFE)

    def announce(self) -> dict[str, Any]:
        return creation.create(ANA, BODY, "by-the-key", keyed=True, origin=Origin(None, None, None))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(creation, "UserDocuments", lambda _: made)
    monkeypatch.setattr(creation, "order_now", lambda *_: ["us"])
    monkeypatch.setattr(sessions, "open_session", made.open)
    monkeypatch.setattr(as_service, "track", made.tracks.get)
    monkeypatch.setattr(as_service, "session", made.sessions.get)
    monkeypatch.setattr(as_service, "put_session", made.sessions.__setitem__)
    monkeypatch.setattr(as_service, "take_back", made.take_back)
    monkeypatch.setattr(leases, "opened", lambda _: None)
    monkeypatch.setattr(events, "track_usage", lambda *_: None)
    for measured in ("count", "plan"):
        monkeypatch.setattr(observations, measured, lambda *_: None)
    return made


@pytest.mark.parametrize(
    "fault", [Problem("unavailable", "Storage does not take uploads right now."), OSError("Firestore")]
)
def test_a_key_whose_first_request_found_no_storage_is_good_for_the_next_one(world: World, fault: Exception) -> None:
    world.fault = fault
    with pytest.raises(Problem, match="unavailable"):
        world.announce()
    assert (world.tracks, world.counted) == ({}, 0)
    world.fault = None
    assert world.announce()["uploadUrl"] == "https://storage.example/by-the-key"
    assert world.announce()["trackId"] == "by-the-key"
    assert world.counted == 1


def test_a_key_whose_upload_ended_for_good_says_why(world: World) -> None:
    world.announce()
    problem = Problem("not-audio", "It is a text.").as_dict()
    world.tracks["by-the-key"] = replace(world.tracks["by-the-key"], state="failed", problem=problem)
    with pytest.raises(Problem, match="not-audio: It is a text"):
        world.announce()


def test_what_somebody_else_has_moved_on_is_not_taken_back(world: World) -> None:
    world.tracks["cancelled"] = track("cancelled", "cancelled")
    creation._take_back("cancelled")
    assert "cancelled" in world.tracks
