"""Google's Firestore and Pub/Sub emulators: found or downloaded, started with which command, judged by which rules.

Searched in this order: the Cloud SDK, the firebase CLI's cache, our own cache; else the pinned version is downloaded.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import requests

from local.tokens import unsigned_token

REQUEST_DEADLINE_S = 30.0  # the first request to a JVM on a busy machine takes its time
JAVA_DEADLINE_S = 20.0
CONNECT_DEADLINE_S = 5.0
SILENCE_DEADLINE_S = 20.0
DOWNLOAD_DEADLINE_S = 600.0

LOGGING = Path(__file__).with_name("java-logging.properties")
JVM = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Duser.language=en",
    f"-Djava.util.logging.config.file={LOGGING}",
)
SDK_FOLDERS = ("/usr/lib", "/usr/share", "/opt", "/usr/local", "/opt/homebrew/share", "/usr/local/share")
JAVA_ADVICE = "Install Java 17 or newer (Debian and Ubuntu: apt-get install openjdk-17-jre-headless) or set JAVA_HOME."


class MissingPart(Exception):  # noqa: N818  # what is missing is no fault of the program
    """An emulator cannot run here; the message names what is missing and how to get it."""


class RulesError(Exception):
    """firestore.rules do not compile, or do not deny what they must; the message says where and what."""


@dataclass(frozen=True)
class Emulator:
    """One emulator: where its jar may lie, and the pinned version for where there is none.

    The pinned versions are those of firebase-tools 14, which still run on Java 17; the checksums were
    read in public sources (firebase-tools' downloadableEmulatorInfo.json for Pub/Sub, repositories that pin the same
    version for Firestore), not computed from a download. A download that differs is thrown away.
    """

    title: str
    component: str
    main_class: str
    in_sdk: str
    in_cache: str
    url: str
    sha256: str


DOWNLOADS = "https://storage.googleapis.com/firebase-preview-drop/emulator"
FIRESTORE = Emulator(
    title="Firestore emulator",
    component="cloud-firestore-emulator",
    main_class="com.google.cloud.datastore.emulator.firestore.CloudFirestore",
    in_sdk="platform/cloud-firestore-emulator/cloud-firestore-emulator.jar",
    in_cache="cloud-firestore-emulator-v*.jar",
    url=f"{DOWNLOADS}/cloud-firestore-emulator-v1.19.8.jar",
    sha256="9d43599ed6151199e8d604dc87fac51218e49e5f3a48519b1ae560bbe5e3382d",
)
PUBSUB = Emulator(
    title="Pub/Sub emulator",
    component="pubsub-emulator",
    main_class="com.google.cloud.pubsub.testing.v1.Main",
    in_sdk="platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar",
    in_cache="pubsub-emulator-*/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar",
    url=f"{DOWNLOADS}/pubsub-emulator-0.8.14.zip",
    sha256="4fbeefd8ecb32b10e5ab522e5d8748e0c2b13891c471c0c327c04632dcc75a8d",
)


def firestore_command(port: int, rules: Path, project: str) -> list[str]:
    """The command that starts the Firestore emulator. Raises MissingPart.

    Rules given here that do not compile leave everything allowed: put them by `put_rules` too, which is loud.
    """
    options = ["--host=127.0.0.1", f"--port={port}", f"--rules={rules}", f"--project_id={project}"]
    return [*_java_with(FIRESTORE, "-Xss512k", "-Xmx256m"), *options]


def pubsub_command(port: int) -> list[str]:
    """The command that starts the Pub/Sub emulator. Raises MissingPart."""
    return [*_java_with(PUBSUB, "-Xmx128m"), "--host=127.0.0.1", f"--port={port}"]


@cache
def missing() -> str | None:
    """Why the emulators cannot run here, or None."""
    try:
        for emulator in (FIRESTORE, PUBSUB):
            _jar(emulator)
    except MissingPart as reason:
        return str(reason)
    return None


def put_rules(firestore: str, project: str, source: str) -> None:
    """Puts rules in force at once; `firestore` is host:port. Raises RulesError with line and column.

    What the emulator only warns of, such as a function that does not exist, is an error here: it would deny always.
    """
    answer = requests.put(
        f"http://{firestore}/emulator/v1/projects/{project}:securityRules",
        json={"rules": {"files": [{"name": "security.rules", "content": source}]}},
        timeout=REQUEST_DEADLINE_S,
    )
    body = answer.json()
    if not answer.ok:
        raise RulesError(f"firestore.rules: {body['error']['message']}")
    places = [(issue["sourcePosition"], issue["description"]) for issue in body.get("issues", [])]
    if places:
        raise RulesError("\n".join(f"firestore.rules: L{at['line']}:{at['column']} {what}" for at, what in places))


def check_canary(firestore: str, project: str) -> None:
    """Makes sure that rules are in force: a stranger's profile must not be readable. Raises RulesError."""
    answer = requests.get(
        f"http://{firestore}/v1/projects/{project}/databases/(default)/documents/users/somebody-else",
        headers={"Authorization": f"Bearer {unsigned_token('canary', project)}"},
        timeout=REQUEST_DEADLINE_S,
    )
    if answer.status_code != requests.codes.forbidden:
        raise RulesError(
            f"the rules let a user read a stranger's profile (the emulator answered {answer.status_code}, not 403): "
            "firestore.rules are not in force, or allow too much"
        )


def class_archive(emulator: Emulator) -> Path:
    """Where `local.prepare` keeps the classes that an emulator loads, by jar and Java. Raises MissingPart."""
    jar = _jar(emulator)
    return _own_cache() / f"{jar.stem}-{jar.stat().st_size}-java{_java()[1]}.jsa"


def _java_with(emulator: Emulator, *memory: str) -> list[str]:
    jar, kept = _jar(emulator), class_archive(emulator)
    # A Java that does not like the archive starts without it; its warning would only puzzle.
    shared = (f"-XX:SharedArchiveFile={kept}", "-Xlog:disable") if kept.exists() else ()
    return [_java()[0], *JVM, *shared, *memory, "-cp", str(jar), emulator.main_class]


@cache
def _java() -> tuple[str, int]:
    """The java command and its major version. Raises MissingPart."""
    homes = [Path(os.environ["JAVA_HOME"], "bin", "java")] if os.environ.get("JAVA_HOME") else []
    found = next((str(path) for path in homes if path.exists()), shutil.which("java"))
    if found is None:
        raise MissingPart(f"The emulators need Java, and there is none here. {JAVA_ADVICE}")
    try:
        run = subprocess.run([found, "-version"], capture_output=True, text=True, timeout=JAVA_DEADLINE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingPart(f"{found} does not run ({error}). {JAVA_ADVICE}") from error
    version = re.search(r'version "(?:1\.)?(\d+)', run.stderr)
    if version is None:
        raise MissingPart(f"{found} is no working Java: {run.stderr.strip()[:200]!r}. {JAVA_ADVICE}")
    return found, int(version[1])


@cache
def _jar(emulator: Emulator) -> Path:
    """The first jar that this machine's Java can run, else a downloaded one. Raises MissingPart."""
    _, java = _java()
    too_new: list[tuple[Path, int]] = []
    for jar in _candidates(emulator):
        needed = _java_needed(jar, emulator.main_class)
        if needed <= java:
            return jar
        too_new.append((jar, needed))
    try:
        return _download(emulator)
    except (OSError, zipfile.BadZipFile, MissingPart) as error:
        if too_new:
            jar, needed = too_new[0]
            reason = f"The {emulator.title} in {jar} needs Java {needed}; here is Java {java}. {JAVA_ADVICE}"
        else:
            reason = f"The {emulator.title} is missing. {_component_advice(emulator)}"
        raise MissingPart(f"{reason} (Downloading {emulator.url} failed: {_brief(error)})") from error


def _component_advice(emulator: Emulator) -> str:
    apt = emulator.component.removeprefix("cloud-")
    return (
        f"Install it with: gcloud components install {emulator.component} "
        f"(an SDK from apt: apt-get install google-cloud-cli-{apt}; the firebase CLI: firebase "
        f"setup:emulators:{apt.removesuffix('-emulator')})."
    )


def _brief(error: Exception) -> str:
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return str(error)


def _candidates(emulator: Emulator) -> Iterator[Path]:
    for root in _sdk_roots():
        yield from _newest_first(root, emulator.in_sdk)
    for folder in (_firebase_cache(), _own_cache()):
        yield from _newest_first(folder, emulator.in_cache)


def _sdk_roots() -> list[Path]:
    """Where the Cloud SDK may be. `gcloud info` would know, but takes more than a second."""
    roots = [Path(os.environ["CLOUDSDK_ROOT_DIR"])] if os.environ.get("CLOUDSDK_ROOT_DIR") else []
    gcloud = shutil.which("gcloud")
    if gcloud:
        roots.append(Path(gcloud).resolve().parent.parent)
    roots += [Path(folder) / "google-cloud-sdk" for folder in (*SDK_FOLDERS, Path.home())]
    return list(dict.fromkeys(root for root in roots if root.is_dir()))


def _firebase_cache() -> Path:
    named = os.environ.get("FIREBASE_EMULATORS_PATH")
    return Path(named) if named else Path.home() / ".cache" / "firebase" / "emulators"


def _own_cache() -> Path:
    return Path.home() / ".cache" / "prodai" / "emulators"


def _newest_first(folder: Path, pattern: str) -> list[Path]:
    def version(path: Path) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", path.name)]

    return sorted(folder.glob(pattern), key=version, reverse=True)


def _java_needed(jar: Path, main_class: str) -> int:
    """The Java version for which a jar was compiled: the class file's major version - 44 (JVM specification, 4.1)."""
    try:
        with zipfile.ZipFile(jar) as archive, archive.open(main_class.replace(".", "/") + ".class") as file:
            return int.from_bytes(file.read(8)[6:8]) - 44
    except (OSError, KeyError, zipfile.BadZipFile):
        return sys.maxsize  # a broken download of another tool: no Java can run it


def _download(emulator: Emulator) -> Path:
    """Fetches the pinned version into our own cache. Raises OSError, zipfile.BadZipFile or MissingPart."""
    cache_folder = _own_cache()
    cache_folder.mkdir(parents=True, exist_ok=True)
    name = emulator.url.rpartition("/")[2]
    with tempfile.TemporaryDirectory(dir=cache_folder) as temporary:
        fetched = Path(temporary, name)
        print(f"downloading the {emulator.title}, once: {emulator.url}", file=sys.stderr)
        if _fetch(emulator.url, fetched) != emulator.sha256:
            raise MissingPart("what came has another SHA-256 than the pinned one, and was thrown away")
        if fetched.suffix == ".zip":
            unpacked = fetched.with_suffix("")
            with zipfile.ZipFile(fetched) as archive:
                archive.extractall(unpacked)
            fetched = unpacked
        _put(fetched, cache_folder / fetched.name)
    found = _newest_first(cache_folder, emulator.in_cache)
    if not found:
        raise MissingPart(f"there is no {emulator.in_cache} in what was downloaded")
    return found[0]


def _put(fetched: Path, target: Path) -> None:
    try:
        fetched.replace(target)
    except OSError:
        if not target.exists():  # it does where another process was faster
            raise


def _fetch(url: str, target: Path) -> str:
    """Streams a download into a file and gives its SHA-256. Raises OSError, requests' own errors among them."""
    deadline = time.monotonic() + DOWNLOAD_DEADLINE_S
    digest = hashlib.sha256()
    with requests.get(url, stream=True, timeout=(CONNECT_DEADLINE_S, SILENCE_DEADLINE_S)) as answer:
        answer.raise_for_status()
        with target.open("wb") as file:
            for block in answer.iter_content(1 << 20):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not finished after {DOWNLOAD_DEADLINE_S:.0f} s")
                digest.update(block)
                file.write(block)
    return digest.hexdigest()
