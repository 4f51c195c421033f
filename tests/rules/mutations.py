"""Rules with one fault each, and whether the cases notice: `python -m tests.rules.mutations [N]`, every Nth of them.

Every condition is removed, made false and inverted, every number moved by one, every item taken from a list, every
operation on every collection allowed to all, every reading after the batch swapped for the one before it. (Readings
before it are not swapped for those after it: a batch cannot change what they read. Nor are the least lengths in
patterns changed: Firestore's own paths assure them.)
"""

from __future__ import annotations

import itertools
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.rules.firestore import Firestore
from tests.rules.matrix import Case

BOOLEAN = re.compile(r"function (?:is|has|counts)\w*\([^)]*\) \{")
MUTANTS_AN_EMULATOR = 20
SWAPS = {
    r"\bgetAfter\(": "get(",
    r"\bexists\(": "existsAfter(",
    r"\bexistsAfter\(": "exists(",
}
OPERATIONS = ("list", "create", "update", "delete")


@dataclass(frozen=True)
class Mutant:
    title: str
    source: str
    article: str | None  # the collection whose article holds the fault; None for what all articles use
    loosens: bool  # it rather allows what must be denied than denies what must be allowed
    words: frozenset[str]  # of what was changed

    def likely(self, case: Case) -> tuple[bool, bool, int]:
        """Sorts the cases that will notice this fault to the front."""
        named = len(self.words & _words(case.title))
        return case.article != self.article, case.allowed is self.loosens, -named


def mutants(rules: str) -> list[Mutant]:
    return [*_conditions(rules), *_numbers(rules), *_list_items(rules), *_swaps(rules)]


def survives(firestore: Firestore, mutant: Mutant, cases: Sequence[Case], names: Iterator[int]) -> bool:
    """Whether no case notices the fault. Those most likely to notice it are tried first."""
    if not _put(firestore, mutant.source):
        raise ValueError(f"not even rules: {mutant.title}")
    ordered = sorted(cases, key=mutant.likely)
    return all(case.is_allowed(firestore, lambda: f"mutant{next(names)}") is case.allowed for case in ordered)


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[A-Za-z]{3,}", text))


def _put(firestore: Firestore, source: str) -> bool:
    body = {"rules": {"files": [{"name": "security.rules", "content": source}]}}
    status, _ = firestore.call("PUT", f"/emulator/v1/projects/{firestore.project}:securityRules", body, None)
    return status == 200


# ---- where the faults go --------------------------------------------------------------------------------------------


def _conditions(rules: str) -> Iterator[Mutant]:
    for start, end in _boolean_expressions(rules):
        for first, last in _operands(rules, start, end):
            text = rules[first:last]
            for put in ("true", "false", f"!({text})"):
                if put != text:
                    yield _mutant(rules, first, last, put)


def _boolean_expressions(rules: str) -> Iterator[tuple[int, int]]:
    """From `: if` to `;`, from `return` to `}` in a function named as a question, and what stands before a `?`."""
    code = _without_comments(rules)
    for found in re.finditer(r": if ([^;]*);", code):
        yield found.span(1)
    for function in BOOLEAN.finditer(code):
        returned = re.compile(r"return ([^;]*);").search(code, function.end())
        if returned:
            yield returned.span(1)
    for found in re.finditer(r"(?:return|=) ([^?;=]*(?:[!=]=[^?;]*)?) \? ", code):
        yield found.span(1)


def _without_comments(rules: str) -> str:
    return re.sub(r"//[^\n]*", lambda found: " " * len(found[0]), rules)


def _operands(rules: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """An expression and the operands of its `&&` and `||`, down into its brackets."""
    start, end = _trimmed(rules, start, end)
    yield start, end
    cuts = _top_level(rules, start, end)
    if cuts:
        edges = [start, *(edge for cut in cuts for edge in (cut, cut + 2)), end]
        for first, last in zip(edges[::2], edges[1::2], strict=True):
            yield from _operands(rules, first, last)
    elif rules[start] == "(" and rules[end - 1] == ")":
        yield from itertools.islice(_operands(rules, start + 1, end - 1), 1, None)


def _trimmed(rules: str, start: int, end: int) -> tuple[int, int]:
    text = rules[start:end]
    return start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip())


def _top_level(rules: str, start: int, end: int) -> list[int]:
    depth, cuts = 0, []
    for position in range(start, end):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(rules[position], 0)
        if depth == 0 and rules[position : position + 2] in ("&&", "||"):
            cuts.append(position)
    return cuts


def _numbers(rules: str) -> Iterator[Mutant]:
    code = _without_comments(rules)
    for found in re.finditer(r"(?<=[ (,])(\d+)(?=[\s),;}])", code):
        for step in (-1, 1):
            yield _mutant(rules, *found.span(), str(int(found[1]) + step))


def _list_items(rules: str) -> Iterator[Mutant]:
    for found in re.finditer(r"\[('[^\]]*')\]", rules):
        items = re.split(r",\s*", found[1])
        for index in range(len(items)):
            left = ", ".join(items[:index] + items[index + 1 :])
            yield _mutant(rules, *found.span(1), left)


def _swaps(rules: str) -> Iterator[Mutant]:
    code = _without_comments(rules)
    for pattern, put in SWAPS.items():
        for found in re.finditer(pattern, code):
            yield _mutant(rules, *found.span(), put)
    for found in re.finditer(r"\ballow read:", code):
        for operation in OPERATIONS:
            yield _mutant(rules, *found.span(), f"allow {operation}: if true; allow read:")


def _mutant(rules: str, start: int, end: int, put: str) -> Mutant:
    line = rules.count("\n", 0, start) + 1
    was = " ".join(rules[start:end].split())
    articles = re.findall(r"match /(?:\w+/\{\w+\}/)*(\w+)/\{", rules[rules.index("==== The articles") : start])
    is_shared = "==== The articles" not in rules[:start]
    return Mutant(
        f"line {line}: {was} becomes {' '.join(put.split())}",
        rules[:start] + put + rules[end:],
        None if is_shared or not articles else articles[-1],
        loosens=put == "true" or put.startswith("allow"),
        words=_words(rules[start:end]),
    )


def survivors(made: Sequence[Mutant], cases: Sequence[Case]) -> Iterator[Mutant]:
    """Tries each in a fresh emulator now and then: it keeps what was ever written in its memory, and grows slow."""
    from tests.rules.emulator import running_emulator

    names = itertools.count()
    for start in range(0, len(made), MUTANTS_AN_EMULATOR):
        print(f"\r{start} of {len(made)} tried", end="", file=sys.stderr)  # noqa: T201
        with running_emulator() as firestore:
            for mutant in made[start : start + MUTANTS_AN_EMULATOR]:
                if survives(firestore, mutant, cases, names):
                    yield mutant


def main() -> int:
    from tests.rules.emulator import RULES
    from tests.rules.table import CASES

    every = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    made, began, unnoticed = mutants(RULES.read_text(encoding="utf-8"))[::every], time.monotonic(), 0
    for mutant in survivors(made, CASES):
        unnoticed += 1
        print("not noticed:", mutant.title, flush=True)  # noqa: T201  # the script's result
    seconds = time.monotonic() - began
    print(f"{len(made) - unnoticed} of {len(made)} faults noticed, in {seconds:.0f} s")  # noqa: T201
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
