"""The queue as a user sees it: place and wait, equal bytes told as such, versions compared, nothing run too late."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import soundfile

from analysis.processing import DOWNLOADED_PERCENT
from local.cloud import write_document
from tests.chaos.plays import stopped
from tests.chaos.scene import Scene, wav
from tests.e2e.conftest import LocalCloud, eventually


def test_who_waits_is_shown_the_place_and_the_wait_and_then_nothing_of_the_kind(cloud: LocalCloud) -> None:
    scene = Scene(cloud, "waits")
    with stopped(cloud, "analyze"):
        scene.upload_many([wav(), wav()])
        scene.wait(lambda: scene.states() == {"queued": 2})

        def shown() -> list[dict[str, int]] | None:
            places = [scene.client.status(track_id)["queue"] for track_id in scene.tracks]
            return places if all(places) else None

        places = eventually(shown)
        assert len({place["position"] for place in places}) == 2
        assert all(place["etaS"] >= 0 for place in places)
    scene.wait()
    status = scene.client.status(scene.tracks[0])
    assert (status["queue"], status["progress"], status["reusedFrom"]) == (None, 100, None)


def test_the_same_bytes_again_are_told_as_such_judged_anew_and_not_counted(cloud: LocalCloud) -> None:
    scene, content = Scene(cloud, "again"), wav()
    first, second = scene.announce_many([content, content])
    write_document(cloud.ready["firestore"], f"tracks/{second}", {"genre": "acoustic"})
    scene.send(first, content)
    scene.wait(lambda: scene.track(first)["state"] == "done")
    scene.send(second, content)
    scene.wait()
    one, other = (scene.client.status(track_id) for track_id in (first, second))
    assert (one["reusedFrom"], other["reusedFrom"], other["analysis"]["reusedFrom"]) == (None, first, first)
    assert other["analysis"]["loudness"] == one["analysis"]["loudness"]
    assert other["analysis"]["verdict"]["genre"] == "acoustic" != one["analysis"]["verdict"]["genre"]
    scene.check({"done": 2}, counted=1, analysed=1)


def test_a_new_version_is_compared_with_the_one_it_replaces_number_by_number(cloud: LocalCloud) -> None:
    scene = Scene(cloud, "versions")
    contents = [wav(2), wav(3)]
    first, second = scene.announce_many(contents)
    write_document(cloud.ready["firestore"], f"tracks/{second}", {"replacesTrackId": first})
    scene.send(first, contents[0])
    scene.wait(lambda: scene.track(first)["state"] == "done")
    scene.send(second, contents[1])
    scene.wait()
    before, after = (scene.client.status(track_id)["analysis"] for track_id in (first, second))
    assert "versionDeltas" not in before
    deltas = after["versionDeltas"]
    assert deltas["replacesTrackId"] == first
    loudness = deltas["metrics"]["loudness.integratedLufs"]
    assert (loudness["from"], loudness["to"]) == tuple(a["loudness"]["integratedLufs"] for a in (before, after))
    assert loudness["delta"] == pytest.approx(loudness["to"] - loudness["from"], abs=1e-6)
    assert "verdict.score" in deltas["metrics"]


def test_what_has_waited_for_more_than_a_day_is_marked_not_run_and_its_count_given_back(cloud: LocalCloud) -> None:
    scene = Scene(cloud, "too-old")
    (track_id,) = scene.announce_many([wav()], state="queued", queuedAt=datetime.now(UTC) - timedelta(hours=25))
    scene.tick()
    scene.wait(ticking=True)
    assert scene.track(track_id)["problem"]["code"] == "event-too-old"
    scene.check({"failed": 1}, counted=0)


def test_an_analysis_that_its_user_cancels_is_stopped_before_its_end_and_holds_nobody_up(cloud: LocalCloud) -> None:
    scene, content = Scene(cloud, "cancels"), long_track()
    (track_id,) = scene.announce_many([content])
    scene.send(track_id, content)
    scene.wait(lambda: scene.track(track_id).get("progress", 0) > DOWNLOADED_PERCENT)
    scene.cancel(track_id)
    eventually(lambda: "the track was taken away during its analysis" in logged_of(cloud, track_id))
    assert "the analysis came too late; the track was taken away" not in logged_of(cloud, track_id)
    scene.check({"cancelled": 1}, counted=0)


def long_track(minutes: int = 16) -> bytes:
    """Music whose analysis takes several heartbeats of a worker."""
    rate = 44_100
    minute = 0.3 * np.sin(np.arange(60 * rate) / 20)
    file = io.BytesIO()
    soundfile.write(file, np.tile(minute, minutes), rate, "PCM_U8", format="WAV")
    return file.getvalue()


def logged_of(cloud: LocalCloud, track_id: str) -> set[str]:
    """What the functions have said of a track."""
    lines = Path(cloud.ready["log"]).read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line[line.index("{") :]) for line in lines if f'"{track_id}"' in line and "{" in line]
    return {entry.get("message") for entry in entries if entry.get("track") == track_id}
