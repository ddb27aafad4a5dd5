"""
What a plan needs before it can decide anything.

Decides how much evidence ``min_requests: auto`` means, how many canary requests
it takes on average to tell harm of a given size, and which limits no evidence
could ever break.
"""

from collections.abc import Iterable, Sequence
from math import ceil, inf, log

from proxy.analysis.checks import checks_of, slo_id
from proxy.analysis.values import ALL_ROUTES
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

SPREAD_NATS = 1.9
"""What the prior over effects and starts, and the overshoot, cost on average."""


def needed_requests(
    slo: Slo,
    *,
    stable: float,
    canary: float,
    share: float,
    alpha: float = 0.01,
    alpha_tolerance: float = 0.10,
    parts: int = 1,
) -> float:
    """
    Return about how many canary requests open both keys; ``inf``: none ever do.

    ``stable`` and ``canary`` are true rates; for latencies they are how often
    each arm exceeds stable's quantile (key 1), so that of stable is 1 - quantile.
    ``share`` is the canary's part of the traffic of both, ``parts`` how many
    checks share alpha (``parts_of``). Information a canary request is that of
    the best label bet; for small shares it is p ln(p/b) - (p - b).
    """
    spread = log(max(parts, 1)) + SPREAD_NATS
    nats = log(1.0 / alpha) + spread, log(1.0 / alpha_tolerance) + spread
    if slo.min_ratio is not None:  # the other arm is the one with too many
        others = share / (1.0 - share)
        worse = _needed(stable, canary, 1.0 - share, nats[0])
        beyond = _needed(stable, canary / slo.min_ratio, 1.0 - share, nats[1])
        return max(worse, beyond) * others
    bound = stable
    if slo.quantile is None and slo.max is not None:
        bound = max(slo.max, stable)
    elif slo.quantile is None:
        bound = stable * (slo.max_ratio or 1.0) + (slo.max_delta or 0.0)
    worse = _needed(canary, stable, share, nats[0])
    return max(worse, _needed(canary, bound, share, nats[1]))


def _needed(rate: float, bound: float, share: float, nats: float) -> float:
    """Return the requests of the arm with ``rate`` that win so many nats."""
    gained = information(rate, bound, share)
    return nats / gained if gained > 0.0 else inf


def information(rate: float, bound: float, share: float) -> float:
    """
    Return nats a canary request against "the canary's rate is at most ``bound``".

    By the best bet on which arm a bad event was, where the canary has ``share``
    of the requests of both (0 to 1, open).
    """
    if rate <= bound or not 0.0 < share < 1.0:
        return 0.0
    others = bound * (1.0 - share) / share
    both = rate + others
    told = rate / both  # of the bad events, how many are the canary's
    gained = both * told * log(told / share)
    if others > 0.0:
        gained += others * log((1.0 - told) / (1.0 - share))
    return gained


def parts_of(slo: Slo, slos: Sequence[Slo], routes: Iterable[str] = ()) -> int:
    """Return in how many parts alpha is divided as one check of ``slo`` sees it."""
    checks = checks_of(tuple(slos), (ALL_ROUTES, *sorted(routes)))
    wanted = slo_id(slo)
    return max((ceil(1.0 / one.part) for one in checks if one.id == wanted), default=1)


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
