"""Stages a function: its files and `shared/`, copied by an explicit list into a clean folder.

    python3 -m deploy.bundle SOURCE FOLDER      (SOURCE: functions/upload, …)

Prints the fingerprint of what was staged: the same files give the same one.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KINDS = (".py", ".json", ".lua")  # code, and the data that code reads; nothing else is deployed


def files(source: str) -> dict[str, Path]:
    """What a function's bundle holds: the path inside it, and where the file lies. Raises ValueError."""
    folder = ROOT / source
    needed = {name: folder / name for name in ("main.py", "requirements.txt")}
    missing = [name for name, path in needed.items() if not path.is_file()]
    if missing:
        raise ValueError(f"{source} has no {' and no '.join(missing)}")
    own = {str(path.relative_to(folder)): path for path in _package_files(folder) if path.parent != folder}
    shared = {str(path.relative_to(ROOT)): path for path in _package_files(ROOT / "shared")}
    return dict(sorted((needed | own | shared).items()))


def _package_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") or part in ("__pycache__", "tests") for part in parts)
        if path.suffix in KINDS and path.is_file() and not path.is_symlink() and not hidden:
            yield path


def stage(source: str, target: Path) -> str:
    """Copies a bundle into an empty or new folder and gives its fingerprint. Raises ValueError."""
    if target.exists() and any(target.iterdir()):
        raise ValueError(f"{target} is not empty; a bundle is staged into a clean folder")
    fingerprint = hashlib.sha256()
    for name, path in files(source).items():
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        fingerprint.update(f"{name}\0{hashlib.sha256(copy.read_bytes()).hexdigest()}\n".encode())
    return fingerprint.hexdigest()


if __name__ == "__main__":
    try:
        sys.stdout.write(stage(sys.argv[1], Path(sys.argv[2])) + "\n")
    except ValueError as fault:
        sys.exit(f"deploy: {fault}")
