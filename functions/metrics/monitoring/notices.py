"""An incident as a message for Slack and for Discord, cut to what they take. Pure.

Limits: docs.slack.dev, "Block Kit, section" and "header"; discord.com/developers, "Embed limits" (2026-11).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from monitoring.incidents import shown
from monitoring.judge import Notice

SLACK_HEADER_MOST = 150
SLACK_SECTION_MOST = 3_000
SLACK_FIELDS_MOST = 10
SLACK_FIELD_MOST = 2_000
DISCORD_TITLE_MOST = 256
DISCORD_DESCRIPTION_MOST = 2_500  # 4,096 are allowed, but 6,000 in all
DISCORD_FIELDS_MOST = 10
DISCORD_FIELD_NAME_MOST = 100  # 256 are allowed
DISCORD_FIELD_VALUE_MOST = 150  # 1,024 are allowed
COLOURS = {"opened": 0xD32F2F, "update": 0xF57C00, "resolved": 0x388E3C}
SIGNS = {"opened": "🔴", "update": "🟠", "resolved": "🟢"}
WORDS = {"opened": "Incident", "update": "Update", "resolved": "Resolved"}


def headline(notice: Notice) -> str:
    return f"{SIGNS[notice.kind]} {WORDS[notice.kind]}: {notice.incident.title}"


def footer(notice: Notice) -> str:
    """The number tells one message from the next, should a webhook show one twice."""
    incident = notice.incident
    return f"{incident.id} · message {notice.number} · {incident.severity} · runbook: docs/operations.md"


def facts(notice: Notice) -> list[tuple[str, str]]:
    """The alerts of the incident with their values, and the times."""
    incident = notice.incident
    found = [
        (member.title, shown(member.value, member.unit) + (", resolved" if member.resolved_at is not None else ""))
        for member in incident.members.values()
    ]
    found.append(("since", _clock(incident.opened_at)))
    if incident.resolved_at is not None:
        found.append(("lasted", f"{max(1, round((incident.resolved_at - incident.opened_at) / 60))} min"))
    return found


def for_slack(notice: Notice) -> dict[str, Any]:
    title = headline(notice)
    body = _cut("\n".join(f"• {_slack_text(line)}" for line in notice.lines), SLACK_SECTION_MOST)
    fields = [
        {"type": "mrkdwn", "text": _cut(f"*{_slack_text(name)}*\n{_slack_text(value)}", SLACK_FIELD_MOST)}
        for name, value in _most(facts(notice), SLACK_FIELDS_MOST)
    ]
    return {
        "text": _slack_text(title),
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": _cut(title, SLACK_HEADER_MOST), "emoji": True}},
            {"type": "section", "text": {"type": "mrkdwn", "text": body or "no further news"}},
            {"type": "section", "fields": fields},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": _slack_text(footer(notice))}]},
        ],
    }


def for_discord(notice: Notice) -> dict[str, Any]:
    fields = [
        {"name": _cut(name, DISCORD_FIELD_NAME_MOST), "value": _cut(value, DISCORD_FIELD_VALUE_MOST), "inline": True}
        for name, value in _most(facts(notice), DISCORD_FIELDS_MOST)
    ]
    embed = {
        "title": _cut(headline(notice), DISCORD_TITLE_MOST),
        "description": _cut("\n".join(f"• {line}" for line in notice.lines), DISCORD_DESCRIPTION_MOST),
        "color": COLOURS[notice.kind],
        "fields": fields,
        "footer": {"text": footer(notice)},
    }
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


FORMATS: Mapping[str, Callable[[Notice], dict[str, Any]]] = {"slack": for_slack, "discord": for_discord}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _most(found: list[tuple[str, str]], most: int) -> list[tuple[str, str]]:
    """The first alerts and the times at the end, with a word for what is left out."""
    if len(found) <= most:
        return found
    times = [fact for fact in found if fact[0] in {"since", "lasted"}]
    room = most - len(times) - 1
    return [*found[:room], ("and more", f"{len(found) - len(times) - room} alerts"), *times]


def _slack_text(text: str) -> str:
    """Slack's three control characters, escaped."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
