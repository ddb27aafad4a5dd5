"""
How much more it takes: canary requests until a suspicion is told from chance.

An estimate for people, from what the present step has seen; it decides nothing.
"""

from collections.abc import Sequence
from math import ceil, log

from proxy.analysis.bets import value_of
from proxy.analysis.findings import Pair, strongest
from proxy.analysis.planning import AUTO_REQUESTS_MAX, information
from proxy.model.judging import JudgePlan

SAFE_VALUE = 10.0
"""Evidence of no harm that proves it, for each SLO on its own (intersection-union)."""
VALUE_MIN = 1e-6
"""Evidence is not taken for less when its logarithm is asked for."""


def is_safe(pair: Pair) -> bool:
    """Whether a check is proven to do no harm."""
    safe = pair.state.safe
    return safe is not None and value_of(safe) >= SAFE_VALUE


def until_told(
    pairs: Sequence[Pair], keys: tuple[float, float], plan: JudgePlan
) -> int:
    """Return about how many canary requests prove the strongest suspicion, if true."""
    if not pairs:
        return plan.min_requests
    top = strongest(pairs, plan.alpha, plan.alpha_tolerance)
    k_c, n_c, k_b, n_b, k_t, n_t = (max(one, 0) for one in top.state.step)
    if not n_c or not n_b or not n_t:
        return plan.min_requests
    share = n_c / (n_c + n_b)
    stable = k_b / n_b
    limit = stable
    if not top.check.timed and top.check.absolute is None:
        limit = stable * top.check.ratio + top.check.delta
    gains = (
        information(k_c / n_c, stable, share),
        information(k_t / n_t, limit, share),
    )
    missing = (
        log(1.0 / plan.alpha) - log(max(keys[0], VALUE_MIN)),
        log(1.0 / plan.alpha_tolerance) - log(max(keys[1], VALUE_MIN)),
    )
    if not all(gain > 0.0 for gain in gains):
        return plan.min_requests  # it is fading: look again after as much
    needed = max(nats / gain for nats, gain in zip(missing, gains, strict=True))
    return min(max(ceil(needed), 1), AUTO_REQUESTS_MAX)


def until_safe(pairs: Sequence[Pair], plan: JudgePlan) -> int:
    """Return about how many canary requests prove that there is no harm."""
    most = 0
    for pair in pairs:
        if is_safe(pair) or pair.state.safe is None:
            continue
        won = log(max(value_of(pair.state.safe), VALUE_MIN))
        seen = max(pair.state.step[1], 0)
        more = seen * (log(SAFE_VALUE) - won) / won if won > 0.0 else 0.0
        most = max(most, ceil(more) or plan.min_requests)
    return min(most, AUTO_REQUESTS_MAX)
