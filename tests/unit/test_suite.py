"""The suite itself: tests that share a started part stay on one worker."""

from __future__ import annotations

import pytest


@pytest.mark.xdist_group("suite")
def test_a_group_of_tests_is_known_to_the_scheduler(request: pytest.FixtureRequest) -> None:
    grouped = bool(getattr(request.config.option, "loadgroup", False))
    assert request.node.nodeid.endswith("@suite") is grouped
