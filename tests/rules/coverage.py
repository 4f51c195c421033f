"""Which expressions of the rules have been judged, as the emulator reports it."""

from __future__ import annotations

import http
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tests.rules.firestore import Firestore
from tests.rules.matrix import Case

CASES_A_REPORT = 100  # the emulator keeps every value it saw, and cannot send a report of more than 4 MB


def unreached(
    firestore: Firestore, put_rules: Callable[[], None], cases: Sequence[Case], new_name: Callable[[], str]
) -> tuple[int, list[str]]:
    """The number of expressions, and those that no case brings to a value: `line 12: resource == null`.

    Runs the cases in order until every expression is reached, or there are no more.
    """
    reached: dict[str, bool] = {}
    for start in range(0, len(cases), CASES_A_REPORT):
        put_rules()  # which empties the emulator's report
        for case in cases[start : start + CASES_A_REPORT]:
            case.is_allowed(firestore, new_name)
        for place, seen in _report(firestore):
            reached[place] = reached.get(place, False) or seen
        if all(reached.values()):
            break
    return len(reached), [place for place, seen in reached.items() if not seen]


def _report(firestore: Firestore) -> Iterator[tuple[str, bool]]:
    status, report = firestore.call("GET", f"/emulator/v1/projects/{firestore.project}:ruleCoverage", None, None)
    if status != http.HTTPStatus.OK:
        raise RuntimeError(f"the emulator gives no coverage: {status} {report}")
    source = report["rules"]["files"][0]["content"]
    for node in _nodes(report["report"]):
        at = node["sourcePosition"]
        text = source[at["currentOffset"] : at["endOffset"] + 1]
        values = [seen.get("value", {}) for seen in node.get("values", [])]
        yield f"line {at['line']}, column {at['column']}: {text}", any(v and "undefined" not in v for v in values)


def _nodes(report: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for node in report:
        yield node
        yield from _nodes(node.get("children", []))
