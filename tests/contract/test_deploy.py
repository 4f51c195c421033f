"""deploy.sh with the real gcloud, against a recording stand-in of Google's APIs: no call leaves this machine."""

from __future__ import annotations

import compileall
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy import buckets, bundle, documents, front, preflight
from tests.contract import gcloud, google_stand_in
from tests.contract.google_stand_in.functions import given
from tests.contract.google_stand_in.project import NUMBER, Google

pytestmark = [
    pytest.mark.xdist_group("deploy"),
    pytest.mark.timeout(600),  # each call of gcloud takes most of a second, and a set-up makes sixty
    pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed: the Google Cloud SDK has it"),
]

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "prodai-test"
US, EU = "us-central1", "europe-west1"
SETTINGS = {
    "GOOGLE_CLOUD_PROJECT": PROJECT,
    "CONFIRM_PROJECT": PROJECT,
    "UPLOAD_BUCKETS": "us=prodai-test-us",
    "UPSTASH_REDIS_REST_URL": "https://redis.example",
    "ALLOWED_ORIGINS": "https://app.example,https://www.example",
}


@dataclass
class Operator:
    """Somebody who runs deploy.sh in a repository where everything is committed."""

    repository: Path
    google: Google
    environment: dict[str, str] = field(default_factory=dict)

    def runs(self, command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in (self.environment | settings).items() if value}
        arguments = ["./deploy.sh", *command.split()]
        return subprocess.run(
            arguments, cwd=self.repository, env=environment, capture_output=True, text=True, check=False, timeout=500
        )


def git(folder: Path, *arguments: str) -> None:
    author = ["-c", "user.name=Operator", "-c", "user.email=operator@example.com"]
    subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's deployed part in a repository of its own."""
    folder = tmp_path_factory.mktemp("committed")
    for name in ("functions", "shared", "deploy"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("deploy.sh", "firestore.indexes.json", "firestore.rules"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, folder)
    (folder / ".gitignore").write_text("__pycache__/\n.prodai/\n")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "All of it")
    compileall.compile_dir(folder, quiet=1)
    return folder


@pytest.fixture(scope="module")
def path_of_gcloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PATH on which the real gcloud is loaded already."""
    folder = tmp_path_factory.mktemp("bin")
    with gcloud.loaded(folder):
        yield f"{folder}:{os.environ['PATH']}"


@pytest.fixture
def operator(committed: Path, tmp_path: Path, path_of_gcloud: str) -> Iterator[Operator]:
    repository = tmp_path / "repository"
    shutil.copytree(committed, repository)
    for source in ("upload", "metrics"):  # this environment stands in for what test_bundles.py makes in earnest
        environment = repository / ".prodai" / "bundles" / f"{source}.venv"
        (environment / "bin").mkdir(parents=True)
        shutil.copy(repository / "functions" / source / "requirements.txt", environment / "complete")
        (environment / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (environment / "bin" / "python").chmod(0o755)
    token = tmp_path / "token"
    token.write_text("a-token")
    with google_stand_in.running(PROJECT) as (google, port):
        environment_of_gcloud = google_stand_in.environment(port, str(tmp_path / "gcloud"))
        base = {"PATH": path_of_gcloud, "HOME": str(tmp_path), "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token)}
        base["PYTHON"] = sys.executable
        yield Operator(repository, google, {**base, **environment_of_gcloud, **SETTINGS})
    assert google.unexpected == []


def test_a_first_deployment_passes_every_setting_and_the_second_changes_nothing(operator: Operator) -> None:
    operator.google.empty_secrets.add("METRICS_TOKEN")  # which the settings call optional
    first = operator.runs("metrics")
    assert first.returncode == 0, first.stderr
    (created,) = [call for call in operator.google.calls if call.path.endswith("/functions") and call.method == "POST"]
    service = created.body["serviceConfig"]
    assert {key: service[key] for key in ("availableMemory", "availableCpu", "timeoutSeconds")} == {
        "availableMemory": "512Mi",
        "availableCpu": "1",
        "timeoutSeconds": 30,
    }
    assert (service["minInstanceCount"], service["maxInstanceCount"]) == (0, 5)
    assert service["maxInstanceRequestConcurrency"] == 40
    assert service["serviceAccountEmail"] == "prodai-metrics@prodai-test.iam.gserviceaccount.com"
    variables = service["environmentVariables"]
    assert variables.keys() >= {"THREADS", "BUNDLE", "COMMIT"}
    assert variables["ALLOWED_ORIGINS"] == SETTINGS["ALLOWED_ORIGINS"]
    assert "CONFIRM_PROJECT" not in variables
    secrets = {secret["key"]: secret["version"] for secret in service["secretEnvironmentVariables"]}
    given_a_value = set(preflight.accounts()["metrics"]["secrets"]) - {"METRICS_TOKEN"}
    assert secrets == dict.fromkeys(given_a_value, "3")
    assert operator.google.zips == [sorted(bundle.files("functions/metrics"))]
    assert operator.google.split(US, "metrics") == {"metrics-00001-abc": 100}

    operator.google.forget()
    second = operator.runs("metrics")
    assert second.returncode == 0, second.stderr
    assert operator.google.mutations() == []
    assert "nothing is deployed" in second.stderr


def test_what_hears_events_hears_them_again_is_waited_for_and_has_a_dead_letter_topic_and_this_is_kept_so(
    operator: Operator,
) -> None:
    google = operator.google
    ran = operator.runs("metrics-ingest upload-finalized")
    assert ran.returncode == 0, ran.stderr
    created = [call.body for call in google.calls if call.path.endswith("/functions") and call.method == "POST"]
    of_bucket, of_topic = (body["eventTrigger"] for body in created)
    assert of_topic["pubsubTopic"] == "projects/prodai-test/topics/usage"
    assert of_bucket["eventType"] == "google.cloud.storage.object.v1.finalized"
    for trigger in (of_topic, of_bucket):
        assert trigger["retryPolicy"] == "RETRY_POLICY_RETRY"
        assert trigger["serviceAccountEmail"] == "prodai-trigger@prodai-test.iam.gserviceaccount.com"
    subscriptions = google.under("subscriptions/")
    for subscription, topic in zip(subscriptions, ("usage", "storage-events"), strict=True):
        dead = f"projects/prodai-test/topics/{topic}-dead-letter"
        assert subscription["ackDeadlineSeconds"] == 600
        assert subscription["deadLetterPolicy"] == {"deadLetterTopic": dead, "maxDeliveryAttempts": 20}
        assert subscription["retryPolicy"] == {"minimumBackoff": "10s", "maximumBackoff": "600s"}
    assert google.policies.get(f"{US}-run/metrics-ingest") is None  # no stranger may send it events

    google.forget()
    subscriptions[0]["deadLetterPolicy"]["maxDeliveryAttempts"] = 5
    subscriptions[1]["retryPolicy"]["maximumBackoff"] = "60s"
    again = operator.runs("metrics-ingest upload-finalized")
    assert again.stderr.count("nothing is deployed") == 2, again.stderr
    assert {call.path.partition("/subscriptions/")[1] for call in google.mutations()} == {"/subscriptions/"}
    assert subscriptions[0]["deadLetterPolicy"]["maxDeliveryAttempts"] == 20
    assert subscriptions[1]["retryPolicy"]["maximumBackoff"] == "600s"


def test_a_canary_takes_its_share_and_can_be_taken_back_promoted_and_rolled_back(operator: Operator) -> None:
    google = operator.google
    given(google, US, "metrics", public=True)
    given(google, US, "upload", public=True)
    untouched = json.dumps(google.service(US, "upload"))
    canary = operator.runs("metrics --canary 10")
    assert canary.returncode == 0, canary.stderr
    assert google.split(US, "metrics") == {"metrics-00001-abc": 90, "metrics-00002-abc": 10}
    taken_back = operator.runs("metrics --rollback")
    assert taken_back.returncode == 0, taken_back.stderr
    assert google.split(US, "metrics") == {"metrics-00001-abc": 100}
    again = operator.runs("metrics")
    assert "was rolled back" in again.stderr
    assert google.split(US, "metrics") == {"metrics-00001-abc": 100}
    promoted = operator.runs("metrics --promote")
    assert promoted.returncode == 0, promoted.stderr
    assert google.split(US, "metrics") == {"metrics-00002-abc": 100}
    assert "nothing is deployed" in operator.runs("metrics").stderr
    rolled_back = operator.runs("metrics --rollback")
    assert rolled_back.returncode == 0, rolled_back.stderr
    assert google.split(US, "metrics") == {"metrics-00001-abc": 100}
    assert json.dumps(google.service(US, "upload")) == untouched  # one function's deployment touches no other


def test_rollbacks_go_back_one_by_one_and_never_forward(operator: Operator) -> None:
    google = operator.google
    given(google, US, "metrics", public=True, revisions=3)
    for revision in ("metrics-00002-abc", "metrics-00001-abc"):
        ran = operator.runs("metrics --rollback")
        assert ran.returncode == 0, ran.stderr
        assert google.split(US, "metrics") == {revision: 100}
    google.forget()
    none_before = operator.runs("metrics --rollback")
    assert none_before.returncode == 1
    assert "metrics in us has no revision before metrics-00001-abc" in none_before.stderr
    assert google.mutations() == []


def test_a_failed_build_ends_with_an_error_and_moves_no_traffic(operator: Operator) -> None:
    given(operator.google, US, "metrics", public=True)
    operator.google.failing_builds.add("metrics")
    ran = operator.runs("metrics")
    assert ran.returncode == 1
    assert "Build failed" in ran.stderr
    assert "traffic stays with metrics-00001-abc" in ran.stderr
    assert operator.google.split(US, "metrics") == {"metrics-00001-abc": 100}


@pytest.mark.parametrize("name", ["metrics", "metrics-ingest"])
def test_a_revision_that_answers_wrongly_gets_no_traffic(operator: Operator, name: str) -> None:
    given(operator.google, US, name, public=name == "metrics")
    operator.google.broken.add(name)
    ran = operator.runs(name)
    assert ran.returncode == 1
    assert f"{name}-00002-abc answers 500" in ran.stderr
    assert operator.google.split(US, name) == {f"{name}-00001-abc": 100}


def test_permission_denied_midway_says_what_was_done_and_running_again_completes(operator: Operator) -> None:
    google = operator.google
    for name in ("upload", "metrics"):
        given(google, US, name, public=True)
    google.refusals["PATCH cloudfunctions.*/functions/metrics"] = (403, "PERMISSION_DENIED", "no permission to update")
    ran = operator.runs("upload metrics")
    assert ran.returncode == 1
    assert re.search(r"done: +upload in us\n.*not done: +metrics in us\n", ran.stderr, re.DOTALL)
    assert google.split(US, "metrics") == {"metrics-00001-abc": 100}

    google.refusals.clear()
    google.forget()
    again = operator.runs("upload metrics")
    assert again.returncode == 0, again.stderr
    assert google.split(US, "metrics") == {"metrics-00002-abc": 100}
    assert [call.path for call in google.mutations() if "/upload" in call.path] == []


def test_only_an_empty_list_means_that_a_function_is_not_there(operator: Operator) -> None:
    operator.google.refusals["GET us-central1-run"] = (403, "PERMISSION_DENIED", "run.services.list is missing")
    ran = operator.runs("metrics")
    assert ran.returncode == 1
    assert operator.google.mutations() == []


def test_status_shows_what_serves_and_changes_nothing(operator: Operator) -> None:
    given(operator.google, US, "metrics", public=True)
    ran = operator.runs("metrics upload --status", PATH=os.environ["PATH"])  # and gcloud is started in the usual way
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"metrics +us +metrics-00001-abc=100", ran.stdout)
    assert re.search(r"upload +us +not deployed", ran.stdout)
    assert operator.google.mutations() == []


def test_a_dry_run_prints_the_commands_and_asks_google_nothing(operator: Operator) -> None:
    ran = operator.runs("all --dry-run", UPLOAD_BUCKETS="us=b-us,eu=b-eu", CONFIRM_PROJECT="")
    assert ran.returncode == 0, ran.stderr
    assert operator.google.calls == []
    commands = [line for line in ran.stdout.splitlines() if line.startswith("gcloud functions deploy")]
    regions = [re.findall(r"deploy (\S+) .*--region=(\S+)", command)[0] for command in commands]
    everywhere = [(name, place) for name in ("upload", "upload-finalized", "chat", "metrics") for place in (US, EU)]
    at_home = [(name, US) for name in ("upload-sweep", "analyze", "chat-opening", "metrics-ingest", "metrics-tick")]
    assert sorted(regions) == sorted(everywhere + at_home)
    assert sum("--trigger-bucket=b-eu --trigger-location=europe-west1 --retry" in command for command in commands) == 1


@pytest.mark.parametrize(
    ("command", "settings", "reason"),
    [
        ("nothing-like-it", {}, "nothing-like-it is no function; there are upload,"),
        ("metrics --region mars", {}, "mars is no region; there are us, eu, asia"),
        ("metrics --region eu", {}, "UPLOAD_BUCKETS names no bucket for eu"),
        ("analyze --region eu", {"UPLOAD_BUCKETS": "us=a,eu=b"}, "hears a topic stands in the home region"),
        ("metrics --canary 0", {}, "1 to 100 percent"),
        ("metrics --canary", {}, "--canary needs a value"),
        ("metrics --colour", {}, "--colour is no option"),
        ("", {}, "name a function"),
        ("metrics", {"CONFIRM_PROJECT": "another"}, "set CONFIRM_PROJECT=prodai-test"),
        ("metrics", {"UPLOAD_BUCKETS": "", "LOG_LEVEL": "loud"}, "UPLOAD_BUCKETS is missing"),
    ],
)
def test_what_is_wrong_is_said_before_google_is_asked(
    operator: Operator, command: str, settings: Mapping[str, str], reason: str
) -> None:
    ran = operator.runs(command, **settings)
    assert ran.returncode == 2
    assert reason in ran.stderr
    assert operator.google.calls == []


def test_uncommitted_changes_are_not_deployed(operator: Operator) -> None:
    with (operator.repository / "functions" / "metrics" / "main.py").open("a") as main:
        main.write("# not committed\n")
    ran = operator.runs("upload")
    assert ran.returncode == 2
    assert "uncommitted changes" in ran.stderr
    assert operator.google.calls == []


def test_who_lacks_a_right_is_told_which_before_anything_is_changed(operator: Operator) -> None:
    operator.google.denied.add("run.services.update")
    ran = operator.runs("metrics")
    assert ran.returncode == 2
    assert "you lack the rights run.services.update" in ran.stderr
    assert operator.google.mutations() == []


def test_where_google_does_not_tell_the_rights_the_work_goes_on(operator: Operator) -> None:
    operator.google.refusals["testIamPermissions"] = (403, "SERVICE_DISABLED", "the API is off")
    ran = operator.runs("metrics --status")
    assert ran.returncode == 0, ran.stderr
    assert "Google does not tell" in ran.stderr


def test_a_bundle_that_cannot_be_loaded_is_not_deployed(operator: Operator) -> None:
    main = operator.repository / "functions" / "metrics" / "main.py"
    main.write_text(main.read_text("utf-8") + "\nimport nothing_like_it\n")
    git(operator.repository, "commit", "--quiet", "--all", "--message", "A mistake")
    ran = operator.runs("metrics")
    assert ran.returncode == 1
    assert "nothing_like_it" in ran.stderr
    assert operator.google.mutations() == []


def keep_only(repository: Path, names: Sequence[str]) -> None:
    """Fewer functions and fields are fewer calls: the same set-up, sooner done."""
    deployables = json.loads((repository / "functions" / "deployables.json").read_text("utf-8"))
    deployables["deployables"] = [row for row in deployables["deployables"] if row["name"] in names]
    (repository / "functions" / "deployables.json").write_text(json.dumps(deployables))
    rights = json.loads((repository / "deploy" / "rights.json").read_text("utf-8"))
    rights["accounts"] = {
        n: r for n, r in rights["accounts"].items() if n in (*names, "metrics-tick", "trigger", "build")
    }
    (repository / "deploy" / "rights.json").write_text(json.dumps(rights))
    fields = json.loads((repository / "firestore.indexes.json").read_text("utf-8"))["fieldOverrides"]
    kept = {"fieldOverrides": [field for field in fields if field["fieldPath"] in ("result", "expiresAt")]}
    (repository / "firestore.indexes.json").write_text(json.dumps(kept))
    git(repository, "commit", "--quiet", "--all", "--message", "Fewer of them")


def commands(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if line.startswith("gcloud ")]


def test_setup_makes_everything_and_after_a_refusal_goes_on_where_it_was(operator: Operator) -> None:
    google = operator.google
    keep_only(operator.repository, ["upload", "metrics"])
    dry = operator.runs("setup --dry-run", CONFIRM_PROJECT="")
    assert dry.returncode == 0, dry.stderr
    assert google.mutations() == []
    google.refusals["POST firebaserules/"] = (403, "PERMISSION_DENIED", "no permission to create rulesets")
    stopped = operator.runs("setup")
    assert stopped.returncode == 1
    assert "stopped at documents" in stopped.stderr
    assert commands(dry.stdout) == commands(stopped.stderr)  # the dry run had announced them, one by one
    assert "done:     apis,accounts,topics,buckets,secrets,database,schedule,watcher,rights\n" in stopped.stderr

    (bucket,) = google.under("buckets/")
    assert bucket["iamConfiguration"] == {
        "uniformBucketLevelAccess": {"enabled": True},
        "publicAccessPrevention": "enforced",
    }
    assert bucket["cors"][0]["origin"] == ["https://app.example", "https://www.example"]
    assert bucket["lifecycle"]["rule"][0]["condition"] == {"age": 30}
    names = {topic["name"].rpartition("/")[2] for topic in google.under("topics/")}
    dead = {name for name in names if name.endswith("-dead-letter")}
    assert dead == {f"{name}-dead-letter" for name in names - dead} | {"storage-events-dead-letter"}
    assert {subscription["name"].rpartition("/")[2] for subscription in google.under("subscriptions/")} == dead
    (watcher,) = google.under("uptime/")
    assert watcher["monitoredResource"]["labels"]["host"] == f"metrics-{NUMBER}.{US}.run.app"
    assert (watcher["httpCheck"]["path"], watcher["httpCheck"]["useSsl"]) == ("/v1/status", True)
    assert watcher["period"] == "60s"
    (job,) = google.under("jobs/")
    assert (job["schedule"], job["pubsubTarget"]["topicName"]) == ("* * * * *", f"projects/{PROJECT}/topics/tick")
    roles = {binding["role"] for binding in google.policies[f"projects/{PROJECT}"]["bindings"]}
    assert "roles/datastore.user" in roles
    assert not {"roles/owner", "roles/editor"} & roles
    (acting,) = google.policies[f"serviceAccounts/prodai-upload@{PROJECT}.iam.gserviceaccount.com"]["bindings"]
    assert acting["members"] == [f"serviceAccount:prodai-metrics-tick@{PROJECT}.iam.gserviceaccount.com"]

    google.refusals.clear()
    google.forget()
    completed = operator.runs("setup")
    assert completed.returncode == 0, completed.stderr
    rest = {f"{call.host}{call.path}" for call in google.mutations()}
    plans = {
        f"firestore/v1/projects/{PROJECT}/databases/(default)/documents/plans/{p}" for p in ("free", "plus", "pro")
    }
    assert rest == {f"firebaserules/v1/projects/{PROJECT}/{what}" for what in ("rulesets", "releases")} | plans


def test_setup_puts_right_what_has_drifted_and_what_was_changed(operator: Operator) -> None:
    google = operator.google
    keep_only(operator.repository, ["metrics"])
    table = operator.repository / "functions" / "deployables.json"
    table.write_text(table.read_text("utf-8").replace('"* * * * *"', '"*/2 * * * *"'))
    git(operator.repository, "commit", "--quiet", "--all", "--message", "A slower tick")
    opened = {"uniformBucketLevelAccess": {"enabled": True}, "publicAccessPrevention": "inherited"}
    rules = {"cors": buckets.cors(SETTINGS["ALLOWED_ORIGINS"]), "lifecycle": buckets.lifecycle()}
    google.resources["buckets/prodai-test-us"] = {"name": "prodai-test-us", "iamConfiguration": opened, **rules}
    job = {"name": f"projects/{PROJECT}/locations/{US}/jobs/prodai-tick", "schedule": "* * * * *"}
    google.resources["jobs/prodai-tick"] = job
    google.refusals["GET storage/.*/serviceAccount"] = (403, "PERMISSION_DENIED", "the rights are not looked at here")
    assert "stopped at rights" in operator.runs("setup").stderr
    assert google.resources["buckets/prodai-test-us"]["iamConfiguration"]["publicAccessPrevention"] == "enforced"
    assert google.resources["jobs/prodai-tick"]["schedule"] == "*/2 * * * *"


def test_one_address_stands_in_front_of_the_functions_and_a_second_run_changes_only_the_domain(
    operator: Operator,
) -> None:
    google = operator.google
    dry = operator.runs("front --dry-run", FRONT_DOMAIN="api.example.com")
    assert dry.returncode == 0, dry.stderr
    assert google.mutations() == []
    ran = operator.runs("front", FRONT_DOMAIN="api.example.com")
    assert ran.returncode == 0, ran.stderr
    assert commands(dry.stdout) == commands(ran.stderr)
    assert "let api.example.com point to 192.0.2.1" in ran.stderr
    groups = {group["name"]: group["cloudRun"]["service"] for group in google.under("compute/networkEndpointGroups/")}
    assert groups == {f"prodai-{name}-us": name for name in ("upload", "chat", "metrics")}
    (matcher,) = google.resources["compute/urlMaps/prodai"]["pathMatchers"]
    owners = {path: rule["service"].rpartition("-")[2] for rule in matcher["pathRules"] for path in rule["paths"]}
    assert (owners["/v1/uploads/*"], owners["/v1/chat"], owners["/metrics"]) == ("upload", "chat", "metrics")
    (rule,) = google.under("compute/forwardingRules/")
    assert rule["loadBalancingScheme"] == "EXTERNAL_MANAGED"

    google.forget()
    moved = operator.runs("front", FRONT_DOMAIN="new.example.com")
    assert moved.returncode == 0, moved.stderr
    (made, put) = google.mutations()
    assert made.body["managed"]["domains"] == ["new.example.com"]
    assert put.path.endswith("/targetHttpsProxies/prodai")
    certificates = [link.rpartition("/")[2] for link in put.body["sslCertificates"]]
    assert certificates == [front.certificate(f"{name}.example.com") for name in ("new", "api")]


def test_rules_and_plans_are_put_once_and_changed_rules_leave_the_old_ones_at_hand(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    google = operator.google
    for name, value in operator.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("urllib.request._opener", None)  # urllib keeps the proxies that its first call met
    rules, store = (documents.Api(name, "token", dry_run=False) for name in ("firebaserules", "firestore"))
    for _ in range(2):
        documents.put_rules(rules, PROJECT, "the rules")
        documents.put_plans(store, PROJECT)
    assert len(google.mutations()) == 2 + 3
    assert google.resources["documents/plans/pro"]["fields"]["priority"] == {"integerValue": "10"}
    documents.put_rules(rules, PROJECT, "newer rules")
    assert google.resources["release"]["rulesetName"] == f"projects/{PROJECT}/rulesets/2"
    assert google.resources["rulesets/1"]["source"]["files"][0]["content"] == "the rules"
