"""
Key 1: how surprising the canary's bad events would be if it were no worse.

Given that k bad events happened on either arm, and how many requests each arm
had, the number on the canary is hypergeometric when both are alike, whatever
the common rate (R. A. Fisher's exact test, one-sided). So nothing that both
arms share (load, drift, a dependency's blip) can make the canary look guilty.

The same tail serves quantiles: the number of canary answers beyond stable's
r-th order statistic is negative hypergeometric, and its tail equals this one
with exactly n - r bad events on stable (the precedence test), so a threshold
taken from stable's own answers is exact too.
"""

from math import exp, lgamma

TERM_NEGLIGIBLE = 1e-17
"""Terms below this part of the sum no longer change it."""


def worse_p(
    canary_bad: int, canary_all: int, stable_bad: int, stable_all: int
) -> float:
    """
    Return P(at least ``canary_bad`` on the canary | both arms alike).

    1.0 when there is nothing to compare, or when the canary is not worse.
    """
    bad, requests = canary_bad + stable_bad, canary_all + stable_all
    if canary_bad * stable_all <= stable_bad * canary_all or not stable_all:
        return 1.0
    term = exp(_log_pmf(canary_bad, canary_all, bad, requests))
    total, hits = 0.0, canary_bad
    last = min(bad, canary_all)
    while True:
        total += term
        if hits >= last or term <= total * TERM_NEGLIGIBLE:
            return min(total, 1.0)
        term *= (bad - hits) * (canary_all - hits)
        hits += 1
        term /= hits * (requests - bad - canary_all + hits)


def _log_pmf(hits: int, drawn: int, bad: int, requests: int) -> float:
    """Return the logarithm of the hypergeometric probability of ``hits``."""
    return (
        _log_choose(bad, hits)
        + _log_choose(requests - bad, drawn - hits)
        - _log_choose(requests, drawn)
    )


def _log_choose(n: int, k: int) -> float:
    """Return the logarithm of the binomial coefficient."""
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
