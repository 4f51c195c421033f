"""Writes as the user that meet another one of the same document: they go again, and never pass for something else."""

from __future__ import annotations

import pytest
from google.api_core import exceptions

from shared.documents import as_user
from shared.problems import Problem

ABORTED = exceptions.Aborted("contention")  # type: ignore[no-untyped-call]
THERE = exceptions.AlreadyExists("there")  # type: ignore[no-untyped-call]
REFUSED = exceptions.PermissionDenied("no")  # type: ignore[no-untyped-call]


class Batch:
    """Fails as it is told to, then commits."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.committed = 0

    def commit(self, **_: object) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.committed += 1


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.documents.as_user.CONTENDED_PAUSES_S", (0.0,) * 5)


def test_a_write_that_was_aborted_goes_again_and_is_written_once() -> None:
    batch = Batch(ABORTED, ABORTED)
    as_user.commit(batch)
    assert batch.committed == 1


def test_after_an_abort_what_is_there_and_what_is_refused_are_still_told_apart() -> None:
    with pytest.raises(as_user.Exists):
        as_user.commit(Batch(ABORTED, THERE))
    with pytest.raises(as_user.Denied):
        as_user.commit(Batch(ABORTED, REFUSED))


def test_a_write_that_is_aborted_again_and_again_is_to_be_sent_again_later() -> None:
    batch = Batch(*[ABORTED] * 9)
    with pytest.raises(Problem, match="send this one again") as raised:
        as_user.commit(batch)
    assert (raised.value.code, raised.value.headers) == ("unavailable", {"Retry-After": "1"})
    assert len(batch.failures) == 3
