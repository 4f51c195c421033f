"""What a browser may do: preflights, and the headers that let a page read an answer."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import requests
from google.oauth2 import service_account

from tests.contract.storage_process import BUCKET, StorageProcess, running_storage

PAGE = "https://console.example"
STRANGER = "https://stranger.example"
OTHER_BUCKET = "tracks-eu"


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageProcess]:
    folder = tmp_path_factory.mktemp("storage")
    with running_storage(folder, "--cors", f"{OTHER_BUCKET}={PAGE},http://localhost:3000") as (process, _):
        yield process


def preflight(url: str, origin: str, method: str, headers: str) -> requests.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return requests.options(url, headers=asked, timeout=10)


def allowed_origin(answer: requests.Response) -> str | None:
    return answer.headers.get("Access-Control-Allow-Origin")


def test_a_page_uploads_through_the_session_that_was_opened_for_it(storage: StorageProcess) -> None:
    url = storage.open_session("page", {"Origin": PAGE}).headers["Location"]
    before = preflight(url, PAGE, "PUT", "content-range,content-type")
    assert (before.status_code, allowed_origin(before)) == (200, PAGE)
    assert "PUT" in before.headers["Access-Control-Allow-Methods"]
    assert before.headers["Access-Control-Allow-Headers"] == "content-range,content-type"
    status = requests.put(url, headers={"Origin": PAGE, "Content-Range": "bytes */*"}, timeout=10)
    assert (status.status_code, allowed_origin(status)) == (308, PAGE)
    exposed = {name.strip() for name in status.headers["Access-Control-Expose-Headers"].split(",")}
    assert {"Range", "ETag", "Location", "x-goog-generation", "x-goog-hash"} <= exposed
    done = requests.put(url, data=b"x", headers={"Origin": PAGE}, timeout=10)
    assert (done.status_code, allowed_origin(done)) == (200, PAGE)


def test_a_session_answers_no_page_but_the_one_it_was_opened_for(storage: StorageProcess) -> None:
    for opened_for in ({"Origin": PAGE}, {}):
        url = storage.open_session("page", opened_for).headers["Location"]
        assert allowed_origin(preflight(url, STRANGER, "PUT", "content-range")) is None
        assert allowed_origin(requests.put(url, headers={"Origin": STRANGER}, timeout=10)) is None


def test_a_page_may_read_why_it_was_refused(storage: StorageProcess) -> None:
    missing = requests.get(f"{storage.url}/storage/v1/b/{BUCKET}/o/no", headers={"Origin": PAGE}, timeout=10)
    assert (missing.status_code, allowed_origin(missing)) == (404, PAGE)
    url = storage.open_session("page", {"Origin": PAGE}).headers["Location"]
    refused = requests.put(url, data=b"x", headers={"Origin": PAGE, "Content-Range": "nonsense"}, timeout=10)
    assert (refused.status_code, allowed_origin(refused)) == (400, PAGE)


def test_signed_urls_answer_the_origins_of_their_bucket(storage: StorageProcess) -> None:
    credentials = service_account.Credentials.from_service_account_file(  # type: ignore[no-untyped-call]
        str(storage.data / "service-account.json")
    )
    for bucket, origin, expected in (
        (BUCKET, STRANGER, STRANGER),
        (OTHER_BUCKET, PAGE, PAGE),
        (OTHER_BUCKET, STRANGER, None),
    ):
        url = (
            storage.client.bucket(bucket)
            .blob("x")
            .generate_signed_url(version="v4", method="PUT", credentials=credentials, expiration=timedelta(minutes=1))
        )
        assert allowed_origin(preflight(url, origin, "PUT", "content-type")) == expected
        answer = requests.put(url, data=b"x", headers={"Origin": origin}, timeout=10)
        assert (answer.status_code, allowed_origin(answer)) == (200, expected)
