"""analyze: a message says that a track waits; it is measured and judged."""

from __future__ import annotations

from typing import Any

import functions_framework

from analysis import job
from shared import events
from shared.settings import settings_or_exit

settings_or_exit()


@functions_framework.cloud_event
def analyze(cloud_event: Any) -> None:
    events.handle(cloud_event, job.run)
