"""From a question to what is asked: an intent and the topics it is about. Rules only, in both languages at once.

The cues are regular expressions over the folded words of the question (lower case, no accents, single spaces), so
that typing on a phone ("pq minha master ta baixa") reads like the full sentence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from assistant import knowledge
from assistant.cues import says, weak_words
from assistant.facts import BANDS
from assistant.language import words
from assistant.topics import WORDS_READ, Mention, find

Kind = Literal[
    "compare-reference", "compare-previous", "platform", "platforms", "score", "first", "good", "tempo", "key",
    "mix-in-key", "basis", "withheld", "fix", "metric", "define", "unmeasured", "summary", "greeting", "thanks", "help",
    "off-topic", "unknown",
]  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What is asked. `topics` are ids by kind, in the order of the question."""

    kind: Kind
    metrics: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    unmeasured: tuple[str, ...] = ()
    about_reference: bool = False  # the reference's own values are wanted
    why: bool = False
    how: bool = False
    define: bool = False

    @property
    def topical(self) -> bool:
        return bool(self.metrics or self.problems or self.terms or self.platforms)


AND_TOPIC = re.compile(r"(?:and|what about|how about|e|e o|e a|e os|e as|e em|e na|e no|mas e)\b")
GENERAL = frozenset({"too-quiet", "too-loud", "small"})
AMOUNTS = frozenset({*BANDS, "sideMidDb"})
LEVEL_METRICS = frozenset(
    {"integratedLufs", "shortTermMaxLufs", "momentaryMaxLufs", "rmsDbfs", "truePeakDbtp", "plrDb"}
)


def classify(question: str, history: Sequence[str] = ()) -> Request:
    """The request of a question; `history` holds the user's earlier messages, oldest first, for "and how?"."""
    tokens = words(question)[:WORDS_READ]
    text = " ".join(tokens)
    request = _request(text, tokens)
    if history and _leans_on_history(request, text, tokens):
        return _continued(request, text, history)
    return request


def _request(text: str, tokens: list[str]) -> Request:
    mentions = find(tokens)
    blank = Request(
        "unknown",
        metrics=_ids(mentions, "metrics"),
        problems=_ids(mentions, "problems"),
        terms=_ids(mentions, "terms"),
        platforms=_ids(mentions, "platforms"),
        unmeasured=_ids(mentions, "unmeasured"),
        why=(says(text, "why")),
        how=(says(text, "how")),
        define=(says(text, "define")),
    )
    if not tokens:
        return blank
    blank = _told_apart(blank, text)
    strong = any(not _weak(m, tokens) for m in mentions) or (says(text, "streaming"))
    if (says(text, "elsewhere") or says(text, "attack")) and not strong:
        return replace(blank, kind="off-topic")
    return _sorted_out(blank, text, tokens)


def _told_apart(asked: Request, text: str) -> Request:
    """What words mean together: "less sub" is too much of it, "bass in mono" is about the low end's correlation, and
    "louder" or "weak" are about the whole only where nothing else is named ("the kick louder", "a weak drop")."""
    metrics = asked.metrics
    if {"sub", "bass"} & set(metrics) and {"correlation", "monoLossDb"} & set(metrics):
        metrics = ("correlationLow", "monoLossDb")
    problems = asked.problems
    amounts = [p for m in metrics if m in AMOUNTS for p in (_amount(m, text),) if p]
    specific = tuple(p for p in problems if p not in GENERAL)
    if specific or amounts:
        problems = tuple(dict.fromkeys([*specific, *amounts]))
    elif any(m not in LEVEL_METRICS for m in metrics):
        problems = tuple(p for p in problems if p == "small")
    return replace(asked, metrics=metrics, problems=problems)


def _amount(metric: str, text: str) -> str | None:
    """The problem of too little or too much of a metric, as the question has it."""
    definition = knowledge.metrics()[metric]
    if says(text, "too-much"):
        return definition.high
    return definition.low if says(text, "too-little") else None


def _sorted_out(asked: Request, text: str, tokens: list[str]) -> Request:
    """The first intent whose cue is there; the narrow ones come before the wide ones."""
    reference, previous = (says(text, "reference")), (says(text, "previous"))
    if "reference-track" in asked.terms and asked.define and not says(text, "compared"):
        return replace(asked, kind="define")
    if previous and not (reference and not says(text, "compared")):
        return replace(asked, kind="compare-previous")
    if reference:
        own = _own_kind(asked, text, tokens)
        return replace(asked, kind=own or "compare-reference", about_reference=own is not None)
    return _about_track(asked, text, tokens)


def _own_kind(asked: Request, text: str, tokens: list[str]) -> Kind | None:
    """The intent of a question about the reference itself ("how loud is the reference?"); None for a comparison."""
    if asked.why or says(text, "compared") or says(text, "comparative") or says(text, "first-person"):
        return None
    kind = _about_track(asked, text, tokens).kind
    return kind if kind in ("metric", "tempo", "key", "mix-in-key", "score", "platform") else None


def _about_track(asked: Request, text: str, tokens: list[str]) -> Request:
    if asked.unmeasured and not asked.problems:
        return replace(asked, kind="unmeasured")
    if says(text, "mix-in-key") and not asked.problems:
        return replace(
            asked,
            kind="define" if asked.define and "camelot" in asked.terms and not says(text, "mine") else "mix-in-key",
        )
    if asked.platforms:
        return replace(asked, kind="platform")
    if says(text, "score"):
        return replace(asked, kind="score")
    if says(text, "key"):
        return replace(asked, kind="key")
    if "tempoBpm" in asked.metrics and len(asked.metrics) == 1 and not asked.problems:
        return replace(asked, kind="tempo")
    if says(text, "first") and not (asked.metrics or asked.problems or asked.terms):
        return replace(asked, kind="first")
    if says(text, "good") and not (asked.metrics or asked.problems):
        return replace(asked, kind="good")
    if says(text, "streaming") and not (asked.metrics or asked.problems):
        return replace(asked, kind="platforms")
    return _about_topics(asked, text, tokens)


def _about_topics(asked: Request, text: str, tokens: list[str]) -> Request:
    if asked.define and asked.terms and not asked.problems and not (asked.metrics and says(text, "mine")):
        return replace(asked, kind="define")
    if asked.problems:
        return replace(asked, kind="fix")
    if asked.metrics:
        return replace(asked, kind="metric")
    if asked.terms:
        return replace(asked, kind="define")
    if says(text, "first"):
        return replace(asked, kind="first")
    if says(text, "basis"):
        return replace(asked, kind="basis")
    if says(text, "withheld"):
        return replace(asked, kind="withheld")
    if says(text, "help"):
        return replace(asked, kind="help")
    if says(text, "summary"):
        return replace(asked, kind="summary")
    if says(text, "thanks") and len(tokens) <= 6:
        return replace(asked, kind="thanks")
    if says(text, "greeting") and len(tokens) <= 6:
        return replace(asked, kind="greeting")
    if asked.how and says(text, "domain"):
        return replace(asked, kind="first")
    return asked


def _leans_on_history(request: Request, text: str, tokens: list[str]) -> bool:
    if len(tokens) > 9:
        return False
    if request.topical:
        return bool(AND_TOPIC.match(text))
    return (
        request.kind in ("unknown", "off-topic", "first") and (says(text, "follow-up")) and not says(text, "elsewhere")
    )


def _continued(request: Request, text: str, history: Sequence[str]) -> Request:
    """The newest earlier question that had a subject lends its topics, or, to "and the bass?", its intent."""
    for earlier in reversed(history[-5:]):
        tokens = words(earlier)[:WORDS_READ]
        before = _request(" ".join(tokens), tokens)
        if before.kind in ("off-topic", "unknown", "greeting", "thanks", "help"):
            continue
        if request.topical:
            wanted = before.kind if before.kind in ("compare-reference", "compare-previous") else request.kind
            return replace(request, kind=wanted)
        kind: Kind = "fix" if before.kind == "metric" and request.how else before.kind
        return replace(before, kind=kind, how=request.how, why=request.why, define=request.define)
    return request


def _ids(mentions: Sequence[Mention], kind: str) -> tuple[str, ...]:
    return tuple(m.id for m in sorted(mentions, key=lambda m: m.start) if m.kind == kind)


def _weak(mention: Mention, tokens: list[str]) -> bool:
    return all(word in weak_words() for word in tokens[mention.start : mention.start + mention.length])
