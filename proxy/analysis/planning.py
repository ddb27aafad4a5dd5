"""
What a plan needs before it can decide anything.

Decides how much evidence ``min_requests: auto`` means, and which limits no
evidence could ever break.
"""

from collections.abc import Iterable
from math import ceil, log

from proxy.model.buckets import VALUE_US_MAX
from proxy.model.judging import LATENCY, TTFB, Slo

AUTO_CONFIDENCE_LEFT = 0.05
"""A target that is just met shows no fault in so many requests 5 % of the time."""
AUTO_REQUESTS_MIN = 50
"""Below this no quantile and no rate says anything (Kayenta asks for 50 points too)."""
AUTO_TARGET = 0.99
"""Where no SLO names a quantile or an absolute rate."""
AUTO_REQUESTS_MAX = 1_000_000
"""A rate of 0 % would need infinitely many."""


def min_requests_auto(slos: Iterable[Slo]) -> int:
    """
    Return the canary evidence a step needs: ``ln 0.05 / ln target``, rounded up.

    The strictest quantile or absolute rate counts: 299 for 99 %, 2995 for 99.9 %.
    """
    targets = [target for slo in slos if (target := _target(slo)) is not None]
    strictest = max(targets, default=AUTO_TARGET)
    if strictest >= 1.0:
        return AUTO_REQUESTS_MAX
    needed = ceil(log(AUTO_CONFIDENCE_LEFT) / log(strictest))
    return min(max(needed, AUTO_REQUESTS_MIN), AUTO_REQUESTS_MAX)


def _target(slo: Slo) -> float | None:
    """Return the part of the requests that an SLO wants to be good."""
    if slo.quantile is not None:
        return slo.quantile
    if slo.max is not None and 0.0 < slo.max < 1.0:
        return 1.0 - slo.max
    return None


def why_undecidable(slo: Slo) -> str:
    """Return why no evidence could ever break the limit, or ``""`` if some could."""
    timed = slo.metric in {LATENCY, TTFB}
    if timed and (slo.quantile is None or not 0.0 < slo.quantile < 1.0):
        return f"quantile {slo.quantile} has no value, expected between 0 and 1"
    if slo.max is not None:
        return _why_absolute(slo.max, timed=timed)
    if not timed and (slo.max_delta or 0.0) >= 1.0:
        return f"max_delta {slo.max_delta:.0%} is never exceeded, a rate ends at 100 %"
    return ""


def _why_absolute(limit: float, *, timed: bool) -> str:
    """Return why an absolute limit cannot be broken."""
    if timed and limit * 1e6 > VALUE_US_MAX:
        return f"max {limit:g} s is beyond what is measured ({VALUE_US_MAX / 1e6:g} s)"
    if not timed and limit >= 1.0:
        return f"max {limit:.0%} is never exceeded, a rate ends at 100 %"
    return ""
