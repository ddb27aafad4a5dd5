"""
Harm that only the epochs of a run show together.

Canary and stable are comparable only inside one weight epoch; so each epoch is
compared within itself, and only the results are added up.

Key 1 adds the canary's bad events above their expectation. Given an epoch's
bad events, the canary's number of them is hypergeometric when both arms are
alike, and its moment generating function is below the binomial's of the smaller
arm (W. Hoeffding, JASA 58 (1963), theorem 4); the logarithm of that is concave
in the rate, so epochs may be summed before Chernoff's bound is taken. A time
counts as bad beyond the quantile of both arms together, which is fixed given
the times of both.

Key 2 adds the canary's events beyond each epoch's own limit. Where the limit is
known they are a sum of trials whose upper tail is below the binomial's at the
mean chance (W. Hoeffding, Ann. Math. Statist. 27 (1956)); the limit of a time
against stable is made known by stable's upper bound. A rate against stable keeps
stable's count as the random number it is: Chernoff's bound of canary - weight ×
stable rises with stable's true rate, so it is taken at that rate's upper bound,
which then costs variance only (R. Berger and D. Boos, JASA 89 (1994)).

Decides whether both keys turn; when to look and what it may spend is the judge's.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import replace
from math import exp, expm1, log1p

from proxy.analysis.binomial import tail_at_least, upper_bound
from proxy.analysis.checks import Check
from proxy.analysis.samples import (
    Rate,
    Samples,
    Times,
    allowed,
    classifier,
    first_bucket_above,
    high_edge_s,
    rate_of,
)
from proxy.analysis.values import Evidence, RouteEvidence
from proxy.model.judging import Harm, Together

TILT_MAX = 40.0
"""Beyond it Chernoff's exponent no longer changes what is compared with alpha."""
HALVINGS = 60
"""Of the bracket of the tilt: below 1e-7, where the bound is flat."""

NOTHING = RouteEvidence()


def harms_of(
    checks: Iterable[Check], evidence: Evidence, level: float, samples: Samples
) -> tuple[Harm, ...]:
    """Return this epoch's rows; ``level`` is what stable's bounds may spend."""
    return tuple(
        _harm(check, route, evidence.routes.get(route, NOTHING), level, samples)
        for check in checks
        for route in check.routes
    )


def added(before: Iterable[Harm], here: Iterable[Harm]) -> tuple[Harm, ...]:
    """Return the sums with one more epoch."""
    sums = {(one.id, one.route): one for one in before}
    for one in here:
        key = one.id, one.route
        sums[key] = _plus(sums[key], one) if key in sums else one
    return tuple(sums.values())


def told(harm: Harm) -> Together:
    """Return what the sums say, with both figures that the keys are held against."""
    return Together(harm.beyond, harm.judged, harm.allowed, worse_p(harm))


def worse_p(harm: Harm) -> float:
    """Return a bound on P(this much excess | both arms alike in each epoch)."""
    if harm.excess <= 0.0:
        return 1.0
    return _chernoff(lambda tilt: _excess_exponent(harm, tilt))


def beyond_p(harm: Harm) -> float:
    """Return a bound on P(so many beyond the limits | the canary at its limits)."""
    if harm.beyond <= harm.allowed:
        return 1.0
    if harm.noise > 0.0:
        return _chernoff(lambda tilt: _limit_exponent(harm, tilt))
    return tail_at_least(harm.beyond, harm.judged, harm.allowed / harm.judged)


def _chernoff(exponent: Callable[[float], float]) -> float:
    """Return the least of a convex bound over the tilts."""
    low, high = 0.0, TILT_MAX
    for _ in range(HALVINGS):
        third = (high - low) / 3
        if exponent(low + third) < exponent(high - third):
            high -= third
        else:
            low += third
    return min(exp(exponent((low + high) / 2)), 1.0)


def _limit_exponent(harm: Harm, tilt: float) -> float:
    """Return the exponent of canary - weight × stable - slack, as Poisson's."""
    weight = harm.leverage / harm.noise
    up = expm1(tilt)
    down = expm1(-tilt * weight) / weight
    return (
        harm.noise * (up + down)
        + harm.slack * (up - tilt)
        - tilt * (harm.beyond - harm.allowed)
    )


def _excess_exponent(harm: Harm, tilt: float) -> float:
    """Return the exponent of the excess."""
    total = -tilt * harm.excess
    if harm.canary:
        rate = harm.canary_expected / harm.canary
        total += harm.canary * log1p(rate * expm1(tilt)) - tilt * harm.canary_expected
    if harm.stable:
        rate = harm.stable_expected / harm.stable
        total += harm.stable * log1p(rate * expm1(-tilt)) + tilt * harm.stable_expected
    return total


def _plus(one: Harm, other: Harm) -> Harm:
    return replace(
        one,
        excess=one.excess + other.excess,
        canary=one.canary + other.canary,
        canary_expected=one.canary_expected + other.canary_expected,
        stable=one.stable + other.stable,
        stable_expected=one.stable_expected + other.stable_expected,
        beyond=one.beyond + other.beyond,
        judged=one.judged + other.judged,
        allowed=one.allowed + other.allowed,
        noise=one.noise + other.noise,
        leverage=one.leverage + other.leverage,
        slack=one.slack + other.slack,
    )


def _harm(
    check: Check, route: str, arms: RouteEvidence, level: float, samples: Samples
) -> Harm:
    """Return one epoch of one check on one route."""
    if check.timed:
        canary = samples.of(check.metric, arms.canary)
        stable = samples.of(check.metric, arms.stable)
        harm = _compared(Harm(check.id, route), *_slow(check, canary, stable))
        return _late(check, harm, canary, stable, level)
    is_bad = classifier(check.metric, check.codes)
    bad, common = rate_of(arms.canary, is_bad), rate_of(arms.stable, is_bad)
    harm = _compared(Harm(check.id, route), bad, common)
    return _failed(check, harm, bad, common, level)


def _compared(harm: Harm, canary: Rate, stable: Rate) -> Harm:
    """Return the epoch's comparison, in terms of its smaller arm."""
    if not canary.total or not stable.total:
        return harm
    rate = (canary.bad + stable.bad) / (canary.total + stable.total)
    harm = replace(harm, excess=canary.bad - canary.total * rate)
    if canary.total <= stable.total:
        expected = canary.total * rate
        return replace(harm, canary=canary.total, canary_expected=expected)
    return replace(harm, stable=stable.total, stable_expected=stable.total * rate)


def _failed(check: Check, harm: Harm, canary: Rate, stable: Rate, level: float) -> Harm:
    """Return the epoch with the canary's bad events held against the limit."""
    known = replace(harm, beyond=canary.bad, judged=canary.total)
    if check.absolute is not None:
        return replace(known, allowed=canary.total * check.absolute)
    if not stable.total or not canary.total:
        return harm
    weight = canary.total * check.ratio / stable.total
    slack = canary.total * check.delta
    high = upper_bound(stable.bad, stable.total, level)
    noise = canary.total * check.ratio * high
    return replace(
        known,
        allowed=weight * stable.bad + slack,
        noise=noise,
        leverage=noise * weight,
        slack=slack,
    )


def _slow(check: Check, canary: Times, stable: Times) -> tuple[Rate, Rate]:
    """Return both arms beyond the check's threshold."""
    assert check.quantile is not None
    if canary.empty or stable.empty:
        return Rate(0, 0), Rate(0, 0)
    threshold = (
        _common_quantile(check.quantile, canary, stable) + 1
        if check.absolute is None
        else first_bucket_above(check.absolute)
    )
    return Rate(*canary.slower(threshold)), Rate(*stable.slower(threshold))


def _common_quantile(quantile: float, canary: Times, stable: Times) -> int:
    """Return the first bucket with at most 1 - quantile of both arms above it."""
    buckets = sorted({*canary.buckets, *stable.buckets})

    def holds(bucket: int) -> bool:
        slow, total = canary.slower(bucket + 1)
        more, others = stable.slower(bucket + 1)
        return slow + more <= allowed(quantile, total + others)

    return buckets[bisect_left(buckets, x=True, key=holds)]


def _late(check: Check, harm: Harm, canary: Times, stable: Times, level: float) -> Harm:
    """Return the epoch with the canary's times held against the limit."""
    assert check.quantile is not None
    limit_s = check.absolute
    if limit_s is None:
        if stable.empty:
            return harm
        high_s = high_edge_s(stable.upper_bucket(check.quantile, level))
        if high_s is None:  # too few to bound stable from above
            return harm
        limit_s = high_s * check.ratio + check.delta
    slow, total = canary.slower(first_bucket_above(limit_s))
    share = 1.0 - check.quantile
    return replace(harm, beyond=slow, judged=total, allowed=total * share)
