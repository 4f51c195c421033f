"""The set-up keeps the classes that the emulators load, so that they start in half the time from then on."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import emulators, prepare

pytestmark = pytest.mark.skipif(emulators.missing() is not None, reason=str(emulators.missing()))


def test_each_emulator_starts_from_the_classes_that_one_run_of_it_has_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = {e: tmp_path / f"{e.component}.jsa" for e in (emulators.FIRESTORE, emulators.PUBSUB)}
    monkeypatch.setattr(emulators, "class_archive", kept.__getitem__)
    prepare.main()
    assert capsys.readouterr().err == ""
    assert f"-XX:SharedArchiveFile={kept[emulators.FIRESTORE]}" in emulators.firestore_command(1, Path("r"), "p")
    assert f"-XX:SharedArchiveFile={kept[emulators.PUBSUB]}" in emulators.pubsub_command(1)
    prepare.main()
    assert capsys.readouterr().out == ""  # once is enough
