"""`prodai upload FILE…`: two at once, the most urgent first; an interruption loses nothing and counts nothing twice."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local import producer, uploading
from local.client import BrokenLine, Refused
from local.pending import Pending, Store, default_folder, fingerprint
from local.uploading import AT_ONCE, Transfer, in_order

SERVICE = "http://127.0.0.1:1"
QUIET: Callable[[], None] = lambda: None  # noqa: E731


class FakeService:
    """A service that takes uploads and analyses them at once; it notes what it was told and what ran at once."""

    def __init__(self) -> None:
        self.tracks: dict[str, str] = {}  # track -> state
        self.announced: list[str] = []  # file names
        self.announcements: dict[str, str] = {}  # Idempotency-Key -> track
        self.options: list[dict[str, Any]] = []
        self.resumed: list[bool] = []
        self.refusals: list[Refused] = []
        self.broken: set[str] = set()
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()
        self._meeting = threading.Barrier(AT_ONCE, timeout=10)
        self.meet = False

    def create_upload(self, path: Path, key: str | None = None, **options: Any) -> dict[str, Any]:
        with self._lock:
            if self.refusals:
                raise self.refusals.pop()
            assert key is not None
            if key not in self.announcements:
                self.announced.append(path.name)
                self.announcements[key] = f"track-{len(self.announced)}"
                self.tracks[self.announcements[key]] = "awaiting-upload"
            self.options.append(options)
            return {"trackId": self.announcements[key], "uploadUrl": "secret", "chunkSizeBytes": 262144}

    def send(self, upload: dict[str, Any], path: Path, on_progress: Callable[[int], None], *, resume: bool) -> None:
        with self._lock:
            self.resumed.append(resume)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        if self.meet:
            self._meeting.wait()
        on_progress(1)
        with self._lock:
            self.at_once -= 1
            if path.name in self.broken:
                raise BrokenLine("the line is broken")
            self.tracks[upload["trackId"]] = "done"

    def status(self, track_id: str) -> dict[str, Any]:
        state = self.tracks[track_id]
        problem = {"title": "Failed", "detail": "for a reason"} if state == "failed" else None
        return {"state": state, "progress": 100, "queue": None, "problem": problem, "analysis": {}}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "POLL_EVERY_S", 0.002)


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state")


def file(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(b"RIFF" + name.encode())
    return path


def wanted(path: Path, **changes: Any) -> Pending:
    return Pending(**{"path": str(path), "content": fingerprint(path), "service": SERVICE, "uid": "u", **changes})


def run(service: FakeService, store: Store, *pending: Pending) -> list[Transfer]:
    transfers = [Transfer(store.add(one)) for one in pending]
    uploading.run(lambda: service, store, transfers, QUIET)  # type: ignore[arg-type,return-value]
    return transfers


def test_a_file_is_announced_with_both_checksums_of_its_bytes(
    service: FakeService, store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "digits.wav"
    path.write_bytes(b"123456789")
    assert [t.state for t in run(service, store, wanted(path))] == ["done"]
    digits = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"
    assert service.options == [{"sha256": digits, "crc32c": "4waSgw=="}]  # 0xe3069283, the check value of CRC-32C


def test_no_more_than_two_are_sent_at_once_and_all_of_them_arrive(
    service: FakeService, store: Store, tmp_path: Path
) -> None:
    service.meet = True  # each waits for a second one, so two do go at once
    transfers = run(service, store, *(wanted(file(tmp_path, f"{n}.wav")) for n in range(6)))
    assert all(transfer.done for transfer in transfers)
    assert service.most_at_once == AT_ONCE == 2
    assert store.unfinished(SERVICE, "u") == []


def test_the_highest_priority_goes_first_and_then_the_oldest(tmp_path: Path) -> None:
    given = [("a", 0, 3.0), ("b", 5, 9.0), ("c", 0, 1.0), ("d", 5, 4.0), ("e", -1, 0.0)]
    transfers = [Transfer(wanted(file(tmp_path, name), priority=p, added_at=at)) for name, p, at in given]
    assert [transfer.name for transfer in in_order(transfers)] == ["d", "b", "c", "a", "e"]


def test_a_broken_line_leaves_the_upload_to_a_later_run_which_announces_nothing_anew(
    service: FakeService, store: Store, tmp_path: Path
) -> None:
    path = file(tmp_path, "song.wav")
    service.broken = {"song.wav"}
    (first,) = run(service, store, wanted(path))
    assert first.fault == "the line is broken"
    service.broken = set()
    (second,) = run(service, store, wanted(path))
    assert second.done
    assert service.announced == ["song.wav"]
    assert service.resumed == [False, True]
    assert store.unfinished(SERVICE, "u") == []


def test_an_announcement_whose_answer_was_lost_is_repeated_under_its_key(
    service: FakeService, store: Store, tmp_path: Path
) -> None:
    pending = store.add(wanted(file(tmp_path, "song.wav")))
    service.create_upload(Path(pending.path), pending.key)  # and the process dies here
    (transfer,) = run(service, store, wanted(tmp_path / "song.wav"))
    assert transfer.done
    assert service.announced == ["song.wav"]


def test_an_upload_that_expired_meanwhile_is_announced_anew(service: FakeService, store: Store, tmp_path: Path) -> None:
    service.broken = {"song.wav"}
    run(service, store, wanted(file(tmp_path, "song.wav")))
    service.tracks["track-1"], service.broken = "expired", set()
    (transfer,) = run(service, store, wanted(tmp_path / "song.wav"))
    assert (transfer.done, transfer.track_id) == (True, "track-2")


def test_interrupted_while_its_analysis_runs_a_later_run_waits_for_it_and_sends_nothing(
    service: FakeService, store: Store, tmp_path: Path
) -> None:
    pending = store.add(wanted(file(tmp_path, "song.wav")))
    pending.upload = service.create_upload(Path(pending.path), pending.key)
    store.save(pending)
    service.tracks["track-1"] = "done"
    (transfer,) = run(service, store, wanted(tmp_path / "song.wav"))
    assert transfer.done
    assert service.resumed == []


def test_told_to_come_later_it_does_and_a_refusal_holds_the_others_not_up(
    service: FakeService, store: Store, tmp_path: Path
) -> None:
    later = Refused({"title": "Too many requests"}, retry_after_s=0.01)
    never = Refused({"title": "The file is too large", "detail": "60 MB are taken."})
    service.refusals = [never, later, later]
    transfers = run(service, store, *(wanted(file(tmp_path, f"{n}.wav")) for n in range(3)))
    faults = [transfer.fault for transfer in transfers if transfer.fault]
    assert faults == ["The file is too large: 60 MB are taken."]
    assert [transfer.done for transfer in transfers].count(True) == 2
    assert store.unfinished(SERVICE, "u") == []  # there is nothing to go on with


def test_a_fault_of_the_service_leaves_the_file_to_a_later_run_under_the_same_key(
    service: FakeService, store: Store, tmp_path: Path
) -> None:
    service.refusals = [Refused({"title": "It does not answer", "status": 503})]
    (first,) = run(service, store, wanted(file(tmp_path, "song.wav")))
    assert first.fault is not None
    (kept,) = store.unfinished(SERVICE, "u")
    (second,) = run(service, store, wanted(tmp_path / "song.wav"))
    assert second.done
    assert list(service.announcements) == [kept.key]


def test_a_track_that_fails_says_why(service: FakeService, store: Store, tmp_path: Path) -> None:
    pending = store.add(wanted(file(tmp_path, "song.wav")))
    pending.upload = service.create_upload(Path(pending.path), pending.key)
    transfer = Transfer(pending, state="sent")
    service.tracks["track-1"] = "failed"
    uploading._look(service, transfer)  # type: ignore[arg-type]
    assert (transfer.ended, transfer.fault) == (True, "Failed: for a reason")


def test_what_is_kept_of_an_upload_is_readable_by_its_user_alone_and_shown_nowhere(
    service: FakeService, store: Store, tmp_path: Path
) -> None:
    service.broken = {"song.wav"}
    run(service, store, wanted(file(tmp_path, "song.wav")))
    (kept,) = (tmp_path / "state").glob("*")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert json.loads(kept.read_text())["upload"]["uploadUrl"] == "secret"
    (pending,) = store.unfinished(SERVICE, "u")
    assert "secret" not in repr(pending)


def test_each_user_and_each_service_has_its_own_and_what_is_old_or_garbage_is_forgotten(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file(tmp_path, "song.wav")
    store.add(wanted(path))
    store.add(wanted(path, uid="other"))
    store.add(wanted(path, service="http://elsewhere"))
    store.save(wanted(file(tmp_path, "old.wav"), added_at=0.0))
    (tmp_path / "state" / "garbage.json").write_text("{")
    assert [p.uid for p in store.unfinished(SERVICE, "u")] == ["u"]
    assert len(list((tmp_path / "state").iterdir())) == 3


def test_the_state_lies_where_the_user_keeps_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "prodai" / "uploads"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_folder() == tmp_path / "home" / ".local" / "state" / "prodai" / "uploads"


def test_a_line_for_each_track_names_the_score_or_the_reason(tmp_path: Path) -> None:
    good, bad = (Transfer(wanted(file(tmp_path, name))) for name in ("good.wav", "bad.wav"))
    good.pending.upload = {"trackId": "t1"}
    good.state, good.status = "done", {"analysis": {"verdict": {"score": 78, "grade": "good"}}}
    bad.fault = "The file is empty: export it again."
    assert producer._line(good) == "good.wav  score 78 (good)  track t1"
    assert producer._line(bad) == "bad.wav  The file is empty: export it again."
