"""A figure that exists, said of the wrong thing: "your loudness is -14 LUFS" where -14 is what a platform asks for.

Only the plain claim is read (a metric, nothing but small words, a figure in the metric's unit): it is the one that a
reader takes for a measurement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache

from assistant import knowledge
from assistant.facts import Track
from assistant.figures import Figure, figures, unit_of
from assistant.language import words
from assistant.topics import find

# Between a metric and its value: "the loudness of your master is currently at -9 LUFS".
_BETWEEN = frozenset(
    words(
        "of your the this track song mix master file its it is are was be been at currently now only just still about "
        "around measures measured reads sits lies hits reaches comes in value level da do sua seu dessa desse desta "
        "deste na no faixa musica arquivo é está estão fica mede medido de atualmente agora só apenas valor nível"
    )
)
_STANDS = frozenset(words("está estão fica mede medido chega"))  # "está em -9 LUFS"; "suba em 2 dB" is a distance
# Behind a figure that is a distance, not a value: "4.2 dB above".
_DISTANCE = frozenset(
    words(
        "above below over under too higher lower louder quieter more less short away apart off from beyond within of "
        "acima abaixo mais menos demais alto alta baixo baixa longe além dentro a de"
    )
)


def contradicted(plain: str, tracks: Sequence[Track]) -> bool:
    """Whether the text claims a value of a metric that no track has; `plain` as written.plainly has it.

    A text that names a platform speaks of the platform's values too, and is not judged.
    """
    found = figures(plain)
    if not found or any(mention.kind == "platforms" for mention in find(words(plain))):
        return False
    places = Counter(figure.start for figure in found)  # of a span ("1 to 2 dB") both ends: it is a setting
    return any(_wrong(plain, figure, tracks) for figure in found if places[figure.start] == 1)


def _wrong(plain: str, figure: Figure, tracks: Sequence[Track]) -> bool:
    after = words(plain[figure.end :])
    if after and after[0] in _DISTANCE:
        return False
    metrics = [metric for metric in _claimed(words(plain[: figure.start])) if unit_of(metric) == figure.unit]
    values = [track.reading(metric).value for metric in metrics for track in tracks]
    return bool(metrics) and not any(figure.is_(value) for value in values if value is not None)


def _claimed(before: list[str]) -> set[str]:
    """The metrics whose value the words before a figure announce: by the longest name that stands last."""
    named = [(m.start + m.length, m.length, m.id) for m in find(before) if m.kind == "metrics"]
    named += [
        (end, len(label), metric)
        for label, metric in _labels()
        for end in range(len(label), len(before) + 1)
        if tuple(before[end - len(label) : end]) == label
    ]
    if not named:
        return set()
    end, length, _ = max(named)
    between = before[end:]
    if between and between[-1] == "em" and between[-2:-1] and between[-2] in _STANDS:
        between.pop()
    if not set(between) <= _BETWEEN:
        return set()
    return {metric for e, n, metric in named if (e, n) == (end, length)}


@cache
def _labels() -> tuple[tuple[tuple[str, ...], str], ...]:
    return tuple(
        (tuple(words(label)), metric.id) for metric in knowledge.metrics().values() for label in metric.label.values()
    )
