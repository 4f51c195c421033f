"""Cloud Scheduler's part of the local cloud: a message on the topic `tick` every minute, at the full minute.

    python -m local.scheduler --port PORT --pubsub HOST:PORT --project PROJECT [--interval-s 60]

Only the standard library, so that it starts at once and stays small. A tick that cannot be published is tried again
until the next one is due; then it is left out, as Cloud Scheduler does.
"""

from __future__ import annotations

import argparse
import http.client
import json
import signal
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from local import pubsub
from shared import telemetry

TOPIC = "tick"
RETRY_AFTER_S = 1.0


def next_tick(now_s: float, interval_s: float) -> float:
    """The next moment, in seconds since the epoch, that is a multiple of the interval: for 60 s, the full minute."""
    return (now_s // interval_s + 1) * interval_s


def run(stop: threading.Event, emulator: str, project: str, interval_s: float) -> None:
    """Publishes ticks until told to stop."""
    due = next_tick(time.time(), interval_s)
    while not stop.wait(max(0.0, due - time.time())):
        following = next_tick(due, interval_s)
        _tick(stop, emulator, project, due, following)
        due = max(following, next_tick(time.time() - interval_s, interval_s))


def _tick(stop: threading.Event, emulator: str, project: str, due: float, following: float) -> None:
    scheduled = datetime.fromtimestamp(due, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    while True:
        try:
            pubsub.publish(emulator, project, TOPIC, b"{}", {"scheduledTime": scheduled})
        except (OSError, http.client.HTTPException, pubsub.PubSubError) as error:
            if stop.wait(RETRY_AFTER_S) or time.time() >= following:
                telemetry.warning("a tick was left out", scheduledTime=scheduled, error=str(error))
                return
        else:
            return


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # the library's name
        body = json.dumps({"status": "ok"} if self.path == "/health" else {"error": "not found"}).encode()
        self.send_response(200 if self.path == "/health" else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # the library's name
        """Health checks are not worth a line."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.scheduler")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pubsub", required=True, metavar="HOST:PORT")
    parser.add_argument("--project", required=True)
    parser.add_argument("--interval-s", type=float, default=60.0)
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = ThreadingHTTPServer(("127.0.0.1", options.port), _Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    run(stop, options.pubsub, options.project, options.interval_s)
    server.server_close()


if __name__ == "__main__":
    main()
