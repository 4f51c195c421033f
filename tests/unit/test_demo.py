"""`prodai demo` with a file that cannot go through: told at once, before a cloud is started. What ends one."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from local import cloud, demo


@pytest.fixture(autouse=True)
def no_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud, "running", lambda *_, **__: pytest.fail("a cloud was started"))


def test_a_file_that_is_not_audio_is_refused_with_what_is_accepted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "notes.wav"
    path.write_text("these are only notes")
    assert demo.run(str(path), as_json=True) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"prodai demo: {path} is not audio. Accepted: WAV, RF64, AIFF, FLAC, Ogg Vorbis, Ogg Opus and MP3.\n"


def test_a_file_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.run(str(tmp_path / "gone.wav"), as_json=True) == 1
    assert capsys.readouterr().err == f"prodai demo: there is no file {tmp_path}/gone.wav\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["ctrl-c", "sigterm", "hang-up"])
def test_a_cloud_is_told_to_stop_by(number: signal.Signals) -> None:
    handlers = {known: signal.getsignal(known) for known in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        stop = cloud.stop_on_signals()
        assert not stop.is_set()
        signal.raise_signal(number)
        assert stop.wait(5)
    finally:
        for known, handler in handlers.items():
            signal.signal(known, handler)
