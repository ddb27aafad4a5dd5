"""
Intervals for people: they show how much is known and never decide.

Decides nothing. ``ratio_interval`` inverts the bets on a tolerance: a ratio of
the two rates is ruled out when the bets against it, up or down, have won. The
bad events are kept by class of the arms' sizes (``CLASS_WIDTH`` wide), so that
no single block need be remembered. ``margin`` is a confidence sequence in closed
form, for one rate and for the ranks of a quantile.
"""

from collections.abc import Callable, Sequence
from math import exp, log, log1p, sqrt

from proxy.analysis.bets import GRID_ERRORS
from proxy.model.judge_state import Counts6

LEVEL = 0.05
"""Missed at any time in one of twenty."""
CLASS_WIDTH = log(1.10)
"""Odds within 10 % are one class: far less than what an interval shows."""
CLASSES_MAX = 64
"""Beyond, a block goes to the class next to it; a weight has a few classes."""
RATIO_MAX = 1000.0
"""A ratio that is not bounded below this is not bounded."""
BISECTIONS = 16
"""Of 14 nats: a ratio to 0.02 %."""

Effects = tuple[tuple[float, float], ...]
ABOVE: Effects = tuple((r, log(r)) for r in GRID_ERRORS)
"""Effects to bet on against "the ratio is no larger", and their logarithms."""
BELOW: Effects = tuple((1.0 / r, log(1.0 / r)) for r in GRID_ERRORS)
"""The same against "no smaller"."""

Odds = dict[int, tuple[int, int]]
"""The canary's bad events and those of both, by class of n_c / n_b."""


def with_odds(odds: Odds, counts: Counts6) -> Odds:
    """Return the classes with a block's bad events."""
    k_c, n_c, k_b, n_b, _, _ = counts
    if not n_c or not n_b or not (k_c or k_b):
        return odds
    place = round(log(n_c / n_b) / CLASS_WIDTH)
    if place not in odds and len(odds) >= CLASSES_MAX:
        place = min(odds, key=lambda known: abs(known - place))
    bad, both = odds.get(place, (0, 0))
    return {**odds, place: (bad + k_c, both + k_c + k_b)}


def ratio_interval(odds: Odds) -> tuple[float, float | None] | None:
    """Return bounds of p_c / p_b; ``None`` while nothing bad was seen at all."""
    if not odds:
        return None
    limit = log(2.0 / LEVEL)
    seen = [
        (exp(place * CLASS_WIDTH), bad, both) for place, (bad, both) in odds.items()
    ]
    low = _last(lambda ratio: _evidence(seen, ratio, ABOVE) > limit)
    high = _last(lambda ratio: _evidence(seen, ratio, BELOW) <= limit)
    return low, (None if high >= RATIO_MAX else high)


def _evidence(
    seen: Sequence[tuple[float, int, int]], ratio: float, effects: Effects
) -> float:
    """
    Return the log of the evidence that the true ratio is beyond ``ratio``.

    ``seen``: odds of the arms' sizes, the canary's bad events, and those of both.
    """
    shares = []
    for size, bad, both in seen:
        weighted = ratio * size
        shares.append((weighted / (1.0 + weighted), bad, both))
    logs = []
    for r, log_r in effects:
        total = 0.0
        for q, bad, both in shares:
            total += bad * log_r - both * log1p(q * (r - 1.0))
        logs.append(total)
    most = max(logs)
    return most + log(sum(exp(one - most) for one in logs) / len(logs))


def _last(holds: Callable[[float], bool]) -> float:
    """Return the largest ratio up to ``RATIO_MAX`` of which ``holds``, rising; or 0."""
    low, high = -log(RATIO_MAX), log(RATIO_MAX)
    if not holds(exp(low)):
        return 0.0
    if holds(exp(high)):
        return RATIO_MAX
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if holds(exp(middle)):
            low = middle
        else:
            high = middle
    return exp(low)


def rate_interval(bad: int, total: int) -> tuple[float, float]:
    """Return bounds of one rate, by the margin that quantiles have too."""
    if not total:
        return 0.0, 1.0
    rate = bad / total
    off = margin(rate, total)
    return max(rate - off, 0.0), min(rate + off, 1.0)


def margin(rate: float, total: float) -> float:
    """
    Return how far a rate of ``total`` (> 0) events may be off, at any time.

    1.5 √(p(1-p)l) + 0.8 l with l = (1.4 ln ln(2.1 n) + ln(10/level)) / n (Howard
    and Ramdas 2022); for independent events, so it is shown and never decides.
    """
    size = (1.4 * log(max(log(2.1 * total), 1.0)) + log(10 / LEVEL)) / total
    return 1.5 * sqrt(rate * (1 - rate) * size) + 0.8 * size
