"""Google's Firestore library, imported when something of it is first used.

It takes 0.2 s, twice as long as all else of a function: an answer that reads no document need not wait for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["FieldFilter", "exceptions", "firestore", "listed", "once"]

if TYPE_CHECKING:
    from google.api_core import exceptions
    from google.cloud import firestore
    from google.cloud.firestore_v1.base_query import FieldFilter
else:

    class _Later:
        def __init__(self, module: str) -> None:
            self._module = module

        def __getattr__(self, name: str) -> Any:
            return getattr(importlib.import_module(self._module), name)

    exceptions = _Later("google.api_core.exceptions")
    firestore = _Later("google.cloud.firestore")

    def FieldFilter(*condition: Any) -> Any:  # noqa: N802  # stands for the class
        return _Later("google.cloud.firestore_v1.base_query").FieldFilter(*condition)


def listed(query: Any, deadline_s: float) -> list[Any]:
    """All documents of a query, read at once: the deadline is the whole stream's, so nothing else may hold it open."""
    return list(query.stream(retry=once(), timeout=deadline_s))


def once() -> Any:
    """The policy that retries nothing. `None` will not do: the library then raises an AttributeError for any error."""
    return importlib.import_module("google.api_core.retry").Retry(predicate=lambda _: False)
