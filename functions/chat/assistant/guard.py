"""What a model may say: each sentence is checked before it is shown.

A model can be wrong, and whoever writes to it can talk it into anything. So nothing rests on its obeying: a sentence
with a figure that nothing vouches for, one that recites the rules, shows raw data, links somewhere or leaves the
studio is struck, or replaced by what was measured, whatever made the model write it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from assistant.claims import contradicted
from assistant.cues import says, weak_words
from assistant.facts import NamedAnalysis, Track
from assistant.figures import Figure, NumberCheck, figures
from assistant.language import Locale, words
from assistant.replies.metrics import line
from assistant.topics import find
from assistant.written import bare_numbers_count, has_figure_in_words, plainly

Ending = Literal["repetition", "leak", "off-topic"]

RUN = 7  # so many words in a row of the rules are a recital
SAID_TWICE_FROM = 4  # words; a shorter sentence may come again
SAME_SENTENCE_MOST = 3
STRAYS_AFTER = 45  # words without one of the studio
_UNSAFE = re.compile(r"https?:|www\.|javascript:|data:\w+/|!\[|\]\(|</?[a-z!][^>]*>?", re.IGNORECASE)
_RAW = re.compile(r"[\"']\w+[\"'] ?:|\{ ?[\"']|<{2,}|>{2,}|\b[a-z]{3,}\w*(?:Lufs|Dbtp|Dbfs|Db|Hz|Bpm|Percent)\b")


class Guard:
    """The checks of one answer. `struck` counts what was kept back or replaced; `ending` says why it must stop."""

    def __init__(self, analyses: Sequence[NamedAnalysis], locale: Locale, rules: str) -> None:
        self._tracks = [Track(named) for named in analyses]
        self._names = [named.name for named in analyses]
        self._locale = locale
        self._numbers = NumberCheck(analyses, locale)
        spoken = words(rules)
        self._recital = {tuple(spoken[i : i + RUN]) for i in range(len(spoken) - RUN + 1)}
        self._said: Counter[tuple[str, ...]] = Counter()
        self._tail: list[str] = []  # the last words before the sentence: a recital may span two
        self._leaks = 0
        self._told: set[str] = set()
        self._held: list[str] | None = []  # until the answer is about music; None from then on
        self._strayed = 0
        self.struck = 0
        self.ending: Ending | None = None

    def check(self, sentence: str) -> str:
        """What may be shown of the next sentence: all of it, what was measured in its place, or nothing."""
        spoken = words(sentence)
        if self.ending is not None or self._repeats(spoken):
            return ""
        if self._leaks_rules(sentence, spoken) or _UNSAFE.search(sentence):
            return self._strike()
        self._stays_in_the_studio(spoken)
        if self.ending is not None:
            return ""
        if self.invented(sentence):
            return self._opened(self._strike() + self._measured(sentence))
        return self._opened(sentence)

    def invented(self, sentence: str) -> bool:
        """Whether a figure of the sentence comes from nowhere, or is said of the wrong thing."""
        plain = plainly(sentence, self._names)
        if has_figure_in_words(plain) or self._numbers.untraceable(plain) or contradicted(plain, self._tracks):
            return True
        bare = [f for f in figures(plain, with_bare_numbers=True) if f.unit == ""]
        if bare_numbers_count(plain) and self._numbers.untraceable(plain, with_bare_numbers=True):
            return True
        return not all(self._numbers.vouches(figure) for figure in bare if _tells(figure))

    def _strike(self) -> str:
        self.struck += 1
        return ""

    def _measured(self, sentence: str) -> str:
        """The measured truth about what the sentence was about, where there is one track it can mean."""
        if len(self._tracks) != 1:
            return ""
        track = self._tracks[0]
        for mention in find(words(sentence)):
            if mention.kind == "metrics" and mention.id not in self._told and track.value(mention.id) is not None:
                self._told.add(mention.id)
                return line(track.reading(mention.id), track, self._locale) + ("\n" if "\n" in sentence else " ")
        return ""

    def _repeats(self, spoken: list[str]) -> bool:
        said = tuple(spoken)
        self._said[said] += 1
        if self._said[said] >= SAME_SENTENCE_MOST and said:
            self.ending = "repetition"
        if len(spoken) > STRAYS_AFTER and len(set(spoken)) < len(spoken) / 4:
            self.ending = "repetition"
        return self.ending is not None or (self._said[said] > 1 and len(said) >= SAID_TWICE_FROM)

    def _leaks_rules(self, sentence: str, spoken: list[str]) -> bool:
        run = [*self._tail, *spoken]
        self._tail = run[-(RUN - 1) :]
        recited = any(tuple(run[i : i + RUN]) in self._recital for i in range(len(run) - RUN + 1))
        if not recited and not _RAW.search(sentence):
            return False
        self._leaks += 1
        if self._leaks > 1:
            self.ending = "leak"
        return True

    def _stays_in_the_studio(self, spoken: list[str]) -> None:
        if _of_the_studio(spoken):
            self._strayed = 0
            return
        self._strayed += len(spoken)
        if self._strayed > STRAYS_AFTER:
            self.ending = "off-topic"

    def _opened(self, sentence: str) -> str:
        """The sentence with what was held before it, once one of them is about music."""
        if self._held is None:
            return sentence
        self._held.append(sentence)
        if not sentence or not _of_the_studio(words(sentence)):
            return ""
        held, self._held = "".join(self._held), None
        return held


def _of_the_studio(spoken: list[str]) -> bool:
    """Whether the words name a topic of ours by a word that means little elsewhere."""
    strong = any(not all(word in weak_words() for word in spoken[m.start : m.start + m.length]) for m in find(spoken))
    return strong or says(" ".join(spoken), "domain")


def _tells(figure: Figure) -> bool:
    """A number that reads like a measurement though it has no unit: "-9.7", "0.43"."""
    return figure.decimals > 0 or figure.text[:1] in "+-−–"
