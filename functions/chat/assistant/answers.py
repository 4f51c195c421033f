"""The way to `answering`, which is imported with the first question: a refusal need not wait for all that it knows."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assistant.conversations import Asked
    from assistant.pieces import Piece
    from shared.plans import Plan


def pieces(asked: Asked, plan: Plan) -> AsyncGenerator[Piece, None]:
    from assistant import answering

    return answering.pieces(asked, plan)
