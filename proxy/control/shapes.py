"""
What is news, and how it is written for those who are told.

Pure. News come from decisions, so they are edges: something changed, and it was
saved. One template mechanism makes every shape: a JSON value in which texts name
what is put there; a text that is only a name becomes the value itself.
"""

from collections.abc import Mapping
from typing import Any

JsonObject = dict[str, Any]
Json = Any

HEADLINE_CHARS_MAX = 250
"""Discord's embed titles take 256."""

DETAIL_CHARS_MAX = 2000
"""Slack, Teams and Discord all take that much in one piece."""

RULES = {
    "undecided-hold": "undecided",
    "no-traffic": "no_traffic",
    "provider-error": "undecided",
    "start-late": "limited",
    "capacity-limited": "limited",
    "rollback-held": "rolling_back",
    "freeze": "frozen",
    "calendar-freeze": "frozen",
    "unfreeze": "thawed",
    "calendar-thaw": "thawed",
    "revision-unjudged": "unjudged",
    "superseded": "superseded",
    "start": "started",
    "start-auto": "started",
    "start-known": "started",
    "retry": "started",
}
"""Rules that are news whatever phase they lead to."""

PHASES = {
    "Waiting": "waiting",
    "Paused": "paused",
    "Baking": "baking",
    "RollingBack": "rolling_back",
    "RolledBack": "rolled_back",
    "Succeeded": "succeeded",
}
"""Phases whose beginning is news."""

COLOURS = {
    "rolled_back": ("danger", 0xC0392B),
    "rolling_back": ("danger", 0xC0392B),
    "unjudged": ("danger", 0xC0392B),
    "no_traffic": ("warning", 0xD68910),
    "undecided": ("warning", 0xD68910),
    "limited": ("warning", 0xD68910),
    "waiting": ("warning", 0xD68910),
    "frozen": ("warning", 0xD68910),
    "succeeded": ("good", 0x1E8449),
}
"""Slack's words and Discord's numbers; others are plain."""
PLAIN = ("#5D6D7E", 0x5D6D7E)

TEMPLATES: Mapping[str, Json] = {
    "json": {
        "event": "{event}",
        "service": "{service}",
        "headline": "{headline}",
        "decision": "{decision}",
    },
    "slack": {
        "text": "{headline}",
        "attachments": [{"color": "{colour}", "text": "{detail}", "mrkdwn_in": []}],
    },
    "teams": {
        "type": "message",
        "attachments": [
            {
                "contentType": "application/vnd.microsoft.card.adaptive",
                "content": {
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "body": [
                        {
                            "type": "TextBlock",
                            "text": "{headline}",
                            "weight": "Bolder",
                            "wrap": True,
                        },
                        {"type": "TextBlock", "text": "{detail}", "wrap": True},
                    ],
                },
            }
        ],
    },
    "discord": {
        "embeds": [
            {
                "title": "{headline}",
                "description": "{detail}",
                "color": "{colour_number}",
                "timestamp": "{at}",
            }
        ],
        "allowed_mentions": {"parse": []},
    },
}
"""By the ``format`` of the settings."""


def news_of(decision: JsonObject) -> str:
    """Return what kind of news a decision is; empty: none."""
    named = RULES.get(str(decision["rule"]), "")
    if named:
        return named
    phase, before = str(decision["phase"]), decision["phase_before"]
    if phase != before and phase in PHASES:
        return PHASES[phase]
    went_on = phase == "Progressing" and decision["step"] > decision["step_before"]
    return "step" if went_on else ""


def message(template: str, event: str, decision: JsonObject) -> JsonObject:
    """Return a decision as news in the shape ``template``."""
    colour, colour_number = COLOURS.get(event, PLAIN)
    revision = f" {decision['revision']}" if decision.get("revision") else ""
    headline = f"{decision['service']}{revision}: {event.replace('_', ' ')}"
    detail = str(decision["message"])
    if decision.get("note"):
        detail += f" — {decision['who']}: {decision['note']}"
    if template == "slack":
        headline, detail = _slack(headline), _slack(detail)
    filled: JsonObject = _filled(
        TEMPLATES[template],
        {
            "event": event,
            "service": decision["service"],
            "headline": headline[:HEADLINE_CHARS_MAX],
            "detail": detail[:DETAIL_CHARS_MAX] or "no more is known",
            "colour": colour,
            "colour_number": colour_number,
            "at": decision["at"],
            "decision": decision,
        },
    )
    return filled


def _slack(text: str) -> str:
    """Escape what Slack would read as a mention or a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _filled(template: Json, values: Mapping[str, Json]) -> Json:
    """Return a template with every text that is a name replaced by its value."""
    if isinstance(template, dict):
        return {key: _filled(part, values) for key, part in template.items()}
    if isinstance(template, list):
        return [_filled(part, values) for part in template]
    if isinstance(template, str) and template.startswith("{"):
        return values[template[1:-1]]
    return template
