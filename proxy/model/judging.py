"""
What is asked of a canary, and what was found: values shared by analysis and rollout.

``JudgePlan`` is the question (made from the settings, kept with the rollout it
was started with), ``Judgement`` the answer of one tick. What the judge keeps
between ticks is in ``proxy.model.judge_state``. No behaviour here, but that a
question without sense cannot be asked.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from proxy.model.vocabulary import Reason, Verdict

LATENCY = "latency"
TTFB = "ttfb"
ERROR_RATE = "error_rate"
CLIENT_ERROR_RATE = "client_error_rate"
MISMATCH_RATE = "mismatch_rate"
LATENCY_RATIO = "latency_ratio"
PAIR_METRICS = (MISMATCH_RATE, LATENCY_RATIO)
"""Judged by the pairs of a parallel run, not by live requests."""

MEASURED = frozenset({LATENCY, TTFB, ERROR_RATE, CLIENT_ERROR_RATE})
"""Metrics with places of their own in the evidence; others are named counters."""

CODES = re.compile("[1-5](xx|[0-9][0-9])")
"""What may stand for status codes: ``404``, or ``5xx`` for all from 500 to 599."""

ROUTE_ALL = "all"
"""An SLO over every request of the service."""
ROUTE_EACH = "each"
"""An SLO over each declared route on its own, sharing one alpha."""


class Safety(StrEnum):
    """Whether a step may, or must, prove that it does no harm."""

    OFF = "off"
    ACCELERATE = "accelerate"
    """A proof ends a step before its ``min_duration``."""
    REQUIRE = "require"
    """Without proof no step passes."""


@dataclass(frozen=True, slots=True)
class Slo:
    """
    One service level objective, or a guard.

    ``max`` is absolute; ``max_ratio`` and ``max_delta`` make one limit,
    stable × ratio + delta (ratio 1 and delta 0 where absent); ``min_ratio`` is
    for rates of which lower is worse. Seconds for latencies, fractions for
    rates. Exactly one of the three kinds is set.

    Raises:
        ValueError: it asks for nothing that could be judged.
    """

    metric: str
    """
    ``latency``, ``ttfb``, ``error_rate``, ``client_error_rate``; any other name is
    a *named counter*, whose hits and trials are in the evidence (``Window.counts``).
    """
    quantile: float | None = None
    """0 < quantile < 1 for latencies; ``None`` for rates."""
    max: float | None = None
    max_ratio: float | None = None
    max_delta: float | None = None
    min_ratio: float | None = None
    """The canary's rate must be at least stable's times this, above 0, at most 1."""
    codes: tuple[str, ...] = ()
    """Status codes that are errors (``5xx``, ``404``); empty: the usual ones."""
    route: str = ROUTE_ALL
    """``all``, ``each``, or a route as the file writes it (``POST /orders``)."""
    only: bool = False
    """A latency ratio protects its own quantile only, not p50 and p90 too."""

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        why = _why_no_kind(self) or _why_no_figure(self)
        if why:
            raise ValueError(f"SLO {self.metric}: {why}")


def _why_no_kind(slo: Slo) -> str:
    """Return what is wrong with the limits, or ``""``."""
    relative = slo.max_ratio is not None or slo.max_delta is not None
    kinds = (slo.max is not None) + relative + (slo.min_ratio is not None)
    if kinds != 1:
        return (
            "expected exactly one of max, max_ratio with or without max_delta,"
            f" and min_ratio, got {kinds}"
        )
    if slo.min_ratio is not None and slo.metric in MEASURED:
        return "min_ratio is for named counters, of which fewer are worse"
    for name in ("max", "max_ratio", "max_delta", "min_ratio"):
        limit = getattr(slo, name)
        if limit is not None and not 0.0 <= limit < inf:
            return f"{name} is {limit}, expected a number from 0"
    return ""


def _why_no_figure(slo: Slo) -> str:
    """Return what is wrong with quantile and codes, or ``""``."""
    timed = slo.metric in {LATENCY, TTFB}
    if timed and (slo.quantile is None or not 0.0 < slo.quantile < 1.0):
        return f"quantile is {slo.quantile}, expected a number between 0 and 1"
    if slo.metric in MEASURED and not timed and slo.quantile is not None:
        return "a rate has no quantile"
    for code in slo.codes:
        if str(code) != code or not CODES.fullmatch(code):
            return f"codes has {code!r}, expected a tuple of texts like 5xx or 404"
    return ""


DEFAULT_GUARD = Slo(CLIENT_ERROR_RATE, max_delta=0.02)
"""On without being named: a canary that answers 404 to everyone is not healthy."""


@dataclass(frozen=True, slots=True)
class FailFast:
    """When the canary is dropped within a second, without statistics."""

    consecutive_connect_failures: int = 5
    error_rate: float = 0.5
    """Fraction of failed requests, 0 < rate ≤ 1."""
    requests: int = 20
    """The last so many canary requests are looked at, at least 20."""


@dataclass(frozen=True, slots=True)
class JudgePlan:
    """
    The question that ``analysis.judge`` answers for one step.

    Raises:
        ValueError: an alpha is no chance between 0 and 1.
    """

    slos: tuple[Slo, ...]
    """SLOs and guards, in the file's order, the default guard included."""
    alpha: float = 0.01
    """Chance that a canary no worse than stable is rolled back, whole rollout."""
    alpha_tolerance: float = 0.10
    """The same for one that is worse, but within the limits."""
    min_requests: int = 50
    """
    Canary evidence that a step needs before it may pass, at least 1.

    The settings' ``auto`` is ``min_requests_auto(slos)``, 299 for 99 %.
    """
    min_duration_s: float = 60.0
    """Judged seconds that a step needs before it may pass, warm-up included."""
    warmup_s: float = 20.0
    """Judged seconds of the rollout in which only gross faults count."""
    safety: Safety = Safety.OFF
    """What proof of no harm is good for."""
    next_share: float = 1.0
    """The canary's part of the traffic in the next step, 0 to 1; for safety only."""

    def __post_init__(self) -> None:
        """Refuse what has no meaning; any sequence of SLOs will do."""
        for name in ("alpha", "alpha_tolerance"):
            chance = getattr(self, name)
            if not 0.0 < chance < 1.0:
                raise ValueError(f"{name} is {chance}, expected between 0 and 1")
        object.__setattr__(self, "slos", tuple(self.slos))


@dataclass(frozen=True, slots=True)
class Requests:
    """How much evidence an SLO stands on, in the present step."""

    stable: int = 0
    canary: int = 0
    needed: int = 0
    """Canary requests still missing until the step can pass, about."""


@dataclass(frozen=True, slots=True)
class SloJudgement:
    """
    What is known of one SLO.

    Seconds for latencies, fractions for rates; ``None`` where nothing is known.
    """

    id: str
    """``latency-p99-ratio``, or with a route ``latency-p99-ratio@POST /orders``."""
    verdict: Verdict
    stable: float | None
    canary: float | None
    value: float | None
    """What is held against ``limit``: the ratio, or the canary's own figure."""
    limit: float | None
    interval: tuple[float | None, float | None] | None
    """Of ``value``, for people; an end is ``None`` where nothing bounds that side."""
    requests: Requests
    suspicious: bool = False
    """The canary looks worse than the limit, though it is not proven."""
    worse: float = 1.0
    """Key 1, this SLO's part: evidence (an e-value) of worse than stable."""
    beyond: float = 1.0
    """Key 2, this SLO's part: evidence of beyond the limit."""
    route: str = ""
    """The route that was judged; empty: all requests."""
    ratio: tuple[float, float | None] | None = None
    """Confidence sequence of canary's rate over stable's; ``None``: not a rate."""
    safe: float | None = None
    """Evidence of no harm in this step; ``None`` where nobody asked for it."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict of one tick, with everything it stands on."""

    verdict: Verdict
    reason: Reason
    message: str
    """One sentence for people, without a full stop."""
    needed: int
    """Canary requests still missing, 0 when only time is."""
    wait_s: float | None
    """About how long until the verdict can be ``pass``; ``None``: nobody knows."""
    slos: tuple[SloJudgement, ...] = ()
    worse: float = 1.0
    """Key 1: evidence of worse than stable, all SLOs together; fails at 1/alpha."""
    beyond: float = 1.0
    """Key 2: evidence of beyond the limits; fails at 1/alpha_tolerance."""
    noisy: bool = False
    """Stable differs from a random slice of itself: no comparison can be trusted."""
    fired: str = ""
    """The id of the SLO that decided a ``fail``; empty otherwise."""
