"""What gcloud accepts and Google refuses is found before Google is asked; and the scripts of a deployment are clean."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy import buckets, delivery, front, policy, preflight, service
from shared import settings

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ["deploy.sh", "deploy/setup.sh", "deploy/front.sh"]
GIVEN = {
    "GOOGLE_CLOUD_PROJECT": "prodai-test",
    "UPLOAD_BUCKETS": "us=a,eu=b",
    "UPSTASH_REDIS_REST_URL": "https://redis.example",
}


def changed(**values: Any) -> dict[str, Any]:
    upload = next(row for row in preflight.table() if row["name"] == "upload")
    return {**upload, **values}


def test_the_table_of_deployables_is_one_that_google_takes() -> None:
    assert [fault for row in preflight.table() for fault in preflight.table_faults(row)] == []


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"timeoutS": 3601}, "3600"),
        ({"timeoutS": 541, "trigger": {"topic": "tick"}, "signature": "cloudevent"}, "540"),
        ({"cpu": 0.5}, "less than one CPU allows a concurrency of 1"),
        ({"cpu": 3}, "only 1, 2, 4, 6, 8"),
        ({"cpu": 0.5, "concurrency": 1, "memoryMib": 1024}, None),
        ({"cpu": 0.5, "concurrency": 1, "memoryMib": 2048}, "2048 MiB of memory need 1 CPU"),
        ({"memoryMib": 8192}, "8192 MiB of memory need 2 CPU"),
        ({"cpu": 4, "memoryMib": 1024}, "4 CPUs need 2048 MiB"),
        ({"memoryMib": 40_000, "cpu": 8}, "only 128 to 32768"),
        ({"concurrency": 1001}, "not within 1 to 1000"),
        ({"minInstances": 30}, "minInstances <= maxInstances"),
        ({"entryPoint": "nothing"}, "has no function nothing"),
        ({"signature": "cloudevent"}, "one that hears events has one"),
        ({"trigger": {"topic": "nothing"}, "signature": "cloudevent"}, "nothing is published on the topic nothing"),
        ({"name": "Upload"}, "small letters"),
        ({"name": "stranger"}, "deploy/rights.json does not say"),
    ],
)
def test_a_row_that_google_would_refuse_is_found(values: dict[str, Any], fault: str | None) -> None:
    faults = " ".join(preflight.table_faults(changed(**values)))
    assert fault in faults if fault else faults == ""


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, None),
        ({"subscription": {"ackDeadlineSeconds": 601}}, "not within 10 to 600"),
        ({"subscription": {"ackDeadlineSeconds": 300}}, "analyze may work for 540 s, but its event comes again"),
        ({"subscription": {"deadLetterPolicy": {"maxDeliveryAttempts": 4}}}, "not within 5 to 100"),
        ({"subscription": {"retryPolicy": {"minimumBackoff": "10s", "maximumBackoff": "601s"}}}, "not within 0 to 600"),
        ({"tickCron": "* * * *"}, "has 4 fields, not 5"),
        ({"tickCron": "60 * * * *"}, "60 is no minute from 0 to 59"),
        ({"tickCron": "*/0 * * * *"}, "*/0 is no minute"),
        ({"tickCron": "0-30/5,45 0 1,15 * 1-5"}, None),
        ({"tickCron": "30-10 * * * *"}, "30-10 is no minute"),
        ({"tickCron": "@daily * * * *"}, "@daily is no minute"),
    ],
)
def test_a_delivery_or_schedule_that_google_would_refuse_is_found(changes: dict[str, Any], fault: str | None) -> None:
    table = delivery.table()
    table["subscription"] |= changes.get("subscription", {})
    faults = " ".join(delivery.faults({**table, "tickCron": changes.get("tickCron", table["tickCron"])}))
    assert fault in faults if fault else faults == ""


def test_every_setting_of_the_functions_is_passed_kept_secret_or_for_the_local_cloud() -> None:
    known = {*preflight.passed_settings(), *preflight.SECRETS, *preflight.LOCAL_ONLY}
    assert known == {setting.name for setting in settings.TABLE}
    assert set(preflight.SECRETS) == {name for rights in preflight.accounts().values() for name in rights["secrets"]}


def test_settings_are_judged_by_the_code_that_will_read_them() -> None:
    assert preflight.setting_faults(GIVEN) == []
    broken = {**GIVEN, "UPLOAD_BUCKETS": "eu=b", "LOG_LEVEL": "loud", "ALLOWED_ORIGINS": "app.example"}
    faults = " ".join(preflight.setting_faults(broken))
    assert all(name in faults for name in ("UPLOAD_BUCKETS", "LOG_LEVEL", "ALLOWED_ORIGINS"))


def test_a_function_that_hears_a_topic_stands_in_the_home_region_alone() -> None:
    rows = preflight.plan(["chat", "analyze"], "-", {**GIVEN, "HOME_REGION": "eu"})
    assert {(row.name, row.region) for row in rows} == {("chat", "us"), ("chat", "eu"), ("analyze", "eu")}


def test_no_account_is_owner_or_editor_and_every_function_has_its_own() -> None:
    roles = [role for rights in preflight.accounts().values() for role in rights["project"]]
    roles += [role for granted in preflight.agents().values() for role in granted]
    assert not {"roles/owner", "roles/editor", "roles/datastore.owner"} & set(roles)
    assert "roles/iam.serviceAccountUser" not in roles  # on the project, it would be the right to be anybody
    assert {row["name"] for row in preflight.table()} | {"trigger", "build"} == set(preflight.accounts())


def test_the_documents_name_every_right_of_every_account() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text("utf-8").partition("## Who may do what")[2]
    for account, rights in preflight.accounts().items():
        line = next((line for line in operations.splitlines() if line.startswith(f"| `{account}` |")), "")
        named = [*rights["project"], rights["buckets"], *rights["publishes"], *rights["secrets"]]
        assert [right for right in named if right and f"`{right.removeprefix('roles/')}`" not in line] == [], account


def test_rights_are_added_once_and_what_others_granted_stays() -> None:
    others = {"role": "roles/viewer", "members": ["user:somebody@example.com"]}
    first = policy.merged({"etag": "read", "bindings": [others]}, "topic:track-queued", "p", "1")
    assert first is not None
    assert first["etag"] == "read"
    assert others in first["bindings"]
    (publishers,) = [binding["members"] for binding in first["bindings"] if binding["role"] == "roles/pubsub.publisher"]
    assert publishers == [
        "serviceAccount:prodai-upload-finalized@p.iam.gserviceaccount.com",
        "serviceAccount:prodai-upload-sweep@p.iam.gserviceaccount.com",
        "serviceAccount:prodai-analyze@p.iam.gserviceaccount.com",
    ]
    assert policy.merged(first, "topic:track-queued", "p", "1") is None


def test_a_service_is_read_with_its_traffic_and_its_tags() -> None:
    traffic = [
        {"revisionName": "upload-2", "percent": 90},
        {"revisionName": "upload-3", "percent": 10},
        {"revisionName": "upload-3", "tag": "candidate", "url": "https://candidate---upload.example"},
    ]
    container = {"env": [{"name": "BUNDLE", "value": "abc"}, {"name": "COMMIT", "value": "123"}]}
    status = {"traffic": traffic, "latestReadyRevisionName": "upload-3", "latestCreatedRevisionName": "upload-4"}
    one = {
        "metadata": {"name": "upload"},
        "spec": {"template": {"spec": {"containers": [container]}}},
        "status": {**status, "url": "https://upload.example"},
    }
    found = service.read([one], "upload")
    assert found is not None
    assert (found.serving, found.split, found.candidate) == ("upload-2", "upload-2=90,upload-3=10", "upload-3")
    assert found.latest == ""  # the newest revision is not ready
    assert found.deployed == "abc 123"
    assert service.read([one], "upload-finalized") is None


def test_the_revision_before_is_the_newest_ready_one_that_is_older() -> None:
    def revision(name: str, minute: int, ready: str = "True") -> dict[str, Any]:
        conditions = [{"type": "Ready", "status": ready}]
        return {
            "metadata": {"name": name, "creationTimestamp": f"2026-11-24T12:{minute:02d}:00Z"},
            "status": {"conditions": conditions},
        }

    listed = [revision("d", 4), revision("c", 3, ready="False"), revision("a", 1), revision("b", 2)]
    assert service.older(listed, "d") == "b"
    assert service.older(listed, "a") == ""
    assert service.before(listed, ["d"], "a") == "a"  # what served before
    assert service.before(listed, ["b"], "d") == "a"  # never forward
    assert service.before(listed, ["a", "d"], "a") == "a"  # a canary is what is taken back
    assert service.before(listed, ["a"], "d") == ""


def test_a_bucket_that_was_opened_differs_from_what_setup_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(**configuration: Any) -> str:
        bucket = {"iamConfiguration": buckets.CLOSED | configuration, "lifecycle": buckets.lifecycle()}
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(bucket)))
        return buckets.main(["found"])

    monkeypatch.delenv("ALLOWED_ORIGINS", raising=False)
    wanted = "\n".join(buckets.main([part]) for part in ("cors", "lifecycle", "access"))
    assert found() == wanted
    assert found(publicAccessPrevention="inherited") != wanted
    assert found(uniformBucketLevelAccess={"enabled": False}) != wanted


def test_production_has_dead_letters_of_all_topics_and_publishes_on_all_but_the_buckets() -> None:
    assert "storage-events-dead-letter" in delivery.dead_letters()
    assert set(delivery.topics()) - set(delivery.own_topics()) == {"storage-events"}


@pytest.mark.parametrize("tool", ["shellcheck", "shfmt"])
def test_the_scripts_are_clean(tool: str) -> None:
    options = {"shellcheck": ["--external-sources"], "shfmt": ["-d"]}[tool]
    command = str(Path(sys.executable).with_name(tool))  # which came with the packages of development
    checked = subprocess.run([command, *options, *SCRIPTS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.stdout == ""
    assert checked.returncode == 0


def test_the_load_balancer_leads_every_path_of_the_interface_to_its_function() -> None:
    documented = re.findall(r"^  (/[\w/{}.-]+):", (ROOT / "docs" / "openapi.yaml").read_text("utf-8"), re.MULTILINE)
    patterns = [pattern.removesuffix("*") for paths in front.PATHS.values() for pattern in paths]
    assert documented
    assert [path for path in documented if not any(path.partition("{")[0] == pattern for pattern in patterns)] == []


def test_a_backend_has_a_group_in_every_region_and_leaves_a_failing_one_out() -> None:
    both = front.backend("p", "chat", ["us", "eu"])
    groups = [backend["group"].partition("/regions/")[2] for backend in both["backends"]]
    assert groups == [
        "us-central1/networkEndpointGroups/prodai-chat-us",
        "europe-west1/networkEndpointGroups/prodai-chat-eu",
    ]
    assert both["customRequestHeaders"] == ["X-Client-Geo-Location:{client_region}"]  # where `region=auto` looks
    assert "outlierDetection" in both
    assert both["description"] != front.backend("p", "chat", ["us"])["description"]


def test_the_indexes_that_setup_makes_are_written_as_firebase_writes_them() -> None:
    written = json.loads((ROOT / "firestore.indexes.json").read_text("utf-8"))
    assert written["indexes"] == []  # every query of the functions is served by a single field
    assert all(override["indexes"] == [] for override in written["fieldOverrides"])
