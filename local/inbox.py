"""An inbox in place of Slack's and Discord's webhooks: answers as they do, refuses what they refuse, shows what came.

    python -m local.inbox --port PORT

Webhook addresses are `/slack/…` and `/discord/…`. `GET /` is a page for people, `GET /messages` the same as JSON;
`POST /behave {"status": 429, "retryAfter": 2, "times": 1}` makes the next answers fail.
"""

from __future__ import annotations

import argparse
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from local import inbox_page
from shared import telemetry

MESSAGES_KEPT = 200
SLACK_TEXT_MOST = 40_000
SLACK_SECTION_MOST = 3_000
SLACK_HEADER_MOST = 150
SLACK_BLOCKS_MOST = 50
DISCORD_CONTENT_MOST = 2_000
DISCORD_EMBEDS_MOST = 10
DISCORD_EMBEDS_TEXT_MOST = 6_000


@dataclass(frozen=True)
class Message:
    """What was sent to a webhook, and the status that it was answered with."""

    service: str
    path: str
    receivedAt: str  # noqa: N815  # as in the JSON
    status: int
    payload: Any


@dataclass
class Behaviour:
    """What the next answers are, instead of the usual ones."""

    status: int = 200
    retry_after_s: float | None = None
    times: int = 0


def slack_fault(payload: Any) -> str | None:
    """Slack's word for what is wrong with a payload, or None.

    https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks and the reference of Block Kit.
    """
    if not isinstance(payload, dict):
        return "invalid_payload"
    blocks = payload.get("blocks") or []
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        return "invalid_blocks"
    if not payload.get("text") and not blocks and not payload.get("attachments"):
        return "no_text"
    if len(str(payload.get("text", ""))) > SLACK_TEXT_MOST:
        return "msg_too_long"
    if len(blocks) > SLACK_BLOCKS_MOST or not all(_block_fits(block) for block in blocks):
        return "invalid_blocks"
    return None


def _block_fits(block: Mapping[str, Any]) -> bool:
    text = block.get("text")
    words = text.get("text") if isinstance(text, dict) else text or ""
    most = SLACK_HEADER_MOST if block.get("type") == "header" else SLACK_SECTION_MOST
    return isinstance(words, str) and len(words) <= most


def discord_fault(payload: Any) -> str | None:
    """What Discord would say of a payload, or None.

    https://discord.com/developers/docs/resources/webhook#execute-webhook, …/resources/message#embed-object-embed-limits
    """
    if not isinstance(payload, dict):
        return "The request body contains invalid JSON."
    content, embeds = payload.get("content") or "", payload.get("embeds") or []
    if not isinstance(content, str) or not isinstance(embeds, list):
        return "Invalid Form Body"
    if not content and not embeds:
        return "Cannot send an empty message"
    if len(content) > DISCORD_CONTENT_MOST:
        return f"content: Must be {DISCORD_CONTENT_MOST} or fewer in length."
    if len(embeds) > DISCORD_EMBEDS_MOST:
        return f"embeds: Must be {DISCORD_EMBEDS_MOST} or fewer in length."
    try:
        length = sum(map(_embed_length, embeds))
    except (AttributeError, TypeError):
        return "Invalid Form Body"
    return (
        f"embeds: Embed size exceeds maximum size of {DISCORD_EMBEDS_TEXT_MOST}"
        if length > DISCORD_EMBEDS_TEXT_MOST
        else None
    )


def _embed_length(embed: Mapping[str, Any]) -> int:
    texts = [embed.get("title"), embed.get("description")]
    texts += [(embed.get("footer") or {}).get("text"), (embed.get("author") or {}).get("name")]
    texts += [field.get(part) for field in embed.get("fields") or [] for part in ("name", "value")]
    return sum(len(text or "") for text in texts)


class Inbox:
    def __init__(self) -> None:
        self._messages: deque[Message] = deque(maxlen=MESSAGES_KEPT)
        self._behaviour = Behaviour()

    async def slack(self, request: web.Request) -> web.Response:
        payload = await _payload(request)
        told, fault = self._told(), slack_fault(payload)
        if told:
            answer = web.Response(status=told.status, text="rate_limited" if told.status == 429 else "server_error")
        elif fault:
            answer = web.Response(status=400, text=fault)
        else:
            answer = web.Response(text="ok")
        return self._answered("slack", request, payload, answer, told)

    async def discord(self, request: web.Request) -> web.Response:
        payload = await _payload(request)
        told, fault = self._told(), discord_fault(payload)
        if told and told.status == 429:
            retry_after_s = told.retry_after_s or 0
            limited = {"message": "You are being rate limited.", "retry_after": retry_after_s, "global": False}
            answer = web.json_response(limited, status=429)
        elif told:
            answer = web.json_response({"message": "told to fail", "code": 0}, status=told.status)
        elif fault:
            answer = web.json_response({"message": fault, "code": 50035}, status=400)
        else:
            answer = web.Response(status=204)
        return self._answered("discord", request, payload, answer, told)

    async def messages(self, _: web.Request) -> web.Response:
        return web.json_response([asdict(message) for message in self._messages])

    async def page(self, _: web.Request) -> web.Response:
        html = inbox_page.page([asdict(message) for message in reversed(self._messages)])
        return web.Response(text=html, content_type="text/html")

    async def behave(self, request: web.Request) -> web.Response:
        try:
            body = await request.json()
            retry_after = body.get("retryAfter")
            self._behaviour = Behaviour(
                int(body["status"]), None if retry_after is None else float(retry_after), int(body.get("times", 1))
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            return web.json_response({"error": f"send status, retryAfter?, times?: {error!r}"}, status=400)
        return web.json_response({"status": self._behaviour.status, "times": self._behaviour.times})

    async def health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    def _told(self) -> Behaviour | None:
        if self._behaviour.times <= 0:
            return None
        self._behaviour.times -= 1
        return self._behaviour

    def _answered(
        self, service: str, request: web.Request, payload: Any, answer: web.Response, told: Behaviour | None
    ) -> web.Response:
        if told and told.retry_after_s is not None:
            answer.headers["Retry-After"] = f"{told.retry_after_s:g}"
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._messages.append(Message(service, request.path, now, answer.status, payload))
        if answer.status < 300:
            telemetry.info(f"a message for {service}: {inbox_page.summary(service, payload)}")
        else:
            telemetry.warning(f"a message for {service} was refused", status=answer.status)
        return answer


async def _payload(request: web.Request) -> Any:
    """The body as JSON, or its text where it is none."""
    text = await request.text()
    try:
        return json.loads(text)
    except ValueError:
        return text


def application() -> web.Application:
    inbox = Inbox()
    app = web.Application()
    app.router.add_get("/", inbox.page)
    app.router.add_get("/health", inbox.health)
    app.router.add_get("/messages", inbox.messages)
    app.router.add_post("/behave", inbox.behave)
    app.router.add_post("/slack/{path:.*}", inbox.slack)
    app.router.add_post("/discord/{path:.*}", inbox.discord)
    return app


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.inbox")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    app = application()
    web.run_app(app, host="127.0.0.1", port=options.port, print=None, access_log=None, shutdown_timeout=1)


if __name__ == "__main__":
    main()
