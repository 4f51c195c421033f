"""Warnings and errors, one JSON line each, without anything that would let a reader upload or download."""

from __future__ import annotations

import json
import logging
import re
import sys

logger = logging.getLogger("local.storage")

_CREDENTIALS = re.compile(r"(upload_id|X-Goog-Signature)=[^&\s\"']+", re.IGNORECASE)


class _JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {"severity": record.levelname, "message": redacted(record.getMessage())}
        if record.exc_info:
            entry["stack"] = redacted(self.formatException(record.exc_info))
        return json.dumps(entry)


def configure() -> None:
    """Sends the warnings and errors of this process, the libraries' among them, to stdout."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLine())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def redacted(text: str) -> str:
    """A session's address and a signature are credentials."""
    return _CREDENTIALS.sub(r"\1=...", text)
