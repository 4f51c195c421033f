"""A figure that exists, said of the wrong thing: "your loudness is -14 LUFS" where -14 is what a platform asks for.

Only the plain claim is read (a metric, nothing but small words, a figure in the metric's unit): it is the one that a
reader takes for a measurement.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

from assistant import knowledge
from assistant.facts import Track
from assistant.figures import Figure, figures, unit_of
from assistant.language import words
from assistant.topics import every, find
from assistant.written import bare_numbers_count

CLAIM_CHARACTERS = 160  # before a figure, which can speak of it
SMALL_WORDS_MOST = 12  # between a metric and its value
SPELT_FROM = 6  # letters: a longer word may be a name with a slip, or one of several endings
# Between a metric and its value: "the loudness of your master is currently at -9 LUFS".
_BETWEEN = frozenset(
    words(
        "of your the this track song mix master file its it is are was be been at currently now only just still about "
        "around measures measured reads sits lies hits reaches comes in value level da do sua seu dessa desse desta "
        "deste na no faixa musica arquivo é está estão fica mede medido de atualmente agora só apenas valor nível "
        "roughly approximately approx near nearly almost exactly cerca aproximadamente quase perto exatamente uns por "
        "volta i"  # LUFS-I
    )
)
# What a question would not name a metric by, but a claim does.
_FURTHER_NAMES = (
    ("integrated", "integratedLufs"),
    ("integrado", "integratedLufs"),
    ("stereo width", "widthPercent"),
    ("width", "widthPercent"),
    ("largura estereo", "widthPercent"),
    ("largura", "widthPercent"),
)
# "Your master is -9 LUFS": a level of the track, whichever.
_TRACK = frozenset(words("master mix track song file faixa musica arquivo"))
_IS = frozenset(words("is measures measured reads sits está mede é"))
_WISHES = frozenset(words("if once until when so that should a an se quando até que um uma deve"))
_LEVELS = frozenset({"LUFS", "dBTP", "dBFS", "BPM"})
# Units between a metric and its value: "loudness (LUFS): -9", "true peak in dBTP = 3", "tilt em dB/oitava: -3".
_UNITS = frozenset(
    words(
        "in em LUFS LKFS LU dBTP dBFS dB kHz Hz BPM ms s seconds segundos bit bits cents percent per por octave "
        "oct oitava"
    )
)
# Names of a metric that stand for a limit or a unit too, once the metric has been named: "under the ceiling of".
_NAMES_MORE = _UNITS | {"ceiling", "teto"}
# Behind a number that stands for itself: "DR 3 on the meter".
_NO_NOUNS = frozenset(
    words(
        "on for at in here now which is and but so right today there it that this then with when while as to by if "
        "no na em aqui agora que e mas com por hoje ali então isso quando se para ou or"
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
    found = figures(plain, with_bare_numbers=not bare_numbers_count(plain))  # else they are scores
    if not found or any(mention.kind == "platforms" for mention in find(words(plain))):
        return False
    places = Counter(figure.start for figure in found)  # of a span ("1 to 2 dB") both ends: it is a setting
    return any(_wrong(plain, figure, tracks) for figure in found if places[figure.start] == 1)


def _wrong(plain: str, figure: Figure, tracks: Sequence[Track]) -> bool:
    after = words(plain[figure.end :])
    if after and (after[0] in _DISTANCE or _counts_something(figure, plain[figure.end :])):
        return False
    before = words(plain[max(0, figure.start - CLAIM_CHARACTERS) : figure.start])
    claimed = _claimed(before)
    if not claimed and figure.unit in _LEVELS and _says_it_of_the_track(before):
        claimed = set(knowledge.metrics())
    claims = [(metric, said) for metric in claimed for said in _as_of(figure, metric)]
    values = [(said, track.reading(metric).value) for metric, said in claims for track in tracks]
    return bool(claims) and not any(said.is_(value) for said, value in values if value is not None)


def _as_of(figure: Figure, metric: str) -> Iterator[Figure]:
    """The figure read as a value of the metric; a number without a unit takes the metric's ("sample rate: 44.1")."""
    unit = unit_of(metric)
    if figure.unit in (unit, ""):
        yield replace(figure, unit=unit)
    if not figure.unit and unit == "Hz":
        yield replace(figure, unit=unit, value=figure.value * 1000, decimals=figure.decimals - 3)


def _counts_something(figure: Figure, after: str) -> bool:
    """Whether a whole number belongs to the noun behind it ("loudness: 2 things help", "tempo: 1 of 3 problems")."""
    if figure.unit or figure.decimals or figure.text[:1] in "-−–":
        return False
    if figure.text[:1] == "+":  # an end of a scale ("how alike left and right are: +1 is mono")
        return True
    noun = re.match(r" (of \d|de \d|[^\W\d_]+(?:'\w+)?)", after)
    return noun is not None and not set(words(noun[1])) <= _NO_NOUNS


def _claimed(before: list[str]) -> set[str]:
    """The metrics whose value the words before a figure announce; a unit between the two names none of its own."""
    end = len(before)
    while end and (before[end - 1] in _UNITS or before[end - 1] in _BETWEEN):
        end -= 1
    if not any(_may_end_a_name(before[:stop]) for stop in range(max(1, end), len(before) + 1)):
        return set()
    return _named_last(before[:end]) or _named_last(before)


def _says_it_of_the_track(before: list[str]) -> bool:
    """Whether the words before a figure say of the track that it is so; not that it should be, or when it is."""
    end = len(before)
    while end and (before[end - 1] in _BETWEEN or before[end - 1] == "em"):
        end -= 1
    said = set(before[end:])
    return (
        bool(said & _TRACK and said & _IS) and not said & _WISHES and not set(before[max(0, end - 2) : end]) & _WISHES
    )


def _named_last(before: list[str]) -> set[str]:
    """The metrics of the longest name that stands last, with nothing but small words behind it."""
    first = find(before)
    mentions = [m for m in every(before) if m in first or not _NAMES_MORE & set(before[m.start : m.start + m.length])]
    named = [(m.start + m.length, m.length, m.id) for m in mentions if m.kind == "metrics"]
    named += [
        (end, len(label), metric)
        for label, metric in _labels()
        for end in range(max(len(label), len(before) - SMALL_WORDS_MOST), len(before) + 1)
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


def _may_end_a_name(before: list[str]) -> bool:
    """Most words do not: looking for names is dear, and a text may hold hundreds of figures."""
    return tuple(before[-2:]) in _last_words() or tuple(before[-1:]) in _last_words() or len(before[-1]) >= SPELT_FROM


@cache
def _last_words() -> frozenset[tuple[str, ...]]:
    """The ends of all names of metrics: the last two words, or the one."""
    aliases = (tuple(words(phrase)) for kind, _, phrase in knowledge.aliases() if kind == "metrics")
    return frozenset(name[-2:] for name in (*aliases, *(label for label, _ in _labels())))


@cache
def _labels() -> tuple[tuple[tuple[str, ...], str], ...]:
    labels = [(label, metric.id) for metric in knowledge.metrics().values() for label in metric.label.values()]
    return tuple((tuple(words(label)), metric) for label, metric in (*labels, *_FURTHER_NAMES))
