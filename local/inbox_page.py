"""The inbox's page: Slack's blocks and Discord's embeds as people see them there, as far as notices use them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

SUMMARY_MOST = 120

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>prodai inbox</title>
<meta http-equiv="refresh" content="5"><meta name="viewport" content="width=device-width">
<style>
  :root { color-scheme: light dark; --line: #8884; --dim: #888 }
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
  article { border: 1px solid var(--line); border-left: 4px solid var(--accent, #888); border-radius: 6px;
            padding: .7rem 1rem; margin: 1rem 0; overflow-wrap: anywhere }
  .slack { --accent: #611f69 } .discord { --accent: #5865f2 } .refused { opacity: .6; border-style: dashed }
  header, small { color: var(--dim); font-size: .85rem }
  h1 { font-size: 1.3rem } h2 { font-size: 1.05rem; margin: .3rem 0 }
  p { margin: .3rem 0 } dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; margin: .3rem 0 }
  dt { font-weight: 600 } dd { margin: 0 } section { border-left: 3px solid var(--bar, #888); padding-left: .7rem }
</style></head><body><h1>Notices</h1>
"""


def page(messages: Sequence[Mapping[str, Any]]) -> str:
    """HTML of messages (service, path, receivedAt, status, payload), in the given order."""
    shown = "".join(map(_article, messages)) or "<p>Nothing has come yet. This page looks again every 5 seconds.</p>"
    return f"{_HEAD}{shown}</body></html>\n"


def summary(service: str, payload: Any) -> str:
    """The first words of a message, as text."""
    markup = _body(service, payload)
    text = re.sub(r"<[^>]*>", " ", markup)
    words = " ".join(text.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">").split())
    return words if len(words) <= SUMMARY_MOST else words[: SUMMARY_MOST - 1] + "…"


def _article(message: Mapping[str, Any]) -> str:
    service, status = str(message["service"]), int(message["status"])
    refused = "" if status < 300 else " refused"
    answered = "" if status < 300 else f" · answered {status}"
    line = f"{service} · {message['receivedAt']} · {message['path']}{answered}"
    body = _body(service, message["payload"])
    return f'<article class="{escape(service)}{refused}"><header>{escape(line)}</header>{body}</article>'


def _body(service: str, payload: Any) -> str:
    render = _slack if service == "slack" else _discord
    try:
        return render(payload)
    except (AttributeError, TypeError, ValueError):  # not what the service would take, so it is shown as it came
        return f"<pre>{escape(json.dumps(payload, ensure_ascii=False, indent=2))}</pre>"


def _slack(payload: Mapping[str, Any]) -> str:
    blocks = payload.get("blocks") or []
    parts = [_slack_block(block) for block in blocks] if blocks else [_paragraph(_mrkdwn(payload.get("text") or ""))]
    for attachment in payload.get("attachments") or []:
        parts.append(f"<section>{_slack({'text': attachment.get('fallback', ''), **attachment})}</section>")
    return "".join(parts)


def _slack_block(block: Mapping[str, Any]) -> str:
    kind = block.get("type")
    if kind == "divider":
        return "<hr>"
    text = _mrkdwn((block.get("text") or {}).get("text", ""))
    if kind == "header":
        return f"<h2>{text}</h2>"
    parts = [_paragraph(text)] if text else []
    parts += [_paragraph(_mrkdwn(field.get("text", ""))) for field in block.get("fields") or []]
    for element in block.get("elements") or []:
        label = element.get("text", "")
        words = _mrkdwn(label.get("text", "") if isinstance(label, dict) else label)
        parts.append(f"<small>{_link(element['url'], words) if element.get('url') else words}</small> ")
    return "".join(parts)


def _discord(payload: Mapping[str, Any]) -> str:
    content = payload.get("content") or ""
    parts = [_paragraph(_markdown(content))] if content else []
    return "".join([*parts, *map(_embed, payload.get("embeds") or [])])


def _embed(embed: Mapping[str, Any]) -> str:
    title = _markdown(embed.get("title") or "")
    if title and embed.get("url"):
        title = _link(embed["url"], title)
    parts = [f"<h2>{title}</h2>"] if title else []
    if embed.get("description"):
        parts.append(_paragraph(_markdown(embed["description"])))
    fields = embed.get("fields") or []
    if fields:
        rows = (f"<dt>{_markdown(f.get('name', ''))}</dt><dd>{_markdown(f.get('value', ''))}</dd>" for f in fields)
        parts.append(f"<dl>{''.join(rows)}</dl>")
    footer = (embed.get("footer") or {}).get("text")
    if footer:
        parts.append(f"<small>{escape(footer)}</small>")
    return f'<section style="--bar: #{int(embed.get("color") or 0x888888):06x}">{"".join(parts)}</section>'


def _paragraph(markup: str) -> str:
    return f"<p>{markup}</p>"


def _mrkdwn(text: str) -> str:
    """Slack's markup: `*bold*`, `` `code` ``, `<address|words>`; Slack's own escapes are &amp;, &lt; and &gt;."""
    markup = escape(text).replace("&amp;lt;", "&lt;").replace("&amp;gt;", "&gt;").replace("&amp;amp;", "&amp;")
    markup = re.sub(r"&lt;(https?://[^|\s]+?)(?:\|(.+?))?&gt;", lambda m: _anchor(m[1], m[2] or m[1]), markup)
    markup = re.sub(r"`([^`\n]+)`", r"<code>\1</code>", markup)
    markup = re.sub(r"(?<!\w)\*([^*\n]+)\*(?!\w)", r"<b>\1</b>", markup)
    return markup.replace("\n", "<br>")


def _markdown(text: str) -> str:
    """Discord's markup: `**bold**`, `` `code` ``, `[words](address)`."""
    markup = escape(text)
    markup = re.sub(r"\[([^\]\n]+)\]\((https?://[^\s)]+)\)", lambda m: _anchor(m[2], m[1]), markup)
    markup = re.sub(r"`([^`\n]+)`", r"<code>\1</code>", markup)
    markup = re.sub(r"\*\*([^*\n]+)\*\*", r"<b>\1</b>", markup)
    return markup.replace("\n", "<br>")


def _link(address: str, markup: str) -> str:
    return _anchor(escape(address), markup) if re.match(r"https?://", address) else markup


def _anchor(escaped_address: str, markup: str) -> str:
    return f'<a href="{escaped_address}">{markup}</a>'
