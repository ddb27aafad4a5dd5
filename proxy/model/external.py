"""
Metrics that somebody else measures: the question, one reading, what is remembered.

Values only; ``analysis.external`` has the rules.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExternalMetric:
    """One query with an absolute limit; outside of alpha."""

    id: str
    """``prometheus-max``, of further ones ``prometheus-max-2`` and so on."""
    url: str
    """Of the provider, without the API's path."""
    query: str
    """With ``{{service}}``, ``{{stable}}``, ``{{canary}}`` and ``{{revision}}``."""
    max: float
    """Good up to this value."""
    every_s: float = 30.0
    consecutive: int = 3
    """Values above the limit in a row that fail the canary."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a provider said, or why it said nothing."""

    at_s: float
    """Unix time of the answer."""
    value: float | None = None
    """``None``: the query found nothing, or the provider could not be asked."""
    error: str = ""
    """Why the provider could not be asked; empty: it answered."""


Readings = dict[str, dict[str, Reading]]
"""The newest reading by service and metric; the next tick reads them."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a rollout remembers of one external metric; saved with it."""

    id: str
    at_s: float | None = None
    """Unix time of the last reading; ``None``: none yet."""
    value: float | None = None
    error: str = ""
    exceeded: int = 0
    """Values above the limit in a row; a reading without a value is none of them."""
