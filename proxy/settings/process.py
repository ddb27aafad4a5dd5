"""
The settings of the process tree: what all services share.

Durations are seconds and sizes are bytes once they are read.
"""

from typing import Annotated, Literal

from pydantic import Field

from proxy.settings.fields import (
    Duration,
    ListenText,
    Model,
    Share,
    Size,
    SizeOrOff,
    Text,
)


class AdminSettings(Model):
    """The admin API and the dashboard."""

    listen: ListenText = "127.0.0.1:9901"
    """Address of the admin API. Beyond loopback it needs ``token_file``. A change
    needs a restart."""

    token_file: Text | None = None
    """File that holds the bearer token of the admin API. None: no token is asked
    for, which only a loopback address may do."""


class HealthSettings(Model):
    """Probes and metrics, read-only and without a token."""

    listen: ListenText = "0.0.0.0:9902"
    """Address of /livez, /readyz and /metrics. A change needs a restart."""


class AccessLogSettings(Model):
    """One line an exchange, on standard output."""

    format: Literal["off", "json", "text"] = "off"
    """How a line is written; ``off`` writes none."""

    sample: Share = 0.01
    """Share (0.0 to 1.0) of the exchanges without an error that are written."""

    errors: Share = 1.0
    """Share (0.0 to 1.0) of the exchanges with an error that are written."""


class LimitsSettings(Model):
    """What one worker accepts at most."""

    head: Annotated[Size, Field(ge=1024, le=1 << 20)] = 32 * 1024
    """Size of a request's or an answer's head, 1KiB to 1MiB; more is 431."""

    fields: Annotated[int, Field(ge=8, le=10_000)] = 100
    """Number of header fields of one head, 8 to 10000; more is 431."""

    target: Annotated[Size, Field(ge=64, le=1 << 20)] = 8 * 1024
    """Size of a request target, 64B to 1MiB; more is 414."""

    body: SizeOrOff = None
    """Size of a request's body; more is 413. ``off``: no limit."""

    connections: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    """Number of open client connections of one worker, 1 to 1000000."""

    inflight_per_version: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    """Number of requests that one worker has in flight to one version, 1 to
    1000000; more is 503."""


class DrainSettings(Model):
    """How the process tree ends after SIGTERM."""

    delay: Duration = 0.0
    """How long new connections are still accepted while readiness fails."""

    timeout: Duration = 30.0
    """How long requests in flight may take to finish after the delay."""
