"""What an answer is made of while it is made: checked pieces of text, and at last what it used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Turn:
    """One earlier message of the conversation."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True)
class Picture:
    """An image that was checked and written anew, without metadata."""

    content_type: str
    data: bytes


@dataclass(frozen=True)
class Text:
    """A piece of the answer that may be shown; joined, the pieces are the answer."""

    text: str


@dataclass(frozen=True)
class TokenUsage:
    """What an answer used: the member `usage` of the JSON answer. The names are its members."""

    model: str = "advisor"
    promptTokens: int = 0  # noqa: N815
    completionTokens: int = 0  # noqa: N815
    struck: int = 0  # sentences that were kept back, or replaced by what was measured
    costMicroUsd: int = 0  # noqa: N815
    cached: bool = False
    reason: str | None = None  # why the advisor answered where a model is set up


Piece = Text | TokenUsage
