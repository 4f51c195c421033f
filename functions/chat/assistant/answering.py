"""An answer, piece by piece: from a model where one serves, from the advisor otherwise.

The advisor is the product where no model is set up; where one is, it steps in for whatever goes wrong before the first
word is shown. After that an answer is ended honestly: nothing is begun anew under the reader's eyes.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from assistant import advisor, prompt
from assistant.guard import Guard
from assistant.intents import Kind, classify
from assistant.language import Locale
from assistant.models.completions import ModelError
from assistant.models.ledger import Payer, Refused
from assistant.models.service import Models, Spent, from_settings
from assistant.pieces import Piece, Text, TokenUsage
from assistant.sentence_stream import SentenceStream, sentences
from assistant.threads import in_thread
from assistant.wording import say
from shared import cache, controls, observations
from shared.plans import Plan
from shared.settings import settings

if TYPE_CHECKING:
    from assistant.conversations import Asked

NEED_NO_MODEL: frozenset[Kind] = frozenset({"greeting", "thanks", "help", "off-topic"})
ANSWER_TTL_S = 3_600


@functools.cache
def models() -> Models | None:
    """The models that this process asks; None where the settings name none."""
    return from_settings(settings())


async def pieces(asked: Asked, plan: Plan) -> AsyncGenerator[Piece, None]:
    """The answer in checked pieces, then what it used, exactly once.

    Leaving early (`aclose`, or the task cancelled) stops the model at once and counts what it had used.
    """
    serving = models()
    if serving is None or not serving.of_plan(plan.name):
        for piece in _advised(asked, TokenUsage()):
            yield piece
        return
    async with aclosing(_Answer(asked, plan, serving).pieces()) as answer:
        async for piece in answer:
            yield piece


def _advised(asked: Asked, usage: TokenUsage) -> list[Piece]:
    locale = advisor.language_of(asked.text, locale=asked.locale, history=asked.history)
    text = advisor.answer(asked.text, asked.analyses, locale=asked.locale, history=asked.history)
    blind = [Text(_blind(locale))] if asked.pictures else []
    return [*blind, *map(Text, sentences(text)), usage]


def _blind(locale: Locale) -> str:
    return say(locale, "model.blind") + "\n\n"


class _Answer:
    """One answer where a model may serve."""

    def __init__(self, asked: Asked, plan: Plan, serving: Models) -> None:
        self._asked = asked
        self._plan = plan
        self._models = serving
        self._locale: Locale = advisor.language_of(asked.text, locale=asked.locale, history=asked.history)
        self._payer = Payer(asked.uid, asked.message_id)
        self._spent = Spent()
        self._struck = 0
        self._model = "advisor"
        self._spoke = False  # a model has begun to answer: no other is asked after that
        self._reason: str | None = None  # why an answer is not a model's, or not a whole one

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        self._reason = self._why_no_model()
        if self._reason is None:
            key, shown = self._key(), ""
            known = _known(await in_thread(cache.get, key))
            if known is not None:
                for piece in known:
                    yield piece
                return
            async with aclosing(self._from_models()) as texts:
                async for text in texts:
                    shown += text
                    yield Text(text)
            if shown and self._reason is None:
                await in_thread(cache.put, key, {"text": shown, "model": self._model}, ANSWER_TTL_S)
            if shown:
                yield self._usage(self._model)
                return
        for piece in _advised(self._asked, self._usage("advisor")):
            yield piece

    def _why_no_model(self) -> str | None:
        if "model" in controls.current().closed:
            return "closed"
        if classify(self._asked.text, self._asked.history).kind in NEED_NO_MODEL:
            return "needs-no-model"
        return None

    async def _from_models(self) -> AsyncGenerator[str, None]:
        """The checked text of the first model that answers; nothing where none does."""
        shown = False
        for name in self._models.of_plan(self._plan.name):
            self._model, self._reason = name, None
            try:
                async with aclosing(self._from_model(name)) as texts:
                    async for text in texts:
                        if not shown and self._asked.pictures and not self._models.sees(name):
                            yield _blind(self._locale)
                        shown = True
                        yield text
            except Refused as refused:
                self._reason = refused.why
                return
            except ModelError as error:
                self._reason = "broken-off" if self._spoke else error.kind
            if self._reason is None or self._spoke:
                break
        if not shown and self._reason is None:
            self._reason = "unusable"
        if shown and self._reason in _CLOSINGS:
            yield f"\n\n{say(self._locale, _CLOSINGS[self._reason])}"

    async def _from_model(self, name: str) -> AsyncGenerator[str, None]:
        asked, reply_tokens = self._asked, self._plan.reply_tokens
        guard = Guard(asked.analyses, self._locale, prompt.RULES)
        pictures = asked.pictures if self._models.sees(name) else ()
        messages = prompt.messages(asked.text, asked.analyses, asked.turns, self._locale, pictures)
        stream = SentenceStream()
        try:
            calling = self._models.texts(name, messages, reply_tokens, self._payer, self._spent, asked.answer_by)
            async with aclosing(calling) as texts:
                async for text in texts:
                    self._spoke = True
                    for checked in filter(None, map(guard.check, stream.feed(text))):
                        yield checked
                    self._reason = "repetition" if stream.endless else guard.ending
                    if self._reason is not None:
                        return
            rest = stream.rest()
            unfinished = self._spent.tokens.completion >= reply_tokens and not rest.rstrip().endswith((".", "!", "?"))
            if checked := "" if unfinished else guard.check(rest):
                yield checked
            self._reason = guard.ending
        finally:
            self._struck += guard.struck
            if guard.struck:
                observations.count("model.struck", guard.struck)

    def _usage(self, model: str) -> TokenUsage:
        tokens = self._spent.tokens
        return TokenUsage(
            model, tokens.prompt, tokens.completion, self._struck, self._spent.micro_usd, reason=self._reason
        )

    def _key(self) -> str:
        """What an answer depends on. The conversation counts only where the question leans on it ("and how?")."""
        asked = self._asked
        alone = classify(asked.text)
        leans = alone.kind == "unknown" or classify(asked.text, asked.history) != alone
        told: Any = [
            asked.uid,
            self._models.of_plan(self._plan.name),
            self._plan.reply_tokens,
            self._locale,
            " ".join(asked.text.casefold().split()),
            [[named.name, named.role, named.analysis] for named in asked.analyses],
            [[turn.role, turn.text] for turn in prompt.latest(asked.turns)] if leans else [],
            [hashlib.sha256(picture.data).hexdigest() for picture in asked.pictures],
        ]
        text = json.dumps(told, ensure_ascii=False, sort_keys=True, default=str)
        return f"answer:{hashlib.sha256(text.encode()).hexdigest()}"


_CLOSINGS = {"broken-off": "model.broken-off", "leak": "talk.offer", "off-topic": "talk.offer"}


def _known(found: Any) -> list[Piece] | None:
    """An answer from the cache; None for whatever else lies there."""
    match found:
        case {"text": str(text), "model": str(model)}:
            return [*map(Text, sentences(text)), TokenUsage(model, cached=True)]
        case _:
            return None
