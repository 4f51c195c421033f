"""Java and the emulators are found, or the reason says what is missing and how to get it."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests

from local import emulators
from local.emulators import FIRESTORE, PUBSUB, Emulator, MissingPart, RulesError
from local.tokens import unsigned_token
from shared.identity import FetchedKeys, KeyRing, verify
from shared.problems import Problem


def jar_bytes(main_class: str, java: int) -> bytes:
    """A jar with one class file, compiled for a Java version."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        header = b"\xca\xfe\xba\xbe\x00\x00" + (java + 44).to_bytes(2)
        archive.writestr(main_class.replace(".", "/") + ".class", header)
    return held.getvalue()


@dataclass
class Machine:
    """A computer with nothing on it but Java 17."""

    home: Path
    monkeypatch: pytest.MonkeyPatch

    def put(self, path: str, emulator: Emulator, java: int = 11) -> Path:
        target = self.home / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(jar_bytes(emulator.main_class, java))
        return target

    def answer_downloads(self, content: bytes) -> list[str]:
        asked: list[str] = []

        def get(url: str, **_: Any) -> Download:
            asked.append(url)
            return Download(content)

        self.monkeypatch.setattr(requests, "get", get)
        return asked

    def answer(self, method: str, status: int, body: str) -> list[Any]:
        """Answers every request of a method, and keeps what was sent."""
        sent: list[Any] = []
        answer = requests.Response()
        answer.status_code = status
        answer.raw = io.BytesIO(body.encode())

        def respond(*_: Any, **options: Any) -> requests.Response:
            sent.append(options)
            return answer

        self.monkeypatch.setattr(requests, method, respond)
        return sent


@dataclass
class Download:
    content: bytes

    def __enter__(self) -> Download:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def raise_for_status(self) -> None:
        pass

    def iter_content(self, _: int) -> Iterator[bytes]:
        yield self.content


def no_network(*_: Any, **__: Any) -> None:
    raise requests.ConnectionError


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    for name in ("CLOUDSDK_ROOT_DIR", "FIREBASE_EMULATORS_PATH", "JAVA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(emulators, "SDK_FOLDERS", ())
    monkeypatch.setattr(emulators, "_java", lambda: ("java", 17))
    monkeypatch.setattr(requests, "get", no_network)
    for cached in (emulators._jar, emulators.missing):
        cached.cache_clear()
    yield Machine(tmp_path, monkeypatch)
    for cached in (emulators._jar, emulators.missing):
        cached.cache_clear()


SDK_FIRESTORE = f"sdk/{FIRESTORE.in_sdk}"
FIREBASE = ".cache/firebase/emulators"


def test_the_sdk_is_found_behind_the_gcloud_command(machine: Machine) -> None:
    jar = machine.put(SDK_FIRESTORE, FIRESTORE)
    gcloud = machine.home / "sdk/bin/gcloud"
    gcloud.parent.mkdir()
    gcloud.touch(mode=0o755)
    (machine.home / "bin").mkdir()
    (machine.home / "bin/gcloud").symlink_to(gcloud)
    assert str(jar) in emulators.firestore_command(1, Path("r"), "p")


def test_the_sdk_named_in_the_environment_comes_first(machine: Machine) -> None:
    machine.put(f"google-cloud-sdk/{FIRESTORE.in_sdk}", FIRESTORE)
    named = machine.put(SDK_FIRESTORE, FIRESTORE)
    machine.monkeypatch.setenv("CLOUDSDK_ROOT_DIR", str(machine.home / "sdk"))
    assert str(named) in emulators.firestore_command(1, Path("r"), "p")


def test_without_an_sdk_the_newest_in_the_firebase_cache_is_taken(machine: Machine) -> None:
    machine.put(f"{FIREBASE}/cloud-firestore-emulator-v1.9.0.jar", FIRESTORE)
    newest = machine.put(f"{FIREBASE}/cloud-firestore-emulator-v1.19.8.jar", FIRESTORE)
    pubsub = machine.put(
        f"{FIREBASE}/pubsub-emulator-0.8.14/pubsub-emulator/lib/cloud-pubsub-emulator-0.8.14-all.jar", PUBSUB
    )
    assert str(newest) in emulators.firestore_command(1, Path("r"), "p")
    assert str(pubsub) in emulators.pubsub_command(1)
    assert emulators.missing() is None


def test_an_emulator_starts_from_the_classes_that_the_set_up_kept_for_it(machine: Machine) -> None:
    machine.put(f"google-cloud-sdk/{FIRESTORE.in_sdk}", FIRESTORE)
    kept = emulators.class_archive(FIRESTORE)
    option = f"-XX:SharedArchiveFile={kept}"
    assert option not in emulators.firestore_command(1, Path("r"), "p")
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert option in emulators.firestore_command(1, Path("r"), "p")


def test_classes_kept_for_one_version_are_not_those_of_another(machine: Machine) -> None:
    jar = machine.put(f"google-cloud-sdk/{FIRESTORE.in_sdk}", FIRESTORE)
    before = emulators.class_archive(FIRESTORE)
    jar.write_bytes(jar.read_bytes() + b"\0")
    assert emulators.class_archive(FIRESTORE) != before


def test_a_jar_for_a_newer_java_is_passed_over(machine: Machine) -> None:
    machine.put(f"google-cloud-sdk/{FIRESTORE.in_sdk}", FIRESTORE, java=21)
    older = machine.put(f"{FIREBASE}/cloud-firestore-emulator-v1.19.8.jar", FIRESTORE, java=11)
    assert str(older) in emulators.firestore_command(1, Path("r"), "p")


def test_where_only_a_newer_java_would_do_the_reason_says_so(machine: Machine) -> None:
    machine.put(f"google-cloud-sdk/{FIRESTORE.in_sdk}", FIRESTORE, java=21)
    with pytest.raises(MissingPart, match=r"needs Java 21; here is Java 17.*JAVA_HOME"):
        emulators.firestore_command(1, Path("r"), "p")


def test_a_broken_jar_is_passed_over(machine: Machine) -> None:
    broken = machine.put(f"{FIREBASE}/cloud-firestore-emulator-v1.20.0.jar", FIRESTORE)
    broken.write_bytes(b"half a downl")
    whole = machine.put(f"{FIREBASE}/cloud-firestore-emulator-v1.19.8.jar", FIRESTORE)
    assert str(whole) in emulators.firestore_command(1, Path("r"), "p")


def test_without_emulators_and_network_the_reason_names_the_component_and_three_ways_to_get_it(
    machine: Machine,
) -> None:
    reason = emulators.missing() or ""
    assert "The Firestore emulator is missing" in reason
    assert "gcloud components install cloud-firestore-emulator" in reason
    assert "apt-get install google-cloud-cli-firestore-emulator" in reason
    assert "firebase setup:emulators:firestore" in reason
    assert "no connection" in reason


def test_without_java_the_reason_names_it(machine: Machine) -> None:
    machine.monkeypatch.undo()
    machine.monkeypatch.setenv("PATH", str(machine.home))
    machine.monkeypatch.delenv("JAVA_HOME", raising=False)
    emulators._java.cache_clear()
    emulators._jar.cache_clear()
    with pytest.raises(MissingPart, match="Java 17 or newer"):
        emulators.pubsub_command(1)
    emulators._java.cache_clear()


@pytest.fixture
def pinned() -> Callable[[Emulator, bytes], Emulator]:
    return lambda emulator, content: replace(emulator, sha256=hashlib.sha256(content).hexdigest())


def test_a_download_with_the_pinned_checksum_is_kept(machine: Machine, pinned: Callable[..., Emulator]) -> None:
    content = jar_bytes(FIRESTORE.main_class, 11)
    asked = machine.answer_downloads(content)
    machine.monkeypatch.setattr(emulators, "FIRESTORE", pinned(FIRESTORE, content))
    for _ in range(2):
        emulators._jar.cache_clear()
        command = emulators.firestore_command(1, Path("r"), "p")
    kept = machine.home / ".cache/prodai/emulators/cloud-firestore-emulator-v1.19.8.jar"
    assert str(kept) in command
    assert kept.read_bytes() == content
    assert asked == [FIRESTORE.url]


def test_a_downloaded_zip_is_unpacked(machine: Machine, pinned: Callable[..., Emulator]) -> None:
    held = io.BytesIO()
    inside = "pubsub-emulator/lib/cloud-pubsub-emulator-0.8.14-all.jar"
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr(inside, jar_bytes(PUBSUB.main_class, 8))
    machine.answer_downloads(held.getvalue())
    machine.monkeypatch.setattr(emulators, "PUBSUB", pinned(PUBSUB, held.getvalue()))
    unpacked = machine.home / ".cache/prodai/emulators/pubsub-emulator-0.8.14" / inside
    assert str(unpacked) in emulators.pubsub_command(1)


def test_a_download_with_another_checksum_is_thrown_away(machine: Machine) -> None:
    machine.answer_downloads(jar_bytes(FIRESTORE.main_class, 11))
    with pytest.raises(MissingPart, match="another SHA-256"):
        emulators.firestore_command(1, Path("r"), "p")
    assert list((machine.home / ".cache/prodai/emulators").iterdir()) == []


def test_the_commands_name_port_rules_and_project_and_bound_the_memory(machine: Machine) -> None:
    machine.put(f"google-cloud-sdk/{FIRESTORE.in_sdk}", FIRESTORE)
    machine.put("google-cloud-sdk/platform/pubsub-emulator/lib/cloud-pubsub-emulator-0.8.20-all.jar", PUBSUB)
    firestore = emulators.firestore_command(4711, Path("firestore.rules"), "demo")
    assert {"--host=127.0.0.1", "--port=4711", "--rules=firestore.rules", "--project_id=demo", "-Xmx256m"} <= {
        *firestore
    }
    assert {"--host=127.0.0.1", "--port=4712", "-Xmx128m"} <= {*emulators.pubsub_command(4712)}


def test_bad_rules_are_an_error_with_line_and_column(machine: Machine) -> None:
    machine.answer("put", 400, '{"error": {"message": "Error compiling rules:\\nL2:88 Missing \'if\'."}}')
    with pytest.raises(RulesError, match="L2:88"):
        emulators.put_rules("127.0.0.1:1", "p", "…")


def test_rules_with_warnings_are_an_error_with_line_and_column(machine: Machine) -> None:
    issue = '{"sourcePosition": {"line": 2, "column": 91}, "description": "Invalid function name: x."}'
    machine.answer("put", 200, f'{{"issues": [{issue}]}}')
    with pytest.raises(RulesError, match="L2:91 Invalid function name"):
        emulators.put_rules("127.0.0.1:1", "p", "…")


def test_good_rules_are_put(machine: Machine) -> None:
    sent = machine.answer("put", 200, "{}")
    emulators.put_rules("127.0.0.1:1", "p", "the rules")
    assert "the rules" in str(sent)


@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_canary_that_is_not_denied_is_an_error(machine: Machine, status: int) -> None:
    machine.answer("get", status, "{}")
    with pytest.raises(RulesError, match="not in force"):
        emulators.check_canary("127.0.0.1:1", "p")


def test_a_canary_that_is_denied_is_well(machine: Machine) -> None:
    machine.answer("get", 403, "{}")
    emulators.check_canary("127.0.0.1:1", "p")


def test_an_unsigned_token_names_its_user_and_carries_custom_claims() -> None:
    token = unsigned_token("ana", "demo", {"operator": True})
    caller = verify(token, project="demo", allow_unsigned=True, keys=KeyRing(no_keys))
    assert (caller.uid, caller.operator) == ("ana", True)
    assert token.endswith(".")


def test_an_unsigned_token_lasts_as_long_as_asked() -> None:
    token = unsigned_token("ana", "demo", now=1000, ttl_s=600)
    verify(token, project="demo", allow_unsigned=True, keys=KeyRing(no_keys), now=1599)
    with pytest.raises(Problem, match="expired"):
        verify(token, project="demo", allow_unsigned=True, keys=KeyRing(no_keys), now=1700)


def test_an_unsigned_token_is_refused_where_signatures_are_asked_for() -> None:
    with pytest.raises(Problem):
        verify(unsigned_token("ana", "demo"), project="demo", allow_unsigned=False, keys=KeyRing(no_keys))


def no_keys() -> FetchedKeys:
    raise AssertionError("no key is needed")
