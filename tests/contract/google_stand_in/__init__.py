"""A recording stand-in of Google's APIs, as far as deploy.sh has the real gcloud ask them: a proxy for gcloud and curl.

It keeps resources in memory, answers an unknown call with 400 and remembers it as unexpected, and refuses what a test
tells it to.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.contract.google_stand_in import compute, firestore, functions, iam, resources
from tests.contract.google_stand_in.project import Call, Google, Refused

APIS = (
    *("cloudfunctions", "run", "eventarc", "cloudresourcemanager", "pubsub", "serviceusage", "iam", "secretmanager"),
    *("cloudscheduler", "firestore", "firebaserules", "compute", "monitoring"),
)
ROUTES = [*functions.ROUTES, *iam.ROUTES, *resources.ROUTES, *firestore.ROUTES, *compute.ROUTES]


def _answer(google: Google, call: Call) -> Any:
    """The answer's JSON, or status, type and body. Raises Refused."""
    google.calls.append(call)
    for pattern, (status, reason, message) in google.refusals.items():
        if re.search(pattern, f"{call.method} {call.host}{call.path}"):
            raise Refused(status, reason, message)
    for method, pattern, handler in ROUTES:
        matched = re.fullmatch(pattern, call.host + call.path)
        if method == call.method and matched:
            return handler(google, call, *matched.groups())
    google.unexpected.append(call)
    raise Refused(400, "FAILED_PRECONDITION", f"the stand-in does not know {call.method} {call.host}{call.path}")


@contextmanager
def running(project: str) -> Iterator[tuple[Google, int]]:
    """The stand-in, and the port of its proxy on 127.0.0.1."""
    google, lock = Google(project), threading.Lock()

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            is_json = "json" in self.headers.get("Content-Type", "") and raw
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            host = (parts.hostname or "").removesuffix(".googleapis.test")
            authorization = self.headers.get("Authorization", "")
            body_given = json.loads(raw) if is_json else raw
            call = Call(self.command, host, unquote(parts.path), query, body_given, authorization)
            status, kind, body = 200, "application/json", b""
            with lock:
                try:
                    answered = _answer(google, call)
                    if isinstance(answered, tuple):
                        status, kind, body = answered
                    else:
                        body = json.dumps(answered).encode()
                except Refused as refused:
                    status, body = refused.status, json.dumps(refused.answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815  # the base class's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield google, server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def environment(port: int, folder: str) -> dict[str, str]:
    """What makes the real gcloud, and curl, ask the stand-in and nobody else."""
    overrides = {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api.upper()}": f"http://{api}.googleapis.test/" for api in APIS}
    return {
        **overrides,
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": "http://compute.googleapis.test/compute/v1/",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": "http://storage.googleapis.test/storage/v1/",
        "CLOUDSDK_PROXY_TYPE": "http_no_tunnel",
        "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1",
        "CLOUDSDK_PROXY_PORT": str(port),
        "CLOUDSDK_CONFIG": folder,
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
        "http_proxy": f"http://127.0.0.1:{port}",
    }
