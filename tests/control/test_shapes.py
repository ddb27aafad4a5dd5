"""What is news, and the shapes that others read."""

import json
from typing import Any

import pytest

from proxy.control.shapes import (
    DETAIL_CHARS_MAX,
    HEADLINE_CHARS_MAX,
    TEMPLATES,
    message,
    news_of,
)

DECISION: dict[str, Any] = {
    "at": "2026-11-22T10:00:00Z",
    "service": "shop",
    "rollout": "shop-1",
    "who": "ann",
    "note": "",
    "rule": "slo-violated",
    "reason": "SloViolated",
    "message": "p99 <is> 20 % & more above stable",
    "phase_before": "Progressing",
    "phase": "RolledBack",
    "step_before": 1,
    "step": 1,
    "revision": "2.4.0",
}


@pytest.mark.parametrize(
    ("changes", "news"),
    [
        ({}, "rolled_back"),
        ({"phase": "Succeeded"}, "succeeded"),
        ({"phase": "Baking"}, "baking"),
        ({"phase": "Progressing", "step": 2}, "step"),
        ({"phase": "Progressing"}, ""),
        ({"rule": "start-auto", "phase": "Progressing"}, "started"),
        ({"rule": "no-traffic", "phase": "Progressing"}, "no_traffic"),
        ({"rule": "freeze", "phase": "Progressing"}, "frozen"),
        ({"rule": "superseded", "phase": "Idle"}, "superseded"),
        ({"rule": "revision-unjudged", "phase": "Idle"}, "unjudged"),
    ],
)
def test_edges_are_news(changes: dict[str, Any], news: str) -> None:
    """The rule where it says it all, else the phase or the step that began."""
    assert news_of({**DECISION, **changes}) == news


@pytest.mark.parametrize("shape", TEMPLATES)
def test_every_shape_is_json_and_says_what_happened(shape: str) -> None:
    """Service, revision, what happened and why."""
    text = json.dumps(message(shape, "rolled_back", DECISION))
    assert "shop 2.4.0: rolled back" in text
    assert "20 %" in text
    assert "{headline}" not in text


def test_slack_reads_no_mention_out_of_a_message() -> None:
    """``<``, ``>`` and ``&`` are escaped as Slack asks."""
    attachment = message("slack", "rolled_back", DECISION)["attachments"][0]
    assert attachment["text"] == "p99 &lt;is&gt; 20 % &amp; more above stable"
    assert attachment["color"] == "danger"


def test_discord_mentions_nobody() -> None:
    """And the colour is a number."""
    made = message("discord", "succeeded", {**DECISION, "message": "@everyone"})
    assert made["allowed_mentions"] == {"parse": []}
    assert made["embeds"][0]["color"] == 0x1E8449


def test_messages_are_bounded() -> None:
    """Whatever a revision or a reason holds."""
    long = {**DECISION, "revision": "r" * 999, "message": "m" * 9999}
    embed = message("discord", "rolled_back", long)["embeds"][0]
    assert len(embed["title"]) == HEADLINE_CHARS_MAX
    assert len(embed["description"]) == DETAIL_CHARS_MAX


def test_a_persons_words_are_told() -> None:
    """Who and why stand behind the message."""
    made = message("json", "rolled_back", {**DECISION, "note": "night"})
    assert made["decision"]["note"] == "night"
    card = message("teams", "rolled_back", {**DECISION, "note": "night"})
    assert "— ann: night" in json.dumps(card, ensure_ascii=False)
