"""Counts what Firestore would bill, in every process of the local cloud that benchmarks/cost.py starts.

Appends a line to the file COST_COUNTS for each call: documents read, written, deleted, and 1 where the rules judged a
user's write. A query that finds nothing counts as one read, a count as one (Firestore pricing).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any


def _note(reads: int = 0, writes: int = 0, deletes: int = 0, judged: int = 0) -> None:
    file = os.open(os.environ["COST_COUNTS"], os.O_WRONLY | os.O_APPEND)
    os.write(file, f"{reads} {writes} {deletes} {judged}\n".encode())
    os.close(file)


def _wrap() -> None:
    from google.cloud.firestore_v1.services.firestore import FirestoreClient

    commit, get, query = FirestoreClient.commit, FirestoreClient.batch_get_documents, FirestoreClient.run_query
    aggregate = FirestoreClient.run_aggregation_query

    def counted_commit(self: Any, request: Any = None, **options: Any) -> Any:
        deletes = sum(bool(write._pb.delete if hasattr(write, "_pb") else write.delete) for write in request["writes"])
        as_user = any(key == "authorization" and value != "Bearer owner" for key, value in options.get("metadata", ()))
        _note(0, len(request["writes"]) - deletes, deletes, int(as_user))
        return commit(self, request, **options)

    def counted_get(self: Any, request: Any = None, **options: Any) -> Any:
        _note(len(request["documents"]))
        return get(self, request, **options)

    def counted_query(self: Any, request: Any = None, **options: Any) -> Iterator[Any]:
        found = 0
        for answer in query(self, request, **options):
            found += bool(answer.document.name)
            yield answer
        _note(max(1, found))

    def counted_aggregate(self: Any, request: Any = None, **options: Any) -> Any:
        _note(1)
        return aggregate(self, request, **options)

    FirestoreClient.commit = counted_commit  # type: ignore[method-assign]
    FirestoreClient.batch_get_documents = counted_get  # type: ignore[method-assign]
    FirestoreClient.run_query = counted_query  # type: ignore[method-assign]
    FirestoreClient.run_aggregation_query = counted_aggregate  # type: ignore[method-assign]


if "functions_framework" in " ".join(sys.orig_argv):
    _wrap()
