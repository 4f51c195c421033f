"""A virtual environment with exactly what a requirements.txt names, in a tenth of a second and without a registry.

Its files are hard links to those of the environment that runs this, which `make lock` gives the same versions.
"""

from __future__ import annotations

import os
import shutil
import sys
import venv
from importlib import metadata
from pathlib import Path


class OutOfDate(Exception):  # noqa: N818  # the sentence reads so: environments.OutOfDate
    """The running environment has other versions than those asked for; the message names them."""


def linked(requirements: Path, folder: Path) -> Path:
    """The Python of a new environment in the folder. `requirements`: a line `name==version` each. Raises OutOfDate."""
    venv.create(folder, symlinks=True, with_pip=False)
    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    for line in requirements.read_text(encoding="utf-8").split():
        name, _, version = line.partition("==")
        _link(_installed(name, version, requirements), packages)
    return folder / "bin" / "python"


def _installed(name: str, version: str, requirements: Path) -> metadata.Distribution:
    hint = f"{requirements} asks for {name}=={version}; is requirements-dev.txt newer than .venv? `make clean test`"
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise OutOfDate(f"{name} is not installed, but {hint}") from None
    if found.version != version:
        raise OutOfDate(f"{name} {found.version} is installed, but {hint}")
    return found


def _link(distribution: metadata.Distribution, packages: Path) -> None:
    for file in distribution.files or ():
        source = Path(str(distribution.locate_file(file)))
        if ".." in file.parts or not source.is_file():  # commands in bin/; byte code that was never written
            continue
        target = packages / file
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:  # another file system
            shutil.copy2(source, target)
