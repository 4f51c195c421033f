"""Measures at work side by side: those that share a front end in one thread, the others in threads of their own.

numpy works without the interpreter's lock, so two cores are used where there are two; on one core nothing is lost. Each
measure still sees every block, in order.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable
from types import TracebackType

from analysis.measures.base import Block, Measure

_WAITING = 1  # block in a lane's queue: memory stays bounded when one lane is slower


class Lanes:
    """`with Lanes(groups) as lanes: lanes.feed(block) …`; leaving the block waits for all of them."""

    def __init__(self, groups: Iterable[Iterable[Measure]]) -> None:
        self._lanes = [_Lane(list(group)) for group in groups]

    def __enter__(self) -> Lanes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for lane in self._lanes:
            lane.end(drop=kind is not None)
        if kind is None:
            self._raise()

    def feed(self, block: Block) -> None:
        """Raises what a measure raised, at an earlier block perhaps."""
        for lane in self._lanes:
            lane.blocks.put(block)
        self._raise()

    def _raise(self) -> None:
        for lane in self._lanes:
            if lane.error:
                raise lane.error


class _Lane:
    def __init__(self, measures: list[Measure]) -> None:
        self.error: BaseException | None = None
        self.blocks: queue.Queue[Block | None] = queue.Queue(_WAITING)
        self._measures = measures
        self._dropped = False
        self._thread = threading.Thread(target=self._run, name="measure", daemon=True)
        self._thread.start()

    def end(self, *, drop: bool) -> None:
        self._dropped = drop
        self.blocks.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (block := self.blocks.get()) is not None:
            if self.error or self._dropped:
                continue  # emptying the queue, so that nobody waits for a place in it
            try:
                for measure in self._measures:
                    measure.feed(block)
            except BaseException as error:  # raised again by whoever feeds
                self.error = error
