"""A key decides the id; another user's, or another kind's, never the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.documents.records import is_id
from shared.idempotency import document_id
from shared.problems import Problem

KEYS = st.text(st.characters(min_codepoint=0x23, max_codepoint=0x7E), min_size=1, max_size=128)


@given(KEYS, st.text(min_size=1, max_size=40))
def test_the_same_key_gives_the_same_id_quoted_or_not(key: str, uid: str) -> None:
    first, keyed = document_id({"idempotency-key": f'"{key}"'}, uid, "track")
    assert keyed
    assert is_id(first)
    assert document_id({"idempotency-key": key}, uid, "track") == (first, True)


def test_users_and_kinds_do_not_share_keys() -> None:
    headers = {"idempotency-key": '"k"'}
    ids = {document_id(headers, uid, kind)[0] for uid in ("ana", "bob") for kind in ("track", "message")}
    assert len(ids) == 4


def test_without_a_key_every_request_is_its_own() -> None:
    ids = {document_id({}, "ana", "track") for _ in range(50)}
    assert len(ids) == 50
    assert not any(keyed for _, keyed in ids)


@pytest.mark.parametrize("key", ["", '""', "a b", "x" * 129, "é"])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(Problem, match="Idempotency-Key"):
        document_id({"idempotency-key": key}, "ana", "track")
