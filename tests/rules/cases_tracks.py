"""Tracks: announced in full or reduced, as the plan and the month allow; cancelled before they end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared import plans
from tests.rules.cases import TEXT_OR_NULL, Writes, allow, deny, each_field, given
from tests.rules.firestore import NOW, Increment, Write, create, delete, replace, update
from tests.rules.matrix import Case
from tests.rules.world import World

FREE, PLUS, PRO = (plans.plans()[name] for name in ("free", "plus", "pro"))
USED_UP = FREE.analyses_per_month


def track(world: World, changes: Mapping[str, Any]) -> list[Write]:
    return world.track_batch(track=changes)


def reduced(world: World, changes: Mapping[str, Any]) -> list[Write]:
    return world.track_batch(track={"tier": "reduced", **changes})[:1]


def cancel(world: World, changes: Mapping[str, Any]) -> list[Write]:
    return [update(f"tracks/{world.track}", {"state": "cancelled", "cancelledAt": NOW, **changes})]


def tracks() -> Iterator[Case]:
    kinds: dict[str, Sequence[str]] = {
        "uid": (),
        "filename": ("a text",),
        "sizeBytes": ("a whole number",),
        "contentType": ("a text",),
        "mode": (),
        "genre": TEXT_OR_NULL,
        "referenceTrackId": ("null",),
        "replacesTrackId": ("null",),
        "sha256": TEXT_OR_NULL,
        "crc32c": TEXT_OR_NULL,
        "tier": (),
        "createdAt": (),
        "state": (),
    }
    yield from each_field("tracks", track, kinds, ("sha256", "crc32c"))
    yield from limits_of_fields()
    yield from values()
    yield from ids()
    yield from tiers()
    yield from cancelling()


def limits_of_fields() -> Iterator[Case]:
    pairs: list[tuple[str, Any, Any]] = [
        ("filename", "é" * 255, "é" * 256),
        ("filename", "a", ""),
        ("sizeBytes", FREE.max_upload_bytes, FREE.max_upload_bytes + 1),
        ("sizeBytes", 1, 0),
        ("contentType", "a" * 60 + "/" + "b" * 60, "a" * 61 + "/b"),
        ("contentType", "audio/x-wav", "audio/" + "b" * 61),
        ("contentType", "audio/mpeg", "audio/wav\n"),
        ("genre", "g" * 64, "g" * 65),
        ("sha256", "0" * 64, "0" * 65),
        ("crc32c", "AAAAAA==", "AAAAAAA=="),
    ]
    for name, good, bad in pairs:
        yield allow("tracks", f"{name} {shown(good)}", given(track, **{name: good}))
        yield deny("tracks", f"{name} {shown(bad)}", given(track, **{name: bad}))


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 20 else f"{text[:9]}…{text[-4:]} ({len(value)})"


def values() -> Iterator[Case]:
    yield deny("tracks", "a stranger's uid", lambda w: track(w, {"uid": w.stranger}))
    yield deny("tracks", "an earlier time", lambda w: track(w, {"createdAt": w.ago(1)}))
    for state in ("queued", "analysing", "done", "failed", "expired", "cancelled"):
        yield deny("tracks", f"the first state {state}", given(track, state=state))
    for field in ("referenceTrackId", "replacesTrackId"):
        yield allow("tracks", f"an own {field}", naming_own_track(field))
        yield deny("tracks", f"a stranger's {field}", naming_strange_track(field))
        yield deny("tracks", f"a {field} that is not there", given(track, **{field: "nowhere"}))
    yield allow("tracks", "the mode reference with one", naming_own_track("referenceTrackId", mode="reference"))
    yield deny("tracks", "the mode reference without one", given(track, mode="reference"))
    yield deny("tracks", "another mode", given(track, mode="both"))
    yield deny("tracks", "another mode with a reference", naming_own_track("referenceTrackId", mode="both"))


def naming_own_track(field: str, **changes: Any) -> Writes:
    return lambda w: track(w, {field: w.old_track, **changes})


def naming_strange_track(field: str) -> Writes:
    return lambda w: track(w, {field: w.strange_track})


def ids() -> Iterator[Case]:
    yield allow("tracks", "an id of 64 characters", lambda w: named(w, w.name.ljust(64, "x")))
    yield deny("tracks", "an id of 65 characters", lambda w: named(w, w.name.ljust(65, "x")))
    yield deny("tracks", "an id with a dot", lambda w: named(w, f"{w.name}.x"))
    long_id = "a reduced one's id of {} characters"
    yield allow("tracks", long_id.format(64), lambda w: reduced_named(w, w.name.ljust(64, "x")), analyses=USED_UP)
    yield deny("tracks", long_id.format(65), lambda w: reduced_named(w, w.name.ljust(65, "x")), analyses=USED_UP)


def named(world: World, name: str) -> list[Write]:
    return [create(f"tracks/{name}", world.new_track()), world.count(f"tracks/{name}", analyses=Increment(1))]


def reduced_named(world: World, name: str) -> list[Write]:
    return [create(f"tracks/{name}", world.new_track(tier="reduced"))]


def tiers() -> Iterator[Case]:
    yield deny("tracks", "a full one without a count", lambda w: track(w, {})[:1])
    yield deny("tracks", "a full one without a count, the first", lambda w: track(w, {})[:1], analyses=None)
    yield deny("tracks", "a full one without a count, used up", lambda w: track(w, {})[:1], analyses=USED_UP)
    yield deny("tracks", "a full one counted as another", counted_as_another)
    yield deny("tracks", "two full ones for one count", two_for_one_count)
    yield deny("tracks", "two full ones for two counts in one batch", two_for_two_counts)
    yield deny("tracks", "the one counted last, created again without a count", counted_last_created_again)
    yield allow("tracks", "a reduced one, used up", given(reduced), analyses=USED_UP)
    yield allow("tracks", "a reduced one beyond the limit", given(reduced), analyses=USED_UP + 9)
    yield allow("tracks", "a reduced one, expired, free used up", given(reduced), analyses=USED_UP, profile="expired")
    yield deny("tracks", "a reduced one while the month lasts", given(reduced), analyses=USED_UP - 1)
    yield deny("tracks", "a reduced one before the first count", given(reduced), analyses=None)
    yield allow("tracks", "a reduced one on plus, used up", given(reduced), analyses=25, profile="plus")
    yield deny("tracks", "a reduced one on plus, free used up", given(reduced), analyses=USED_UP, profile="plus")
    yield deny("tracks", "a reduced one on pro, used up", given(reduced), analyses=200, profile="pro")
    yield deny("tracks", "a reduced one, suspended", given(reduced), analyses=200, profile="suspended")
    yield deny("tracks", "a counted reduced one", given(track, tier="reduced"))
    yield deny("tracks", "a counted reduced one, used up", given(track, tier="reduced"), analyses=USED_UP)
    yield deny("tracks", "another tier, counted", given(track, tier="golden"))
    yield deny("tracks", "another tier, used up", given(reduced, tier="golden"), analyses=USED_UP)


def counted_as_another(world: World) -> list[Write]:
    return [track(world, {})[0], world.count(f"tracks/{world.old_track}", analyses=Increment(1))]


def two_for_one_count(world: World) -> list[Write]:
    return [*track(world, {}), create(f"tracks/{world.new}-2", world.new_track())]


def two_for_two_counts(world: World) -> list[Write]:
    return [*two_for_one_count(world), world.count(f"tracks/{world.new}-2", analyses=Increment(1))]


def counted_last_created_again(world: World) -> list[Write]:
    """The service has deleted the track that was counted last."""
    world.seed(delete(f"tracks/{world.old_track}"))
    return [create(f"tracks/{world.old_track}", world.new_track())]


def cancelling() -> Iterator[Case]:
    for state in ("awaiting-upload", "queued", "analysing"):
        yield allow("tracks", f"cancelling from {state}", cancelling_from(state))
    for state in ("done", "failed", "expired", "cancelled"):
        yield deny("tracks", f"cancelling from {state}", cancelling_from(state))
    yield deny("tracks", "cancelling at another time", lambda w: cancel(w, {"cancelledAt": w.ago(1)}))
    yield deny("tracks", "cancelling at no time", lambda w: [update(f"tracks/{w.track}", {"state": "cancelled"})])
    for state in ("queued", "done", "awaiting-upload"):
        yield deny("tracks", f"a move to {state}", given(cancel, state=state))
    yield deny("tracks", "a new one written over an old one", written_over, analyses=USED_UP)
    for field, value in {"tier": "reduced", "filename": "b.wav", "refunded": True, "progress": 1, "uid": "x"}.items():
        yield deny("tracks", f"cancelling with {field}", given(cancel, **{field: value}))


def written_over(world: World) -> list[Write]:
    return [replace(f"tracks/{world.track}", world.new_track(tier="reduced"))]


def cancelling_from(state: str) -> Writes:
    def writes(world: World) -> list[Write]:
        world.seed(update(f"tracks/{world.track}", {"state": state}))
        return cancel(world, {})

    return writes


CASES = list(tracks())
