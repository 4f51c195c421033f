"""Google's Firestore library, imported when something of it is first used.

It takes 0.2 s, twice as long as all else of a function: an answer that reads no document need not wait for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["FieldFilter", "exceptions", "firestore"]

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
