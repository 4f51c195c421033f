"""The law in a few lines of Python, without Firestore: what it says to random users who also try to cheat.

The model and the rules are written apart from each other; where they disagree, one of them is wrong.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from local.tokens import unsigned_token
from shared.plans import Plan, plans
from tests.rules.firestore import NOW, Firestore, Increment, Write, create, delete, merge, replace, update
from tests.rules.world import PROFILES, month

PROFILE_EVERY, MESSAGE_EVERY = timedelta(seconds=60), timedelta(seconds=2)
CLOCK_GRAIN = timedelta(milliseconds=5)  # the server's times are cut to milliseconds
CANCELLABLE = ("awaiting-upload", "queued", "analysing")


@dataclass
class Window:
    """The time of a request, as closely as its sender knows it."""

    earliest: datetime
    latest: datetime


@dataclass
class User:
    profile: str = "missing"
    analyses: int = 0
    messages: int = 0
    updated: Window | None = None

    def plan(self) -> Plan | None:
        """What an active user may do; None for one who is not."""
        if self.profile in ("free", "plus", "pro"):
            return plans()[self.profile]
        return plans()["free"] if self.profile == "expired" else None


@dataclass
class Track:
    owner: str
    state: str = "awaiting-upload"


@dataclass
class Conversation:
    people: list[str]
    moved: Window


@dataclass
class Attempt:
    """What a user tries: `lawful` but for the pace, which allows it from `not_before` on; `done` where it succeeds."""

    title: str
    by: str
    do: Callable[[str], bool]
    lawful: bool
    earlier: Window | None = None
    pace: timedelta = timedelta()
    done: Callable[[Window], None] = lambda _: None

    def verdicts(self, now: Window) -> set[bool]:
        """One verdict, or both where the time of the request decides and is not known that closely."""
        if self.earlier is None:
            return {self.lawful}
        waits = (now.earliest - self.earlier.latest, now.latest - self.earlier.earliest)
        return {self.lawful and wait >= self.pace for wait in waits}


@dataclass
class Model:
    firestore: Firestore
    random: random.Random
    name: str
    users: dict[str, User] = field(default_factory=dict)
    tracks: dict[str, Track] = field(default_factory=dict)
    conversations: dict[str, Conversation] = field(default_factory=dict)
    serial: int = 0

    def __post_init__(self) -> None:
        self.users = {f"{self.name}-{who}": User() for who in ("ana", "bruno", "carla")}

    def step(self) -> Attempt | None:
        """The next attempt of a user; None where it was the service's turn, to whom everything is allowed."""
        if self.random.random() < 0.3:
            self.random.choice([self.change_profile, self.set_usage, self.move_track, self.pass_time])()
            return None
        attempts = [self.create_track, self.create_track, self.say, self.say, self.open, self.cancel, self.rename]
        return self.random.choice([*attempts, self.read, self.meddle])()

    # ---- the service's turn --------------------------------------------------------------------------------------

    def change_profile(self) -> None:
        uid, profile = self._someone(), self.random.choice([*PROFILES, "free", "expired"])
        fields = PROFILES[profile]
        now = datetime.now(UTC)
        if fields is None:
            self._write(delete(f"users/{uid}"))
        else:
            stored = {key: now + value if isinstance(value, timedelta) else value for key, value in fields.items()}
            self._write(replace(f"users/{uid}", stored))
        self.users[uid].profile, self.users[uid].updated = profile, None

    def set_usage(self) -> None:
        """Usage near a limit, or a refund."""
        uid, limits = self._someone(), self.random.choice(list(plans().values()))
        user = self.users[uid]
        user.analyses = max(0, limits.analyses_per_month - self.random.randrange(3))
        user.messages = max(0, (limits.messages_per_month or 500) - self.random.randrange(3))
        counts = {"analyses": user.analyses, "messages": user.messages, "lastCounted": "tracks/earlier"}
        self._write(replace(self.usage_path(uid), {"uid": uid, "month": month(datetime.now(UTC)), **counts}))

    def move_track(self) -> None:
        if self.tracks:
            name = self.random.choice(list(self.tracks))
            self.tracks[name].state = self.random.choice([*CANCELLABLE, "done", "failed", "expired"])
            self._write(update(f"tracks/{name}", {"state": self.tracks[name].state}))

    def pass_time(self) -> None:
        """A day passes for everyone who waits."""
        yesterday = datetime.now(UTC) - timedelta(days=1)
        for uid, user in self.users.items():
            if user.updated is not None:
                user.updated = Window(yesterday, yesterday)
                self._write(update(f"users/{uid}", {"lastUpdate": yesterday}))
        for conversation in self.conversations.values():
            conversation.moved = Window(yesterday, yesterday)
        self._write(*(update(f"conversations/{name}", {"lastMessageAt": yesterday}) for name in self.conversations))

    # ---- what users try ------------------------------------------------------------------------------------------

    def create_track(self) -> Attempt:
        by, name = self._someone(), self._new_name()
        tier = self.random.choice(["full", "full", "reduced"])
        twists = [
            "uncounted",
            "counted twice",
            "two for one",
            "for another",
            "too large",
            "queued",
            "strange reference",
        ]
        twist = self._twist(twists if tier == "full" else twists[3:])
        user, plan = self.users[by], self.users[by].plan()
        track = {
            "uid": self._someone_but(by) if twist == "for another" else by,
            "filename": "song.wav",
            "sizeBytes": 10**9 if twist == "too large" else 1000,
            "contentType": "audio/wav",
            "mode": "genre",
            "genre": None,
            "referenceTrackId": self._track_of_another(by) if twist == "strange reference" else None,
            "replacesTrackId": None,
            "tier": tier,
            "createdAt": NOW,
            "state": "queued" if twist == "queued" else "awaiting-upload",
        }
        writes = [create(f"tracks/{name}", track)]
        if tier == "full" and twist != "uncounted":
            writes.append(self._count(by, f"tracks/{name}", "analyses", 2 if twist == "counted twice" else 1))
        if twist == "two for one":
            writes.append(create(f"tracks/{name}-2", track))

        def done(_: Window) -> None:
            self.tracks[name] = Track(by)
            user.analyses += tier == "full"

        lawful = plan is not None and not twist
        if plan is not None:
            used_up = user.analyses >= plan.analyses_per_month
            lawful = lawful and (used_up and plan.after_limit == "reduced" if tier == "reduced" else not used_up)
        return Attempt(f"create a {tier} track {twist}", by, self._commits(writes), lawful, done=done)

    def open(self) -> Attempt:
        """A new conversation with its first message, about own tracks or, for a cheat, another's."""
        by, name = self._someone(), self._new_name()
        twist = self._twist(["with another", "strange track", "uncounted", "nine tracks"])
        own = [track_id for track_id, track in self.tracks.items() if track.owner == by]
        about = own[:1] * 9 if twist == "nine tracks" else own[: self.random.randrange(9)]
        if twist == "strange track":
            about = [self._track_of_another(by)]
        people = [by, self._someone_but(by)] if twist == "with another" else [by]
        opened = {"participants": people, "trackIds": about, "createdAt": NOW, "lastMessageAt": NOW}
        message, count = self._message(by, name, "user", "Hi")
        writes = [create(f"conversations/{name}", opened), message, *([] if twist == "uncounted" else [count])]

        def done(now: Window) -> None:
            self.conversations[name] = Conversation(people, now)
            self.users[by].messages += 1

        lawful = self._may_say(by) and (not twist or (twist == "nine tracks" and not own))
        return Attempt(f"open a conversation {twist}", by, self._commits(writes), lawful, done=done)

    def say(self) -> Attempt:
        if not self.conversations or self.random.random() < 0.1:
            return self.open()
        name = self.random.choice(list(self.conversations))
        conversation = self.conversations[name]
        by = self.random.choice([*conversation.people * 3, self._someone()])
        twist = self._twist(["uncounted", "unmoved", "as assistant", "too long", "as another", "early"])
        role = "assistant" if twist == "as assistant" else "user"
        author = self._someone_but(by) if twist == "as another" else by
        text = "x" * 2001 if twist == "too long" else "Is it loud?"
        message, count = self._message(by, name, role, text, author)
        moved: Any = datetime.now(UTC) - timedelta(hours=1) if twist == "early" else NOW
        move = update(f"conversations/{name}", {"lastMessageAt": moved})
        writes = [
            *([] if twist == "unmoved" else [move]),
            message,
            *([] if twist == "uncounted" else [count]),
        ]

        def done(now: Window) -> None:
            conversation.moved = now
            self.users[by].messages += 1

        lawful = self._may_say(by) and by in conversation.people and not twist
        do = self._commits(writes)
        return Attempt(f"say something {twist}", by, do, lawful, conversation.moved, MESSAGE_EVERY, done)

    def cancel(self) -> Attempt:
        if not self.tracks:
            return self.rename()
        name = self.random.choice(list(self.tracks)[-5:])
        track = self.tracks[name]
        by = self.random.choice([track.owner, track.owner, self._someone()])
        twist = self._twist(["and improve", "as done"])
        fields = {"state": "done" if twist == "as done" else "cancelled", "cancelledAt": NOW}
        if twist == "and improve":
            fields["tier"] = "golden"

        def done(_: Window) -> None:
            track.state = "cancelled"

        lawful = track.owner == by and track.state in CANCELLABLE and not twist
        writes = [update(f"tracks/{name}", fields)]
        return Attempt(f"cancel a track {twist} in state {track.state}", by, self._commits(writes), lawful, done=done)

    def rename(self) -> Attempt:
        """A profile's own fields."""
        by, of = self._someone(), self._someone()
        twist = self._twist(["and upgrade", "in Klingon", "undated"])
        fields: dict[str, Any] = {"displayName": "Ana", "locale": "tlh" if twist == "in Klingon" else "en"}
        if twist == "and upgrade":
            fields |= {"plan": "golden", "planStatus": "active"}
        if twist != "undated":
            fields["lastUpdate"] = NOW
        user = self.users[of]

        def done(now: Window) -> None:
            user.updated = now
            user.profile = "without a plan" if user.profile == "missing" else user.profile

        # Without a date, the last one stands, which is not now.
        lawful = by == of and not twist
        do = self._commits([merge(f"users/{of}", fields)])
        return Attempt(f"update a profile {twist}", by, do, lawful, user.updated, PROFILE_EVERY, done)

    def read(self) -> Attempt:
        by, of = self._someone(), self._someone()
        kinds = [("users", f"users/{of}", by == of), ("usage", self.usage_path(of), by == of)]
        kinds += [("track", f"tracks/{name}", track.owner == by) for name, track in self.tracks.items()]
        active = self.users[by].plan() is not None
        for name, conversation in self.conversations.items():
            lawful = active and by in conversation.people
            kinds += [("conversation", f"conversations/{name}", lawful)]
            kinds += [("message", f"conversations/{name}/messages/any", lawful)]
        what = self.random.choice(sorted({kind for kind, _, _ in kinds}))
        kind, path, lawful = self.random.choice([made for made in kinds if made[0] == what])
        return Attempt(f"read {kind}", by, lambda token: self.firestore.get(path, token), lawful)

    def meddle(self) -> Attempt:
        """What is never allowed to anyone."""
        by = self._someone()
        track = self.random.choice(list(self.tracks) or ["none"])
        writes = self.random.choice(
            [
                delete(f"users/{by}"),
                delete(self.usage_path(by)),
                delete(f"tracks/{track}"),
                merge(self.usage_path(by), {"analyses": Increment(-1)}),
                merge(f"plans/{self.random.choice(list(plans()))}", {"analysesPerMonth": 999}),
                merge(f"tracks/{track}", {"state": "done"}),
                replace(f"analyses/{track}", {"uid": by}),
                replace(f"uploadSessions/{track}", {"uid": by}),
                replace(f"controls/{self.name}", {"chat": False}),
            ]
        )
        return Attempt(f"meddle with {writes.path}", by, self._commits([writes]), lawful=False)

    # ---- small parts ---------------------------------------------------------------------------------------------

    def token(self, uid: str) -> str:
        return unsigned_token(uid, self.firestore.project)

    def _may_say(self, by: str) -> bool:
        plan = self.users[by].plan()
        if plan is None:
            return False
        return plan.messages_per_month is None or self.users[by].messages < plan.messages_per_month

    def _message(
        self, by: str, conversation: str, role: str, text: str, author: str | None = None
    ) -> tuple[Write, Write]:
        path = f"conversations/{conversation}/messages/{self._new_name()}"
        fields = {"role": role, "text": text, "uid": author or by, "createdAt": NOW}
        return create(path, fields), self._count(by, path, "messages", 1)

    def _count(self, uid: str, name: str, kind: str, by: int) -> Write:
        other = "messages" if kind == "analyses" else "analyses"
        counts = {kind: Increment(by), other: Increment(0), "lastCounted": name}
        return merge(self.usage_path(uid), {"uid": uid, "month": month(datetime.now(UTC)), **counts})

    def usage_path(self, uid: str) -> str:
        return f"usage/{uid}_{month(datetime.now(UTC))}"

    def _commits(self, writes: Sequence[Write]) -> Callable[[str], bool]:
        return lambda token: self.firestore.commit(writes, token)

    def _write(self, *writes: Write) -> None:
        assert not writes or self.firestore.commit(writes)

    def _twist(self, twists: Sequence[str]) -> str:
        """A way to cheat, or none: mostly none."""
        return self.random.choice(twists) if self.random.random() < 0.3 else ""

    def _someone(self) -> str:
        return self.random.choice(list(self.users))

    def _someone_but(self, uid: str) -> str:
        return self.random.choice([other for other in self.users if other != uid])

    def _track_of_another(self, uid: str) -> str:
        others = [name for name, track in self.tracks.items() if track.owner != uid]
        return self.random.choice(others or ["nowhere"])

    def _new_name(self) -> str:
        self.serial += 1
        return f"{self.name}-{self.serial}"
