"""
What the judge is shown: windows of evidence, by arm and route.

Values only. The question (``JudgePlan``, ``Slo``), the memory (``JudgeState``)
and the answer (``Judgement``) live in ``proxy.model.judging``, because the
rollout keeps them; they are re-exported here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.model.judging import (
    DEFAULT_GUARD,
    FailFast,
    Judgement,
    JudgePlan,
    JudgeState,
    Requests,
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
    "Slo",
    "SloJudgement",
    "Window",
]

ALL_ROUTES = ""
"""The key in ``Evidence.routes`` of all requests, whatever their route."""


@dataclass(frozen=True, slots=True)
class Window:
    """
    One arm's evidence in one weight epoch, since that epoch began.

    Counts are sparse and cumulative. Bucket indexes are those of
    ``proxy.model.buckets``; codes are those of the slab (status codes, and
    ``FLAG_CODE_BASE`` plus a ``Flag``).
    """

    codes: Mapping[int, int] = field(default_factory=dict)
    """Finished first attempts by outcome code."""
    latency: Mapping[int, int] = field(default_factory=dict)
    """Answers that did not fail, by latency bucket."""
    ttfb: Mapping[int, int] = field(default_factory=dict)
    """The same by bucket of the time to the first byte."""
    censored: Mapping[int, int] = field(default_factory=dict)
    """Age, by bucket, at the end of requests without a good answer."""
    ages: Mapping[int, int] = field(default_factory=dict)
    """Age, by bucket, of requests in flight now."""


@dataclass(frozen=True, slots=True)
class RouteEvidence:
    """Both arms on one route."""

    stable: Window = field(default_factory=Window)
    canary: Window = field(default_factory=Window)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that counts as evidence in the present weight epoch."""

    epoch: int
    """The slab's weight epoch; when it changes, counting begins again."""
    routes: Mapping[str, RouteEvidence]
    """By route as the file writes it; ``ALL_ROUTES`` is always there."""
    baseline: bool = True
    """Stable has live weight; without it absolute limits stand ungated."""
