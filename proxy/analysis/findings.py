"""
One check against one route's evidence: figures, both keys, suspicion.

Key 1 is the exact test of ``comparison`` (worse than stable at ``alpha``); key
2 holds exact intervals against the limit (beyond it at ``alpha_tolerance``,
half of that for each arm where stable is part of the limit). A canary that is
beyond an absolute limit together with stable fails neither key 1 nor passes: it
is suspicious, and the rollout holds. Where stable has no live weight there is
no baseline: an absolute limit then stands on ``alpha`` alone.
"""

from dataclasses import dataclass

from proxy.analysis.binomial import lower_bound, tail_at_least, upper_bound
from proxy.analysis.checks import Check
from proxy.analysis.comparison import worse_p
from proxy.analysis.samples import (
    Rate,
    Samples,
    Times,
    allowed,
    classifier,
    first_bucket_above,
    high_edge_s,
    low_edge_s,
    middle_s,
    rate_of,
)
from proxy.analysis.values import Evidence, RouteEvidence
from proxy.model.judging import LATENCY, TTFB, Requests, SloJudgement
from proxy.model.vocabulary import Verdict

SUSPICION_P = 0.2
"""A relative limit is suspected broken at this p (an e-value of 5, upside down)."""

NOTHING = RouteEvidence()
"""A route that no request took."""

Interval = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class Levels:
    """What one check may spend at one look."""

    worse: float
    """Key 1."""
    beyond: float
    """Key 2."""


def finding_of(
    check: Check, evidence: Evidence, levels: Levels | None, samples: Samples
) -> SloJudgement:
    """
    Return what ``check`` finds, of the worst route where it has several.

    ``levels`` are those of one SLO's whole share; without them no look is due
    and the keys stay shut. ``samples`` is shared by the checks of one tick.
    """
    own = (
        None
        if levels is None
        else Levels(levels.worse * check.share, levels.beyond * check.share)
    )
    found = [_find(check, route, evidence, own, samples) for route in check.routes]
    return max(found, key=_badness) if found else _nothing(check)


def _badness(found: SloJudgement) -> tuple[bool, bool, float]:
    """Order findings of one check: proven, suspected, then the larger figure."""
    figure = (found.value or 0.0) / (found.limit or 1.0)
    return found.verdict is Verdict.FAIL, found.suspicious, figure


def _nothing(check: Check) -> SloJudgement:
    """Return the finding of a check that has no route to look at."""
    return _judgement(check, "", _Figures(0, 0, None, None))


def _find(
    check: Check,
    route: str,
    evidence: Evidence,
    levels: Levels | None,
    samples: Samples,
) -> SloJudgement:
    """Return what one route shows."""
    arms = evidence.routes.get(route, NOTHING)
    if check.timed:
        figures = _times(check, arms, levels, samples)
    else:
        figures = _rates(check, arms, levels)
    beyond_now = check.judged and _is_beyond(check, figures, evidence)
    proven = figures.beyond_ungated if not evidence.baseline else figures.beyond
    worse = not evidence.baseline or figures.key_1
    return _judgement(
        check,
        route,
        figures,
        failed=check.judged and proven and worse and beyond_now,
        suspicious=beyond_now
        and (check.absolute is not None or figures.worse_p <= SUSPICION_P),
        looked=levels is not None,
    )


@dataclass(frozen=True, slots=True)
class _Figures:
    """What the evidence says, in the check's own terms."""

    stable_requests: int
    canary_requests: int
    stable: float | None
    canary: float | None
    worse_p: float = 1.0
    key_1: bool = False
    beyond: bool = False
    beyond_ungated: bool = False
    canary_interval: Interval = (None, None)
    stable_interval: Interval = (None, None)


def _is_beyond(check: Check, figures: _Figures, evidence: Evidence) -> bool:
    """Whether the canary's own figure is beyond the limit, proven or not."""
    if figures.canary is None:
        return False
    if check.absolute is not None:
        return figures.canary > check.absolute
    if figures.stable is None or not evidence.baseline:
        return False
    return figures.canary > figures.stable * check.ratio + check.delta


def _rates(check: Check, arms: RouteEvidence, levels: Levels | None) -> _Figures:
    """Return the figures of a rate."""
    is_bad = classifier(check.metric, check.codes)
    canary, stable = rate_of(arms.canary, is_bad), rate_of(arms.stable, is_bad)
    surprise = worse_p(canary.bad, canary.total, stable.bad, stable.total)
    plain = _Figures(stable.total, canary.total, stable.value, canary.value, surprise)
    if levels is None or not canary.total:
        return plain
    level = levels.beyond if check.absolute is not None else levels.beyond / 2
    canary_interval = _rate_interval(canary, level)
    stable_interval = _rate_interval(stable, level)
    return _Figures(
        stable.total,
        canary.total,
        stable.value,
        canary.value,
        surprise,
        key_1=surprise <= levels.worse,
        beyond=_proven(check, canary_interval, stable_interval),
        beyond_ungated=check.absolute is not None
        and lower_bound(canary.bad, canary.total, levels.worse) > check.absolute,
        canary_interval=canary_interval,
        stable_interval=stable_interval,
    )


def _rate_interval(rate: Rate, level: float) -> Interval:
    """Return the Clopper-Pearson interval, each end at ``level``."""
    if not rate.total:
        return None, None
    return (
        lower_bound(rate.bad, rate.total, level),
        upper_bound(rate.bad, rate.total, level),
    )


def _proven(check: Check, canary: Interval, stable: Interval) -> bool:
    """Key 2: whether the intervals say that the limit is broken."""
    if canary[0] is None:
        return False
    if check.absolute is not None:
        return canary[0] > check.absolute
    return stable[1] is not None and canary[0] > stable[1] * check.ratio + check.delta


def _times(
    check: Check, arms: RouteEvidence, levels: Levels | None, samples: Samples
) -> _Figures:
    """Return the figures of a quantile."""
    assert check.quantile is not None
    canary = samples.of(check.metric, arms.canary)
    stable = samples.of(check.metric, arms.stable)
    quantile = check.quantile
    plain = _Figures(
        stable.known,
        canary.known,
        _quantile_s(stable, quantile),
        _quantile_s(canary, quantile),
        _slower_p(check, canary, stable, exact=False),
    )
    if levels is None or canary.empty:
        return plain
    level = levels.beyond if check.absolute is not None else levels.beyond / 2
    canary_interval = _time_interval(canary, quantile, level)
    stable_interval = _time_interval(stable, quantile, level)
    return _Figures(
        plain.stable_requests,
        plain.canary_requests,
        plain.stable,
        plain.canary,
        plain.worse_p,
        key_1=_slower_p(check, canary, stable, exact=True) <= levels.worse,
        beyond=_proven(check, canary_interval, stable_interval)
        if check.absolute is None
        else _exceeds(canary, check.absolute, quantile, levels.beyond),
        beyond_ungated=check.absolute is not None
        and _exceeds(canary, check.absolute, quantile, levels.worse),
        canary_interval=canary_interval,
        stable_interval=stable_interval,
    )


def _quantile_s(times: Times, quantile: float) -> float | None:
    """Return the observed quantile in seconds."""
    return None if times.empty else middle_s(times.quantile_bucket(quantile))


def _time_interval(times: Times, quantile: float, level: float) -> Interval:
    """Return the order-statistic interval in seconds, each end at ``level``."""
    return (
        low_edge_s(times.lower_bucket(quantile, level)),
        high_edge_s(times.upper_bucket(quantile, level)),
    )


def _exceeds(times: Times, limit_s: float, quantile: float, level: float) -> bool:
    """Whether more than 1 - quantile of the times are slower than ``limit_s``."""
    slow, total = times.slower(first_bucket_above(limit_s))
    return tail_at_least(slow, total, 1.0 - quantile) <= level


def _slower_p(check: Check, canary: Times, stable: Times, *, exact: bool) -> float:
    """
    Return the p-value of slower than stable, at the check's own threshold.

    An absolute limit is its own threshold. A relative one takes stable's
    quantile, and counts its exceedances by rank when the test must be exact:
    ties in a bucket then cost power and never validity.
    """
    assert check.quantile is not None
    if stable.empty or canary.empty:
        return 1.0
    if check.absolute is not None:
        return worse_p(
            *canary.slower(first_bucket_above(check.absolute)),
            *stable.slower(first_bucket_above(check.absolute)),
        )
    threshold = stable.quantile_bucket(check.quantile) + 1
    stable_slow, stable_all = stable.slower(threshold)
    if exact:
        stable_slow = allowed(check.quantile, stable_all)
    return worse_p(*canary.slower(threshold), stable_slow, stable_all)


def _judgement(
    check: Check,
    route: str,
    figures: _Figures,
    *,
    failed: bool = False,
    suspicious: bool = False,
    looked: bool = False,
) -> SloJudgement:
    """Return the figures as the API shows them; the judge settles the verdict."""
    value, limit, interval = _shown(check, figures)
    return SloJudgement(
        id=check.id,
        verdict=Verdict.FAIL if failed else Verdict.UNDECIDED,
        stable=figures.stable,
        canary=figures.canary,
        value=value,
        limit=limit,
        interval=interval if looked else None,
        requests=Requests(figures.stable_requests, figures.canary_requests),
        suspicious=suspicious,
        worse_p=figures.worse_p if figures.canary is not None else None,
        beyond=figures.beyond if looked else None,
        route=route,
    )


def _shown(
    check: Check, figures: _Figures
) -> tuple[float | None, float | None, Interval]:
    """Return value, limit and interval: of the ratio if that is the whole limit."""
    if check.absolute is not None:
        return figures.canary, check.absolute, figures.canary_interval
    if check.delta or check.metric not in {LATENCY, TTFB}:
        limit = (
            None
            if figures.stable is None
            else figures.stable * check.ratio + check.delta
        )
        return figures.canary, limit, figures.canary_interval
    low, high = figures.canary_interval
    stable_low, stable_high = figures.stable_interval
    ratio = _divide(figures.canary, figures.stable)
    return ratio, check.ratio, (_divide(low, stable_high), _divide(high, stable_low))


def _divide(above: float | None, below: float | None) -> float | None:
    """Return the quotient; ``None`` where it is not known."""
    return None if above is None or not below else above / below
