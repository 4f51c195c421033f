"""The way of a track: uploaded, analysed, discussed, counted; whatever comes twice or breaks, once."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyebur128
import pytest
import requests
import soundfile

from local.client import Refused
from tests.e2e.conftest import LocalCloud, eventually

QUIET_S = 3.0  # without a new count for so long, no event is on its way any more
FORMATS = [("WAV", "PCM_24", "wav"), ("FLAC", "PCM_16", "flac"), ("OGG", "VORBIS", "ogg"), ("MP3", None, "mp3")]


def analysed(cloud: LocalCloud, uid: str, path: Path, plan: str = "pro", **options: Any) -> dict[str, Any]:
    """Uploads a file and waits until its track has ended."""
    client = cloud.client(uid, plan)
    upload = client.create_upload(path, **options)
    client.send(upload, path, lambda _: None)
    return client.wait(upload["trackId"], 60, lambda _: None)


@pytest.mark.parametrize(("kind", "subtype", "suffix"), FORMATS, ids=[f[2] for f in FORMATS])
def test_loudness_and_true_peak_agree_with_libebur128(
    cloud: LocalCloud, song: Path, tmp_path: Path, kind: str, subtype: str | None, suffix: str
) -> None:
    samples, rate = soundfile.read(song)
    path = tmp_path / f"song.{suffix}"
    with soundfile.SoundFile(path, "w", rate, 2, subtype, format=kind) as file:
        for start in range(0, len(samples), rate):  # libsndfile's Vorbis encoder crashes on minutes at once
            file.write(samples[start : start + rate])
    status = analysed(cloud, f"listener-{suffix}", path)
    assert status["state"] == "done"
    loudness = status["analysis"]["loudness"]

    decoded, rate = soundfile.read(path)
    oracle = pyebur128.R128State(2, rate, pyebur128.MeasurementMode.MODE_I | pyebur128.MeasurementMode.MODE_TRUE_PEAK)
    oracle.add_frames(np.ascontiguousarray(decoded, dtype=np.float64).reshape(-1), len(decoded))
    true_peak = max(pyebur128.get_true_peak(oracle, channel) for channel in range(2))
    assert loudness["integratedLufs"] == pytest.approx(pyebur128.get_loudness_global(oracle), abs=0.1)
    assert loudness["truePeakDbtp"] == pytest.approx(20 * np.log10(true_peak), abs=0.1)


def test_the_known_tempo_and_key_of_the_demo_track_are_found(cloud: LocalCloud, song: Path) -> None:
    analysis = analysed(cloud, "composer", song)["analysis"]
    assert analysis["rhythm"]["tempoBpm"] == pytest.approx(124.0, rel=0.002)
    assert (analysis["tonality"]["key"], analysis["tonality"]["mode"]) == ("A", "minor")


def test_events_that_come_twice_and_late_make_one_analysis_one_count_and_one_opening_message(
    cloud: LocalCloud, song: Path
) -> None:
    status = analysed(cloud, "twice", song)
    track_id = status["trackId"]
    eventually(lambda: cloud.document(f"conversations/{track_id}/messages/opening"))
    before = cloud.document(f"analyses/{track_id}")
    for subscription in ("chat-opening", "analyze", "upload-finalized", "chat-opening", "analyze"):
        cloud.replay(subscription, 3)
    time.sleep(2)
    assert cloud.document(f"analyses/{track_id}") == before
    assert cloud.usage("twice")["analyses"] == 1
    assert cloud.document(f"conversations/{track_id}/messages") == ["opening"]


def test_an_analysis_killed_in_the_middle_ends_done_once(cloud: LocalCloud, song: Path, tmp_path: Path) -> None:
    samples, rate = soundfile.read(song)
    path = tmp_path / "long.flac"
    soundfile.write(path, np.tile(samples, (7, 1)), rate)
    client = cloud.client("unlucky")
    upload = client.create_upload(path)
    client.send(upload, path, lambda _: None)
    track = f"tracks/{upload['trackId']}"
    eventually(lambda: cloud.document(track)["state"] == "analysing")
    os.kill(cloud.ready["pids"]["analyze"], signal.SIGKILL)
    status = client.wait(upload["trackId"], 120, lambda _: None)
    assert status["state"] == "done"
    assert cloud.document(track)["attempts"] >= 2
    assert cloud.usage("unlucky")["analyses"] == 1
    eventually(lambda: cloud.document(f"conversations/{upload['trackId']}/messages") == ["opening"])


def refusal(cloud: LocalCloud, uid: str, name: str, content: bytes, folder: Path) -> dict[str, Any]:
    path = folder / name
    path.write_bytes(content)
    return analysed(cloud, uid, path)


def test_a_text_named_wav_fails_with_the_reason_and_its_count_is_given_back(cloud: LocalCloud, tmp_path: Path) -> None:
    status = refusal(cloud, "texter", "poem.wav", b"Shall I compare thee to a summer's day? " * 100, tmp_path)
    assert status["state"] == "failed"
    assert status["problem"]["type"] == "urn:prodai:problem:not-audio"
    assert "WAV" in status["problem"]["detail"]
    assert cloud.usage("texter")["analyses"] == 0


def test_a_damaged_file_fails_in_the_analysis_and_its_count_is_given_back(cloud: LocalCloud, tmp_path: Path) -> None:
    status = refusal(cloud, "damaged", "broken.flac", b"fLaC" + os.urandom(50_000), tmp_path)
    assert status["state"] == "failed"
    assert status["problem"]["code"] == "unreadable"
    assert cloud.usage("damaged")["analyses"] == 0


def test_an_empty_file_and_one_beyond_sixty_megabytes_get_no_address(cloud: LocalCloud) -> None:
    headers = {"Authorization": f"Bearer {cloud.token('sizes')}"}
    for size, status, code in ((0, 422, "empty-file"), (60_000_001, 413, "too-large")):
        body = {"filename": "song.wav", "sizeBytes": size, "contentType": "audio/wav"}
        answer = requests.post(f"{cloud.ready['upload']}/v1/uploads", json=body, headers=headers, timeout=10)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert cloud.usage("sizes") == {}


def test_a_client_that_lies_about_the_size_is_refused_by_storage_and_its_count_given_back(cloud: LocalCloud) -> None:
    client = cloud.client("liar")
    headers = {"Authorization": f"Bearer {cloud.token('liar')}"}
    body = {"filename": "song.wav", "sizeBytes": 1000, "contentType": "audio/wav"}
    upload = requests.post(f"{cloud.ready['upload']}/v1/uploads", json=body, headers=headers, timeout=10).json()
    answer = requests.put(upload["uploadUrl"], data=b"RIFF" + bytes(5_000_000), timeout=10)
    assert answer.status_code >= 400
    status = eventually(lambda: (s := client.status(upload["trackId"]))["state"] == "failed" and s)
    assert status["problem"]["code"] == "upload-mismatch"
    assert cloud.usage("liar")["analyses"] == 0


def test_a_cancelled_upload_gives_its_count_back_once(cloud: LocalCloud) -> None:
    headers = {"Authorization": f"Bearer {cloud.token('hesitant')}"}
    base = f"{cloud.ready['upload']}/v1/uploads"
    body = {"filename": "song.wav", "sizeBytes": 1000, "contentType": "audio/wav"}
    track_id = requests.post(base, json=body, headers=headers, timeout=10).json()["trackId"]
    assert cloud.usage("hesitant")["analyses"] == 1
    for _ in range(3):
        assert requests.delete(f"{base}/{track_id}", headers=headers, timeout=10).json()["state"] == "cancelled"
    assert cloud.usage("hesitant")["analyses"] == 0


def test_after_three_analyses_of_the_month_free_gets_the_reduced_one(cloud: LocalCloud, tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    for period in (20, 21, 22, 23):  # equal bytes would not be counted again
        soundfile.write(path, np.sin(np.arange(48_000 * 4) / period)[:, None] * [0.2, 0.2], 48_000)
        analysis = analysed(cloud, "freeloader", path, "free")["analysis"]
        assert ("dynamics" in analysis) == (period != 23)
    reduced = analysis
    assert reduced["reduced"] is True
    assert reduced["loudness"]["integratedLufs"] is not None
    assert "spectrum" not in reduced
    assert cloud.usage("freeloader")["analyses"] == 3


def test_a_question_is_answered_from_the_tracks_numbers_streamed_and_as_json(cloud: LocalCloud, song: Path) -> None:
    status = analysed(cloud, "curious", song)
    client = cloud.client("curious")
    events = list(client.ask("How loud is my track?", [status["trackId"]], "en"))
    names = [name for name, _ in events]
    assert names[0] == "message.start"
    assert names[-2:] == ["usage", "done"]
    done = events[-1][1]
    assert "".join(data["text"] for name, data in events if name == "delta") == done["answer"]
    assert f"{status['analysis']['loudness']['integratedLufs']:.1f}" in done["answer"]

    time.sleep(2.1)
    headers = {"Authorization": f"Bearer {cloud.token('curious')}", "Accept": "application/json"}
    body = {"message": "Está alto demais?", "conversationId": done["conversationId"]}
    answer = requests.post(f"{cloud.ready['chat']}/v1/chat", json=body, headers=headers, timeout=10)
    assert answer.status_code == 200
    assert set(answer.json()) == {"conversationId", "messageId", "answer", "usage"}
    assert cloud.usage("curious")["messages"] == 2


def test_a_stranger_sees_neither_the_track_nor_its_conversation(cloud: LocalCloud, song: Path) -> None:
    track_id = analysed(cloud, "owner-of-it", song)["trackId"]
    stranger = cloud.client("stranger")
    with pytest.raises(Refused, match="nothing here"):
        stranger.status(track_id)
    with pytest.raises(Refused, match="nothing here"):
        list(stranger.ask("What is this?", [track_id]))


def test_the_trace_follows_a_track_from_upload_to_chat(cloud: LocalCloud, song: Path) -> None:
    trace_id = os.urandom(16).hex()
    client = cloud.client("traced")
    client._http.headers["traceparent"] = f"00-{trace_id}-{'1' * 16}-01"
    upload = client.create_upload(song)
    client.send(upload, song, lambda _: None)
    client.wait(upload["trackId"], 60, lambda _: None)
    eventually(lambda: cloud.document(f"conversations/{upload['trackId']}/messages/opening"))

    def parts() -> set[str]:
        lines = Path(cloud.ready["log"]).read_text(encoding="utf-8").splitlines()
        return {line.split(" ", 2)[1] for line in lines if f"traces/{trace_id}" in line}

    eventually(lambda: {"upload", "analyze", "chat-opening"} <= parts())


def test_what_happened_is_counted_once_and_shown_to_operators(cloud: LocalCloud, song: Path) -> None:
    analysed(cloud, "counted", song)
    operator = {"Authorization": f"Bearer {cloud.token('op', claims={'operator': True})}"}
    address = f"{cloud.ready['metrics']}/v1/metrics"

    def totals() -> dict[str, float]:
        found: dict[str, float] = requests.get(address, headers=operator, timeout=10).json()["totals"]
        return found

    def settled() -> dict[str, float]:
        """The totals once nothing of the tests before is still on its way."""
        found = totals()
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < QUIET_S:
            time.sleep(0.3)
            now = totals()
            if now != found:
                found, quiet_since = now, time.monotonic()
        return found

    before = eventually(lambda: (t := settled()).get("analysis.done", 0) >= 1 and t)
    cloud.replay("metrics-ingest", 5)
    assert settled() == before
    scraped = requests.get(f"{cloud.ready['metrics']}/metrics", timeout=10)
    assert scraped.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'prodai_events_total{event="analysis.done"}' in scraped.text
    user = {"Authorization": f"Bearer {cloud.token('counted')}"}
    assert requests.get(address, headers=user, timeout=10).json()["code"] == "forbidden"
    jobs = requests.get(f"{cloud.ready['metrics']}/v1/jobs", headers=operator, timeout=10).json()
    assert "counted" in {job["uid"] for job in jobs["done"]}


@pytest.mark.parametrize("part", ["upload", "chat", "metrics"])
def test_a_missing_or_broken_token_or_body_is_a_problem_and_never_a_stack_trace(cloud: LocalCloud, part: str) -> None:
    path, method = {
        "upload": ("/v1/uploads", "POST"),
        "chat": ("/v1/chat", "POST"),
        "metrics": ("/v1/metrics", "GET"),
    }[part]
    good = f"Bearer {cloud.token('careless')}"
    tried = [({}, "{}", 401), ({"Authorization": "Bearer rubbish"}, "{}", 401)]
    if method == "POST":
        tried += [({"Authorization": good}, body, 400) for body in ("", "{", "[]", "{}", '{"message": 5}')]
    for headers, body, status in tried:
        answer = requests.request(method, cloud.ready[part] + path, headers=headers, data=body, timeout=10)
        assert answer.status_code == status, (headers, body)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["type"].startswith("urn:prodai:problem:")
        assert "Traceback" not in answer.text


def test_the_eleventh_request_in_a_minute_is_refused_with_the_time_to_wait(cloud: LocalCloud) -> None:
    headers = {"Authorization": f"Bearer {cloud.token('hasty')}"}
    answers = [
        requests.post(f"{cloud.ready['chat']}/v1/chat", data="{", headers=headers, timeout=10) for _ in range(12)
    ]
    assert [a.status_code for a in answers] == [400] * 10 + [429] * 2
    refused = answers[-1]
    assert refused.json()["violated-policies"] == ["chat-user"]
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["RateLimit-Policy"].startswith('"chat-user";q=10;w=60')


def test_the_service_goes_on_while_redis_is_gone_and_after_it_is_back(cloud: LocalCloud, song: Path) -> None:
    os.kill(cloud.ready["pids"]["redis"], signal.SIGKILL)
    assert analysed(cloud, "survivor", song)["state"] == "done"
    address, token = cloud.ready["upstash"]["url"], cloud.ready["upstash"]["token"]

    def pong() -> bool:
        answer = requests.post(address, json=["PING"], headers={"Authorization": f"Bearer {token}"}, timeout=5)
        return answer.ok and json.loads(answer.text)["result"] == "PONG"

    eventually(pong)


def test_the_rules_judge_users_who_go_to_firestore_directly(cloud: LocalCloud, song: Path) -> None:
    track_id = analysed(cloud, "direct", song)["trackId"]
    own, other = cloud.token("direct"), cloud.token("nosy")
    assert cloud.document(f"tracks/{track_id}", own)["uid"] == "direct"
    base = f"http://{cloud.ready['firestore']}/v1/projects/{cloud.ready['project']}/databases/(default)/documents"

    def write(path: str, field: str, token: str) -> int:
        return requests.patch(
            f"{base}/{path}",
            params={"updateMask.fieldPaths": field},
            json={"fields": {field: {"stringValue": "pro"}}},
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
        ).status_code

    for path in (f"tracks/{track_id}", f"analyses/{track_id}", "users/direct", f"uploadSessions/{track_id}"):
        answer = requests.get(f"{base}/{path}", headers={"Authorization": f"Bearer {other}"}, timeout=10)
        assert answer.status_code == 403, path
    assert write(f"tracks/{track_id}", "filename", other) == 403
    assert write(f"tracks/{track_id}", "state", own) == 403
    assert write("users/direct", "plan", own) == 403
    assert write(f"analyses/{track_id}", "uid", own) == 403
