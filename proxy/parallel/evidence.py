"""
The tests behind a verdict; each holds however often it is looked at.

*Fields.* Per field: b triples in which the candidate alone differs from stable,
c in which stable's second answer alone does. If the candidate is equivalent,
both second answers are exchangeable given the first, and each of the n = b + c
is a fair coin. The one-sided uniform mixture over coins that favour b,

    E = 2^(n+1) · b! c! / (n+1)! · P(Bin(n+1, ½) ≤ b),

is a test martingale, so P(E ever ≥ 1/α) ≤ α (Ville 1939). The j-th field in the
order of discovery is held to π² j² / (6 α): over any number of fields the
thresholds' inverses sum to α (the sum of 1/j² is π²/6). Every third place is kept
for fields that were seen as noise before: what is known when a field is
discovered may choose its place, as long as no two have the same.

*Rates.* k misses in n pairs, tested against "the rate is at least p": a mixture
of the rate 0 and of all rates below p, uniformly, over the likelihood at p. With
k = 0 it proves nearly what the rule of three says, 3/n at 95 %.
"""

import math
from typing import Final

ZERO_SHARE: Final = 0.9
"""Weight of "no misses at all" in the mixture: 3.1/n at 95 % while k is 0."""
EXACT_MAX: Final = 400
"""Up to so many coins the binomial sum is exact; beyond, the normal curve with
continuity correction is within 1e-4 where E can matter (b above n/2)."""
PAIRS_MAX: Final = 100_000_000
"""More pairs than any run sees: "never at this rate"."""
_NEGLIGIBLE: Final = 1e-17


def log_e_value(candidate_only: int, noise_only: int) -> float:
    """Return the natural logarithm of E for b and c."""
    b, c = candidate_only, noise_only
    n = b + c
    return (
        (n + 1) * math.log(2)
        + math.lgamma(b + 1)
        + math.lgamma(c + 1)
        - math.lgamma(n + 2)
        + _log_coins(n + 1, b)
    )


def log_threshold(place: int, alpha: float) -> float:
    """Return what the ``place``-th discovered field (from 1) is held to."""
    return math.log(math.pi**2 * place**2 / (6 * alpha))


def place_of(number: int, *, noisy: bool) -> int:
    """Return the place of the ``number``-th (from 1) noisy or quiet field."""
    return 3 * number if noisy else number + (number - 1) // 2


def _log_coins(n: int, most: int) -> float:
    """Return log P(Bin(n, ½) ≤ most)."""
    if most >= n:
        return 0.0
    if n <= EXACT_MAX:
        total = term = 1
        for i in range(most):
            term = term * (n - i) // (i + 1)
            total += term
        return math.log(total) - n * math.log(2)
    deviations = (most + 0.5 - n / 2) / math.sqrt(n / 4)
    below = 0.5 * math.erfc(-deviations / math.sqrt(2))
    # Far below the middle E is far below 1 whatever this is exactly.
    return math.log(max(below, 1e-300))


# --- rates ---


def proves_below(misses: int, pairs: int, rate: float, alpha: float) -> bool:
    """Whether the rate is proven to be below ``rate``, 0 < rate < 1, at ``alpha``."""
    return _log_against_at_least(misses, pairs, rate) >= -math.log(alpha)


def proves_above(misses: int, pairs: int, rate: float, alpha: float) -> bool:
    """Whether the rate is proven to be above ``rate``, 0 < rate < 1, at ``alpha``."""
    return _log_against_at_most(misses, pairs, rate) >= -math.log(alpha)


def upper_bound(misses: int, pairs: int, alpha: float) -> float:
    """Return the rate that the true one is proven to be below; 1 without pairs."""
    low, high = misses / pairs if pairs else 1.0, 1.0
    if low >= 1.0:
        return 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if proves_below(misses, pairs, middle, alpha):
            high = middle
        else:
            low = middle
    return high


def lower_bound(misses: int, pairs: int, alpha: float) -> float:
    """Return the rate that the true one is proven to be above; 0 without misses."""
    low, high = 0.0, misses / pairs if pairs else 0.0
    for _ in range(40):
        middle = (low + high) / 2
        if middle and proves_above(misses, pairs, middle, alpha):
            low = middle
        else:
            high = middle
    return low


def pairs_missing(misses: int, pairs: int, rate: float, alpha: float) -> int | None:
    """
    Return how many further pairs without a miss prove a rate below ``rate``.

    ``None``: the misses so far are too many for any run.
    """
    if proves_below(misses, pairs, rate, alpha):
        return 0
    low, high = pairs, max(pairs * 2, 64)
    while not proves_below(misses, high, rate, alpha):
        low, high = high, high * 2
        if high > PAIRS_MAX:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if proves_below(misses, middle, rate, alpha):
            high = middle
        else:
            low = middle
    return high - pairs


def _log_against_at_least(k: int, n: int, p: float) -> float:
    """Return log of the e-value against every rate of at least ``p``."""
    if not 0 < p < 1 or k > n * p:
        return 0.0
    spread = (
        math.log1p(-ZERO_SHARE)
        + _log_beta(k, n)
        + math.log1p(-min(_tail(k, n + 1, p), 1 - 1e-16))
        - (k + 1) * math.log(p)
        - (n - k) * math.log1p(-p)
    )
    if k:
        return spread
    none = math.log(ZERO_SHARE) - n * math.log1p(-p)
    return _log_sum(none, spread)


def _log_against_at_most(k: int, n: int, p: float) -> float:
    """Return log of the e-value against every rate of at most ``p`` (uniform above)."""
    if k <= n * p:
        return 0.0
    above = math.log1p(-min(_tail(n - k, n + 1, 1 - p), 1 - 1e-16))
    return _log_beta(k, n) + above - k * math.log(p) - (n - k + 1) * math.log1p(-p)


def _log_beta(k: int, n: int) -> float:
    return math.lgamma(k + 1) + math.lgamma(n - k + 1) - math.lgamma(n + 2)


def _tail(k: int, n: int, p: float) -> float:
    """Return P(Bin(n, p) ≤ k) for k below n p, from the largest term down."""
    if k >= n * p:
        return 0.5
    log_term = (
        math.lgamma(n + 1)
        - math.lgamma(k + 1)
        - math.lgamma(n - k + 1)
        + k * math.log(p)
        + (n - k) * math.log1p(-p)
    )
    total = share = 1.0
    for i in range(k, 0, -1):
        share *= i * (1 - p) / ((n - i + 1) * p)
        total += share
        if share < _NEGLIGIBLE:
            break
    return min(math.exp(log_term) * total, 1.0) if log_term > -700 else 0.0  # noqa: PLR2004


def _log_sum(one: float, other: float) -> float:
    low, high = sorted((one, other))
    return high + math.log1p(math.exp(low - high))
