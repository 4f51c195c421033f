"""A command `gcloud` for many calls: the real one, loaded once (gcloud_server.py).

Only an identity token it makes up, as for a user's account: the real one asks Google's sign-in for it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVER = Path(__file__).with_name("gcloud_server.py")
IDENTITY_TOKEN = "an-identity-token"
SIGN_IN = f"""case "$*" in
*print-identity-token*--audiences*) echo 'Invalid account type for --audiences' >&2; exit 1 ;;
*print-identity-token*) echo {IDENTITY_TOKEN}; exit ;;
esac
"""
ASKED = "--format=value[separator=' '](installation.sdk_root,basic.python_location)"


@contextmanager
def loaded(folder: Path) -> Iterator[None]:
    """Puts the command into the folder; it works inside the block."""
    installed = shutil.which("gcloud")
    assert installed is not None
    told = subprocess.run([installed, "info", ASKED], capture_output=True, text=True, check=True)
    root, python = told.stdout.split()
    address = folder / "socket"
    server = subprocess.Popen([python, "-S", str(SERVER), root, str(address)], stdin=subprocess.PIPE)
    assert server.stdin is not None
    command = folder / "gcloud"
    waiting = f"until [ -S {address} ]; do sleep 0.05; done"
    command.write_text(f'#!/bin/sh\n{SIGN_IN}{waiting}\nexec {sys.executable} -I -S {SERVER} ask {address} "$@"\n')
    command.chmod(0o755)
    try:
        yield
    finally:
        server.stdin.close()  # which ends it
        server.wait(10)
