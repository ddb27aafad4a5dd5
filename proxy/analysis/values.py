"""
What the judge is shown: what was added to the evidence since it last looked.

Values only. The question (``JudgePlan``, ``Slo``), the memory (``JudgeState``)
and the answer (``Judgement``) live in ``proxy.model``, because the rollout
keeps them; they are re-exported here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.model.judge_state import JudgeState
from proxy.model.judging import (
    DEFAULT_GUARD,
    FailFast,
    Judgement,
    JudgePlan,
    Requests,
    Safety,
    Slo,
    SloJudgement,
)

__all__ = [
    "ALL_ROUTES",
    "DEFAULT_GUARD",
    "Evidence",
    "FailFast",
    "JudgePlan",
    "JudgeState",
    "Judgement",
    "Requests",
    "RouteEvidence",
    "Safety",
    "Slo",
    "SloJudgement",
    "Window",
]

ALL_ROUTES = ""
"""The key in ``Evidence.routes`` of all requests, whatever their route."""


@dataclass(frozen=True, slots=True)
class Window:
    """
    What one arm added to the evidence of the present weight epoch.

    Counts are sparse. Bucket indexes are those of ``proxy.model.buckets``; codes
    are those of the slab (status codes, and ``FLAG_CODE_BASE`` plus a ``Flag``).
    """

    codes: Mapping[int, int] = field(default_factory=dict)
    """Finished first attempts by outcome code; 0: the client went away."""
    latency: Mapping[int, int] = field(default_factory=dict)
    """Answers that did not fail, by latency bucket."""
    ttfb: Mapping[int, int] = field(default_factory=dict)
    """The same by bucket of the time to the first byte."""
    censored: Mapping[int, int] = field(default_factory=dict)
    """Age, by bucket, at the end of requests without a good answer."""
    ages: Mapping[int, int] = field(default_factory=dict)
    """
    By how much the number of requests in flight of that age changed.

    Negative where fewer are that old than at the last look: they got older, or
    ended (and are in ``latency`` or ``censored`` then).
    """
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Hits and trials of named counters; there may be several hits a trial."""
    assigned: int | None = None
    """
    Evidence requests of this arm that came to an end, one way or another.

    What was routed to it, less those still in flight. ``None``: nobody counted.
    """
    top_unit: float | None = None
    """The busiest unit's share of the arm's traffic of late; ``None``: unknown."""


@dataclass(frozen=True, slots=True)
class RouteEvidence:
    """Both arms on one route."""

    stable: Window = field(default_factory=Window)
    canary: Window = field(default_factory=Window)
    control: Window | None = None
    """The part of ``stable`` that is its random slice; ``None``: there is none."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one second added."""

    epoch: int
    """The weight epoch that routed all of it; another one cuts the block."""
    routes: Mapping[str, RouteEvidence]
    """By route as the file writes it; ``ALL_ROUTES`` is always there."""
    baseline: bool = True
    """Stable has live weight; without it absolute limits stand ungated."""
