"""
Exact binomial tails and Clopper-Pearson bounds, by the incomplete beta function.

Decides nothing. Correct to about seven significant digits for up to 10^7 trials
(what limits it is the cancellation of logarithms of the gamma function); bounds
are rounded away from the observed rate, so their coverage is never below
nominal. C. Clopper and E. Pearson, Biometrika 26 (1934); the continued fraction
is DLMF 8.17.22, evaluated by Lentz's method (Numerical Recipes, 6.4).
"""

from collections.abc import Callable
from math import exp, lgamma, log, log1p

FRACTION_TERMS_MAX = 200_000
"""The fraction needs about √n terms; 10^7 trials stay far below this."""
FRACTION_PRECISION = 1e-14
"""Relative; where the continued fraction stops."""
TINY = 1e-300
"""Stands for zero in Lentz's method."""
BISECTIONS = 48
"""Halvings of a bracket inside [0, 1]: far below the tails' own precision."""


def tail_at_least(hits: int, trials: int, chance: float) -> float:
    """Return P(X ≥ ``hits``) for X binomial with ``trials`` and ``chance``."""
    if hits <= 0:
        return 1.0
    if hits > trials:
        return 0.0
    return incomplete_beta(hits, trials - hits + 1, chance)


def tail_at_most(hits: int, trials: int, chance: float) -> float:
    """Return P(X ≤ ``hits``) for X binomial with ``trials`` and ``chance``."""
    if hits >= trials:
        return 1.0
    if hits < 0:
        return 0.0
    return incomplete_beta(trials - hits, hits + 1, 1.0 - chance)


def lower_bound(hits: int, trials: int, level: float) -> float:
    """
    Return the largest chance that ``hits`` of ``trials`` rule out from below.

    The true chance is smaller than this with probability at most ``level``.
    """
    if hits == 0:
        return 0.0
    return _boundary(
        0.0, hits / trials, lambda chance: tail_at_least(hits, trials, chance) <= level
    )[0]


def upper_bound(hits: int, trials: int, level: float) -> float:
    """
    Return the smallest chance that ``hits`` of ``trials`` rule out from above.

    The true chance is larger than this with probability at most ``level``.
    """
    if hits == trials:
        return 1.0
    return _boundary(
        hits / trials, 1.0, lambda chance: tail_at_most(hits, trials, chance) > level
    )[1]


def _boundary(
    low: float, high: float, holds: Callable[[float], bool]
) -> tuple[float, float]:
    """Return a bracket of the point below which ``holds`` is true, above it false."""
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low, high


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), a and b > 0."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1.0) / (a + b + 2.0):
        return min(front * _fraction(a, b, x) / a, 1.0)
    return max(1.0 - front * _fraction(b, a, 1.0 - x) / b, 0.0)


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of the incomplete beta function (DLMF 8.17.22)."""
    c = 1.0
    d = 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    result = d
    for m in range(1, FRACTION_TERMS_MAX):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        for term in (even, odd):
            d = 1.0 / _away_from_zero(1.0 + term * d)
            c = _away_from_zero(1.0 + term / c)
            result *= d * c
        if abs(d * c - 1.0) < FRACTION_PRECISION:
            break
    return result


def _away_from_zero(value: float) -> float:
    """Return ``value``, or something tiny instead of zero."""
    return value if abs(value) > TINY else TINY
