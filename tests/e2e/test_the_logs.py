"""The log of everything that a track goes through: no token, no address, no session, no name of the audio file."""

from __future__ import annotations

import shutil
from pathlib import Path

import requests

from tests.e2e.conftest import LocalCloud, eventually

NAME = "Minha Musica Secreta.wav"
ADDRESS = "203.0.113.77"


def test_nothing_that_must_not_be_known_is_in_the_log_of_a_tracks_way(
    cloud: LocalCloud, song: Path, tmp_path: Path
) -> None:
    secret = tmp_path / NAME
    shutil.copyfile(song, secret)
    token = cloud.token("discreet")
    client = cloud.client("discreet")
    upload = client.create_upload(secret)
    client.send(upload, secret, lambda _: None)
    assert client.wait(upload["trackId"], 60, lambda _: None)["state"] == "done"
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": ADDRESS, "Accept": "application/json"}
    status = f"{cloud.ready['upload']}/v1/uploads/{upload['trackId']}"
    assert requests.get(status, headers=headers, timeout=30).status_code == 200

    def log() -> str:
        return Path(cloud.ready["log"]).read_text(encoding="utf-8", errors="replace")

    written = eventually(lambda: upload["trackId"] in (text := log()) and text)
    session = upload["uploadUrl"].partition("upload_id=")[2] or upload["uploadUrl"]
    for kept in ("Secreta", ADDRESS, token, session):
        assert kept not in written
