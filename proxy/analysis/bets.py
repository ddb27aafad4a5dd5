"""
Bets against "the canary is no worse": every number with E[e^x | past] ≤ 1.

Within a short block both arms share load, drift and weight, so everything that
they share cancels; what is left is a bet on which arm the bad events were.
A block has ``k_c`` bad of ``n_c`` canary requests and ``k_b`` bad of ``n_b``
stable ones. Each function returns x (natural logarithm) for each effect size of
a grid; under its null hypothesis the expectation of e^x is at most 1 whatever
came before, so products of e^x are e-processes and Ville's inequality bounds
the chance that they ever reach 1/alpha by alpha, at every look.

``Bet`` mixes the grid's products: ``wealth`` is staked, ``reserve`` is not yet.
Staking later restarts the bet without counting twice (Shiryaev-Roberts with a
proper prior, as in the e-detectors of Shin, Ramdas and Rinaldo 2023, but a
genuine e-process). A gain may be capped from above, which keeps E[e^x] ≤ 1.
"""

from collections.abc import Iterable, Sequence
from math import exp, inf, log, log1p

from proxy.model.judge_state import Bet

GRID_ERRORS = (1.5, 2.5, 5.0, 10.0, 30.0, 100.0)
GRID_ABSOLUTE = (1.3, 1.7, 2.5, 5.0, 12.0, 40.0)
GRID_MIDDLE = (1.1, 1.25, 1.5, 2.0, 4.0)
"""Effect sizes that are bet on at the median: of how often it is exceeded."""
GRID_HIGH = (1.2, 1.5, 2.0, 4.0, 8.0)
"""The same about p90."""
GRID_TAIL = (1.3, 1.7, 2.5, 5.0, 12.0)
"""The same about p99."""
GRID_SAFE = (0.2, 0.4, 0.6, 0.75, 0.87, 0.95)

STAKED_FIRST = 0.2
"""Staked from the very first request."""
EXACT_MAX = 64
"""A block with more possible outcomes is bounded: summing them would cost more
than it wins."""
WEALTH_MAX = 1e12
"""Wealth is capped here: it decides nothing more, and stays a plain number."""
WEALTH_MIN = 1e-30
"""Below it wealth is nothing."""


def rate_bets(
    k_c: int,
    n_c: int,
    k_b: int,
    n_b: int,
    *,
    ratio: float = 1.0,
    delta: float = 0.0,
    grid: Sequence[float],
) -> list[float]:
    """
    Return bets against p_c ≤ ratio × p_b + delta, whatever p_b is in the block.

    For effects above 1 they win by harm; for effects below 1 the null is
    p_c ≥ ratio × p_b + delta and they win by safety. With delta 0 it is the
    likelihood ratio of the label of Lindon and Malek (2022) with a tolerance;
    delta is paid for by the canary's requests. Valid for Bernoulli and for
    Poisson counts. Without stable and with delta 0 every bet is 0.
    """
    if not n_c and not n_b:
        return [0.0] * len(grid)
    weighted = n_c * ratio
    q = weighted / (weighted + n_b)
    k = k_c + k_b
    paid = delta * n_c
    bets = []
    for r in grid:
        z = 1.0 + q * (r - 1.0)
        bets.append(k_c * log(r) - k * log(z) - paid * (r / z - 1.0))
    return bets


def exceedance_bets(
    k_c: int, n_c: int, k_b: int, n_b: int, *, grid: Sequence[float]
) -> list[float]:
    """
    Return bets against "the canary exceeds no more often than stable".

    Both arms are held against thresholds that were fixed before the block. At
    the boundary k_c is hypergeometric given the rest, and an effect is an odds
    ratio (R. A. Fisher's noncentral law): the bet is its likelihood ratio. For
    effects below 1 the null is "no less often".
    """
    k, n = k_c + k_b, n_c + n_b
    if not n_c or not n_b or not 0 < k < n:
        return [0.0] * len(grid)
    least, most = max(0, k - n_b), min(k, n_c)
    if most - least > EXACT_MAX:
        return _bounded(k_c, n_c, k, n, grid)
    # Weights of `least`, `least` + 1, …, each by its ratio to the one before.
    weights = [1.0]
    for hits in range(least, most):
        ratio = (k - hits) * (n_c - hits) / ((hits + 1) * (n_b - k + hits + 1))
        weights.append(weights[-1] * ratio)
    total = sum(weights)
    weights.reverse()
    bets = []
    for r in grid:
        moment = 0.0
        for weight in weights:
            moment = moment * r + weight
        bets.append((k_c - least) * log(r) - log(moment / total))
    return bets


def _bounded(k_c: int, n_c: int, k: int, n: int, grid: Sequence[float]) -> list[float]:
    """
    Return the bets with a bound in the place of the moment, for large blocks.

    Two bounds are valid, and so is the lesser: Hoeffding's (1963, sampling
    without replacement), and Bennett's with the exact variance, as a
    hypergeometric is a sum of independent Bernoullis (Vatutin and Mikhailov).
    """
    w = n_c / n
    variance = k * w * (1.0 - w) * (n - k) / (n - 1)
    mean = k * w
    bets = []
    for r in grid:
        tilt = log(r)
        size = abs(tilt)
        bennett = tilt * mean + variance * (exp(size) - 1.0 - size)
        bets.append(tilt * k_c - min(k * log1p(w * (r - 1.0)), bennett))
    return bets


def absolute_bets(
    k_c: int,
    n_c: int,
    rate: float,
    *,
    grid: Sequence[float],
    poisson: bool = False,
) -> list[float]:
    """
    Return bets against p_c ≤ ``rate`` (effects below 1: against p_c ≥ it).

    ``poisson``: there may be several events a request.
    """
    if rate <= 0.0:
        return [inf if k_c and r > 1.0 else 0.0 for r in grid]
    if poisson:
        return [k_c * log(r) - n_c * rate * (r - 1.0) for r in grid]
    return [k_c * log(r) - n_c * log1p(rate * (r - 1.0)) for r in grid]


def begun(size: int, staked: float = STAKED_FIRST) -> Bet:
    """Return a bet on ``size`` effects whose value is 1."""
    return Bet((staked,) * size, 1.0 - staked)


def stake(bet: Bet, part: float) -> Bet:
    """Return the bet with a part of its reserve staked, before a block is seen."""
    more = bet.reserve * part
    return Bet(tuple(one + more for one in bet.wealth), bet.reserve - more)


def settled(bet: Bet, bets: Iterable[float], cap: float) -> Bet:
    """Return the bet after a block; no effect gains more than e^``cap``."""
    wealth = [one * exp(min(cap, x)) for one, x in zip(bet.wealth, bets, strict=True)]
    if max(wealth) > WEALTH_MAX or min(wealth) <= WEALTH_MIN:
        wealth = [min(one, WEALTH_MAX) if one > WEALTH_MIN else 0.0 for one in wealth]
    return Bet(tuple(wealth), bet.reserve)


def value_of(bet: Bet) -> float:
    """Return the evidence: an e-value, 1 at the beginning."""
    return sum(bet.wealth) / len(bet.wealth) + bet.reserve
