"""
The settings of a rollout's life around its steps: gates, freezes, bake, news.

Whom to ask, when nothing may rise, what follows 100 %, and who is told.
"""

import re
import zoneinfo
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from proxy.settings import units
from proxy.settings.fields import (
    VARIABLE_PATTERN,
    Duration,
    Model,
    Text,
    Weight,
    mistake,
)

METADATA_MAX = 32
"""Entries sent along to a gate."""

_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])", re.ASCII)


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known or not text.isascii() or not text.isprintable() or " " in text:
        raise mistake(f"{units.quote(text[:64])} is not a URL such as http://host/path")
    return text


def _instant(text: str) -> str:
    if _TIME.fullmatch(text) or _DATE.fullmatch(text):
        return text
    raise mistake(
        f"{units.quote(text[:64])} is neither a time such as 16:00 "
        "nor a date such as 2026-12-20"
    )


def _zone(text: str) -> str:
    try:
        zoneinfo.ZoneInfo(text)
    except (KeyError, OSError, ValueError):
        raise mistake(f"{units.quote(text[:64])} is no time zone known here") from None
    return text


Url = Annotated[Text, AfterValidator(_url)]
Instant = Annotated[
    Text,
    AfterValidator(_instant),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": rf"^[0-9]{{2}}:[0-9]{{2}}$|^[0-9-]{{10}}$|{VARIABLE_PATTERN}",
        }
    ),
]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
GateTypeName = Literal[
    "confirm-rollout",
    "pre-rollout",
    "rollout",
    "confirm-traffic-increase",
    "confirm-promotion",
    "post-rollout",
    "rollback",
    "event",
]
News = Literal[
    "started",
    "step",
    "waiting",
    "paused",
    "undecided",
    "no_traffic",
    "limited",
    "baking",
    "rolling_back",
    "rolled_back",
    "superseded",
    "succeeded",
    "frozen",
    "thawed",
    "unjudged",
]


class BakeSettings(Model):
    """After 100 %: the old version stays as control for a while."""

    duration: Annotated[Duration, Field(gt=0)] = 600.0
    """How long, in judged time; then the rollout has succeeded."""

    holdback: Annotated[Weight, Field(gt=0, le=50)] = 1.0
    """Percent of the traffic that the old version keeps meanwhile, up to 50."""


class RollbackSettings(Model):
    """How a violated SLO takes the canary to 0; fail-fast and abort never wait."""

    mode: Literal["instant", "gradual"] = "instant"
    """``instant``: at once; ``gradual``: down through the steps, for a stable whose
    caches are cold."""

    interval: Annotated[Duration, Field(ge=1)] = 10.0
    """Time between two steps down, at least 1s."""

    @model_validator(mode="before")
    @classmethod
    def _word_is_the_mode(cls, data: object) -> object:
        return {"mode": data} if isinstance(data, str) else data


class GateSettings(Model):
    """Somebody who is asked by HTTP POST; an answer 2xx opens."""

    type: GateTypeName = "confirm-traffic-increase"
    """When it is asked; Flagger's names. In a step: before the next one."""

    url: Url
    """Where the question goes."""

    name: Text | None = None
    """How messages call it. None: its type."""

    timeout: Annotated[Duration, Field(gt=0, le=300)] = 10.0
    """One call, its answer included, up to 5m."""

    retries: Annotated[int, Field(ge=0, le=10)] = 3
    """Further calls where nobody answers or a check fails, 0 to 10."""

    interval: Annotated[Duration, Field(ge=1)] = 10.0
    """Time between two questions to a gate that is closed, or asked all along."""

    on_timeout: Literal["hold", "rollback"] = "hold"
    """What no answer means: ``hold`` and ask again, or ``rollback``."""

    secret_file: Text | None = None
    """Holds the key of the signature. None: questions are not signed."""

    metadata: Annotated[dict[Text, Text], Field(max_length=METADATA_MAX)] = Field(
        default_factory=dict
    )
    """Sent along, 32 entries at most."""


class NotifySettings(Model):
    """Who is told what happens; never waited for."""

    url: Url | None = None
    """Where news go. None: ``url_file`` says it."""

    url_file: Text | None = None
    """Holds the URL, which is a secret at Slack and others. None: ``url`` says it."""

    on: Annotated[tuple[News, ...], Field(min_length=1)] = (
        "waiting",
        "undecided",
        "no_traffic",
        "rolled_back",
        "succeeded",
        "unjudged",
    )
    """What is told."""

    format: Literal["json", "slack", "teams", "discord"] = "json"
    """The shape of the message."""

    timeout: Annotated[Duration, Field(gt=0, le=300)] = 10.0
    """One call, up to 5m."""

    retries: Annotated[int, Field(ge=0, le=20)] = 5
    """Further calls after a failed one, each later than the last, 0 to 20."""

    secret_file: Text | None = None
    """Holds the key of the signature. None: messages are not signed."""


class FreezeSettings(Model):
    """A time in which nothing rises, starts or is promoted; lowering is free."""

    days: Annotated[tuple[Day, ...], Field(max_length=7)] = ()
    """The days on which the window begins. Absent: every day."""

    from_: Annotated[Instant, Field(alias="from")] = "00:00"
    """When it begins: a time of each day, or a date, whose whole day is meant."""

    to: Instant = "00:00"
    """When it ends: a time, the next day's if it is not later; or a date, included."""

    timezone: Annotated[Text, AfterValidator(_zone)] = "UTC"
    """Whose clock it is, such as Europe/Berlin."""

    reason: Text | None = None
    """Why, for messages. None: the window itself is named."""
