"""The tracks a question can be about, and the language it is answered in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assistant.facts import NamedAnalysis, Role, Track
from assistant.language import Locale, words


@dataclass(frozen=True)
class Context:
    locale: Locale
    tracks: Sequence[Track]
    in_focus: int = 0
    subject: Role = "track"  # whose values are asked for

    @property
    def track(self) -> Track | None:
        """The track asked about: one named in the question, else the newest of the user's own."""
        asked = next((t for t in self.tracks if t.role == self.subject), None)
        if self.subject != "track" and asked is not None:
            return asked
        own = [t for t in self.tracks if t.role == "track"] or list(self.tracks)
        return own[min(self.in_focus, len(own) - 1)] if own else None

    def other(self, role: Role) -> Track | None:
        """The reference or the version before; of several tracks of the user's own the next older one is that."""
        others = [t for t in self.tracks if t is not self.track]
        found = next((t for t in others if t.role == role), None)
        if found is None and role == "previous":
            return next((t for t in others if t.role == "track"), None)
        return found


def context(analyses: Sequence[NamedAnalysis], question: str, locale: Locale) -> Context:
    tracks = [Track(a) for a in analyses]
    own = [t for t in tracks if t.role == "track"]
    asked = set(words(question))
    scores = [len(asked & _telling_words(t, own)) for t in own]
    focus = scores.index(max(scores)) if scores and max(scores) > 0 else 0
    return Context(locale, tracks, focus)


def _telling_words(track: Track, own: Sequence[Track]) -> set[str]:
    """The words of a file's name that tell it from the other tracks; none where there is only one."""
    if len(own) < 2:
        return set()
    others = {word for t in own if t is not track for word in words(t.name)}
    return {w for w in words(track.name) if len(w) > 1} - others
