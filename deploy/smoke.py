"""Loads a staged bundle as production does: in a virtual environment with only its requirements, nothing else in reach.

    python3 -m deploy.smoke BUNDLE ENVIRONMENT TARGET…      (TARGET: an entry point of the bundle's main.py)

ENVIRONMENT is the folder of the virtual environment; it is made if it is not there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

# Any valid values: loading a function calls nothing.
SETTINGS = {
    "GOOGLE_CLOUD_PROJECT": "smoke-test",
    "UPLOAD_BUCKETS": "us=smoke-test",
    "UPSTASH_REDIS_REST_URL": "https://smoke-test.invalid",
    "UPSTASH_REDIS_REST_TOKEN": "smoke-test",
    "K_SERVICE": "smoke-test",
}
LOADING = """
import sys
bundle, *targets = sys.argv[1:]
sys.path.insert(0, bundle)
import functions_framework
for target in targets:
    functions_framework.create_app(target, f"{bundle}/main.py")
"""


class Failed(Exception):  # noqa: N818  # the sentence reads so: smoke.Failed
    """What pip or the bundle printed."""


def make_environment(requirements: Path, folder: Path) -> Path:
    """The Python of a virtual environment with these requirements, and not one that they do not name. Raises Failed."""
    python = folder / "bin" / "python"
    complete = folder / "complete"
    if complete.exists() and complete.read_bytes() == requirements.read_bytes():
        return python
    venv.create(folder, with_pip=True, clear=True)
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--disable-pip-version-check"]
    _run([str(python), *install, "--requirement", str(requirements)], folder, dict(_surroundings()))
    complete.write_bytes(requirements.read_bytes())
    return python


def load(python: Path, bundle: Path, targets: Sequence[str], code: str = LOADING) -> str:
    """Builds the application of each entry point. Gives what was printed; raises Failed."""
    environment = {"PATH": "/usr/bin:/bin", **SETTINGS}
    return _run([str(python), "-I", "-B", "-c", code, str(bundle), *targets], Path("/"), environment)


def _surroundings() -> list[tuple[str, str]]:
    """pip keeps the operator's proxies and indexes; nothing of Python's own paths."""
    return [(name, value) for name, value in os.environ.items() if not name.startswith("PYTHON")]


def _run(command: Sequence[str], folder: Path, environment: dict[str, str]) -> str:
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise Failed((ended.stdout + ended.stderr).strip())
    return ended.stdout


if __name__ == "__main__":
    bundle_path, folder_path = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    try:
        load(make_environment(bundle_path / "requirements.txt", folder_path), bundle_path, sys.argv[3:])
    except Failed as failed:
        sys.exit(f"deploy: the staged bundle cannot be loaded with its own requirements:\n{failed}")
