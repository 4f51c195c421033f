"""The advisor against its catalogue: 120 questions over 12 analyses, with the facts that each answer must hold.

An answer is right when it holds every fact of the catalogue (of alternatives one), nothing it must not, is in the
question's language and reads within two minutes; and no figure in it may come from nowhere, with or without a unit.
Run `python benchmarks/chat.py`; `-v` prints the answers that are wrong, `-a` all of them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from assistant.advisor import NamedAnalysis, answer, detect_locale
from assistant.figures import NumberCheck
from assistant.language import Locale

HERE = Path(__file__).parent
WORDS_MOST = 330


@dataclass(frozen=True)
class Case:
    locale: Locale
    question: str
    analyses: Sequence[NamedAnalysis]
    must: Sequence[str | Sequence[str]]  # a list within is a choice: one of them is enough
    without: Sequence[str]
    history: Sequence[str]
    about: str


@dataclass(frozen=True)
class Outcome:
    case: Case
    text: str
    faults: Sequence[str]
    untraceable: Sequence[str]
    milliseconds: float


def catalogue() -> list[Case]:
    analyses = json.loads((HERE / "chat_analyses.json").read_text(encoding="utf-8"))
    rows = json.loads((HERE / "chat_questions.json").read_text(encoding="utf-8"))
    return [_case(row, analyses) for row in rows]


def _case(row: Mapping[str, Any], analyses: Mapping[str, Any]) -> Case:
    named = []
    for entry in row["about"]:
        key, _, role = entry.partition(":")
        named.append(NamedAnalysis(analyses[key]["name"], role or "track", analyses[key]["analysis"]))
    return Case(
        row["locale"],
        row["question"],
        named,
        row["must"],
        row.get("without", ()),
        row.get("history", ()),
        row["about"][0],
    )


def tried(case: Case) -> Outcome:
    """The question asked without a locale: the language is to be seen from it."""
    started = time.perf_counter()
    text = answer(case.question, case.analyses, locale=None, history=case.history)
    milliseconds = 1000 * (time.perf_counter() - started)
    check = NumberCheck(case.analyses, case.locale)
    untraceable = [figure.text for figure in check.untraceable(text, with_bare_numbers=True)]
    return Outcome(case, text, list(_faults(case, text)), untraceable, milliseconds)


def _faults(case: Case, text: str) -> Iterator[str]:
    folded = text.casefold()
    for fact in case.must:
        choices = [fact] if isinstance(fact, str) else fact
        if not any(choice.casefold() in folded for choice in choices):
            yield f"lacks {' or '.join(choices)}"
    for words in case.without:
        if words.casefold() in folded:
            yield f"holds {words}"
    if detect_locale(text) != case.locale:
        yield "is in the wrong language"
    if len(text.split()) > WORDS_MOST:
        yield f"is {len(text.split())} words long"


def main() -> int:
    outcomes = [tried(case) for case in catalogue()]
    print(f"{'':<8}{'questions':>10}{'right':>8}{'share':>8}{'untraceable':>13}{'median ms':>11}{'words':>7}")
    for locale in ("en", "pt-BR", "all"):
        print(_row(locale, [o for o in outcomes if locale in (o.case.locale, "all")]))
    for outcome in outcomes:
        if "-a" in sys.argv or ("-v" in sys.argv and (outcome.faults or outcome.untraceable)):
            print(f"\n[{outcome.case.locale} {outcome.case.about}] {outcome.case.question}")
            print(f"  {'; '.join([*outcome.faults, *(f'untraceable {f}' for f in outcome.untraceable)]) or 'right'}")
            print("  | " + outcome.text.replace("\n", "\n  | "))
    return 0


def _row(name: str, outcomes: Sequence[Outcome]) -> str:
    right = sum(not o.faults for o in outcomes)
    invented = sum(len(o.untraceable) for o in outcomes)
    speed = median(o.milliseconds for o in outcomes)
    length = median(len(o.text.split()) for o in outcomes)
    return (
        f"{name:<8}{len(outcomes):>10}{right:>8}{right / len(outcomes):>8.1%}{invented:>13}{speed:>11.2f}{length:>7.0f}"
    )


if __name__ == "__main__":
    sys.exit(main())
