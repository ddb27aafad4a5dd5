"""
Blocks: counting into the open one, and settling all bets when it closes.

A block closes at ``BLOCK_REQUESTS`` requests or ``BLOCK_S`` seconds, and at
each change of the weights or of what counts; that depends on how much came,
never on what. Thresholds are read from stable's recent times between blocks
only, and stakes are made there too, so that both are known before what they
are held against.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from proxy.analysis.bets import (
    GRID_SAFE,
    absolute_bets,
    begun,
    exceedance_bets,
    rate_bets,
    settled,
    stake,
)
from proxy.analysis.checks import Check
from proxy.analysis.intervals import ratio_interval, with_odds
from proxy.analysis.recent import Figures, tolerated
from proxy.analysis.samples import Samples, first_bucket_above
from proxy.analysis.values import Evidence, RouteEvidence
from proxy.model.buckets import BUCKET_COUNT
from proxy.model.judge_state import ZERO, Bet, CheckState, Counts6
from proxy.model.judging import JudgePlan, Safety

BLOCK_REQUESTS = 50
BLOCK_S = 5.0
LATELY_HALF_LIFE_S = 10.0
"""What is said to be true *now* is what was seen in the last seconds."""
SHARE_MIN = 0.01
"""A next step's share is never taken for less: margins of no harm stay finite."""

NOTHING = RouteEvidence()

Key = tuple[str, str]
FiguresBy = dict[Key, Figures]
"""Stable's recent times by metric and route."""


def opened(check: Check, plan: JudgePlan) -> CheckState:
    """Return a check that nothing is known of."""
    return CheckState(
        check.id,
        check.route,
        begun(len(check.grid)),
        begun(len(check.grid)),
        _safe_bet(plan),
        at=_fixed_threshold(check),
        at_tolerated=_fixed_threshold(check),
        at_safe=_fixed_threshold(check),
    )


def in_step(state: CheckState, plan: JudgePlan) -> CheckState:
    """Return a check at the beginning of a step: minimums do not accumulate."""
    return replace(state, step=ZERO, safe=_safe_bet(plan))


def _safe_bet(plan: JudgePlan) -> Bet | None:
    return None if plan.safety is Safety.OFF else begun(len(GRID_SAFE), 1.0)


def _fixed_threshold(check: Check) -> int:
    """Return the bucket of an absolute limit of times; -1 for all other checks."""
    if not check.timed or check.absolute is None:
        return -1
    return first_bucket_above(check.absolute)


def staked(state: CheckState, part: float) -> CheckState:
    """Return a check with a part of its reserves staked; the block is empty."""
    return replace(
        state, worse=stake(state.worse, part), beyond=stake(state.beyond, part)
    )


def aimed(
    check: Check, state: CheckState, figures: FiguresBy, plan: JudgePlan
) -> CheckState:
    """Return a check with its thresholds read anew; the block is empty."""
    if check.absolute is not None:
        return state
    if not check.timed:
        return replace(state, ratio=ratio_interval(state.odds))
    known = figures.get((check.metric, check.route))
    assert check.quantile is not None
    at = -1 if known is None else known.threshold(check.quantile)
    if at < 0:
        return state
    ratio, delta = _safe_margin(check, plan)
    return replace(
        state,
        at=at,
        at_tolerated=tolerated(at, check.ratio, check.delta),
        at_safe=tolerated(at, ratio, delta),
    )


def _safe_margin(check: Check, plan: JudgePlan) -> tuple[float, float]:
    """
    Return ratio and delta within which a canary does no harm in the next step.

    At the next share the harm to all users together stays within the tolerance.
    """
    share = max(plan.next_share, SHARE_MIN)
    ratio = 1.0 + (check.ratio - 1.0) / share
    return max(ratio, SHARE_MIN), check.delta / share


def counted(
    check: Check, state: CheckState, evidence: Evidence, samples: Samples, dt_s: float
) -> CheckState:
    """Return a check with a second's counts in its open block."""
    arms = evidence.routes.get(check.route, NOTHING)
    if check.timed and state.at < 0:
        return state
    added = samples.counts(check, arms, state.at, state.at_tolerated)
    if not any(added):
        return state
    lately = state.lately
    if check.absolute is not None:
        keep = 0.5 ** (dt_s / LATELY_HALF_LIFE_S)
        lately = (
            lately[0] * keep + added[0],
            lately[1] * keep + added[1],
            lately[2] * keep + added[2],
            lately[3] * keep + added[3],
        )
    safe = state.open_safe
    if state.safe is not None:
        more = _safe_counts(check, state, arms, samples, added)
        safe = safe[0] + more[0], safe[1] + more[1]
    return CheckState(
        state.id,
        state.route,
        state.worse,
        state.beyond,
        state.safe,
        state.at,
        state.at_tolerated,
        state.at_safe,
        _sum(state.open, added),
        safe,
        _sum(state.step, added),
        lately,
        state.odds,
        state.ratio,
    )


def _safe_counts(
    check: Check,
    state: CheckState,
    arms: RouteEvidence,
    samples: Samples,
    added: Counts6,
) -> tuple[int, int]:
    if not check.timed:
        return added[0], added[1]
    return samples.of(check.metric, arms.canary).slower(state.at_safe)


def _sum(one: Counts6, other: Counts6) -> Counts6:
    return (
        one[0] + other[0],
        one[1] + other[1],
        one[2] + other[2],
        one[3] + other[3],
        one[4] + other[4],
        one[5] + other[5],
    )


def closed(
    check: Check, state: CheckState, plan: JudgePlan, *, baseline: bool, warm: bool
) -> CheckState:
    """Return a check whose open block was settled; the next one is empty."""
    counts = _clean(state.open, counted=check.counted)
    worse, beyond, safe, odds = state.worse, state.beyond, state.safe, state.odds
    if check.judged and (counts[1] or counts[3]):
        won_worse, won_beyond = bets_of(check, counts, baseline=baseline)
        same = won_beyond is won_worse and worse == beyond
        cap = check.cap_of(counts[0], counts[1])
        worse = settled(worse, won_worse, cap)
        beyond = worse if same else settled(beyond, won_beyond, cap)
        if safe is not None and warm:
            won = safe_bets_of(check, counts, state.open_safe, plan)
            safe = settled(safe, won, check.cap)
        if _has_odds(check):
            odds = with_odds(odds, counts)
    return CheckState(
        state.id,
        state.route,
        worse,
        beyond,
        safe,
        state.at,
        state.at_tolerated,
        state.at_safe,
        ZERO,
        (0, 0),
        state.step,
        state.lately,
        odds,
        state.ratio,
    )


def _has_odds(check: Check) -> bool:
    """Whether a ratio of rates is shown."""
    return not check.timed and check.absolute is None


def _clean(counts: Counts6, *, counted: bool) -> Counts6:
    """
    Return counts that a bet can be made on.

    The gauge of requests in flight may shrink with a worker that dies, so sums
    of its changes can fall short; hits of a named counter may exceed trials.
    """
    k_c, n_c, k_b, n_b, k_t, n_t = counts
    if 0 <= k_c <= n_c and 0 <= k_b <= n_b and 0 <= k_t <= n_t:
        return counts
    pairs = []
    for at in (0, 2, 4):
        bad = max(counts[at], 0)
        total = max(counts[at + 1], 0)
        pairs.append((bad, total if counted else max(total, bad)))
    return (*pairs[0], *pairs[1], *pairs[2])


def bets_of(
    check: Check, counts: Counts6, *, baseline: bool
) -> tuple[Sequence[float], Sequence[float]]:
    """Return the bets of a block on "worse" and on "beyond the limit"."""
    k_c, n_c, k_b, n_b, k_t, n_t = counts
    grid = check.grid
    if check.absolute is not None:
        gated = baseline and not (check.counted and not n_b)
        both = _absolute(check, counts, gated=gated)
        return both, both
    if check.timed:
        worse = exceedance_bets(k_c, n_c, k_b, n_b, grid=grid)
        beyond = exceedance_bets(k_t, n_t, k_b, n_b, grid=grid)
    elif check.lower:
        worse = rate_bets(k_b, n_b, k_c, n_c, grid=grid)
        beyond = rate_bets(k_b, n_b, k_c, n_c, ratio=1.0 / check.ratio, grid=grid)
    else:
        worse = rate_bets(k_c, n_c, k_b, n_b, grid=grid)
        beyond = rate_bets(
            k_c, n_c, k_b, n_b, ratio=check.ratio, delta=check.delta, grid=grid
        )
    return (beyond, beyond) if check.gross else (worse, beyond)


def _absolute(check: Check, counts: Counts6, *, gated: bool) -> list[float]:
    """Return bets on "the limit is broken, and it is the canary's doing"."""
    k_c, n_c, k_b, n_b, _, _ = counts
    alone = absolute_bets(
        k_c, n_c, _limit_rate(check), grid=check.grid, poisson=check.counted
    )
    if not gated:
        return alone
    compared = (
        exceedance_bets(k_c, n_c, k_b, n_b, grid=check.grid)
        if check.timed
        else rate_bets(k_c, n_c, k_b, n_b, grid=check.grid)
    )
    return [min(pair) for pair in zip(alone, compared, strict=True)]


def _limit_rate(check: Check) -> float:
    """Return how often an absolute limit may be exceeded."""
    assert check.absolute is not None
    return check.absolute if check.quantile is None else 1.0 - check.quantile


def safe_bets_of(
    check: Check, counts: Counts6, safe: tuple[int, int], plan: JudgePlan
) -> list[float]:
    """Return the bets of a block on "does no harm in the next step"."""
    k_c, n_c, k_b, n_b, _, _ = counts
    if check.absolute is not None:
        return absolute_bets(k_c, n_c, _limit_rate(check), grid=GRID_SAFE)
    if check.timed:
        bad = max(safe[0], 0)
        return exceedance_bets(bad, max(safe[1], bad), k_b, n_b, grid=GRID_SAFE)
    ratio, delta = _safe_margin(check, plan)
    if check.lower:
        return rate_bets(k_b, n_b, k_c, n_c, ratio=1.0 / ratio, grid=GRID_SAFE)
    return rate_bets(k_c, n_c, k_b, n_b, ratio=ratio, delta=delta, grid=GRID_SAFE)


def thresholds_of(figures: Figures, quantiles: Iterable[float]) -> tuple[int, ...]:
    """Return stable's thresholds; one that nothing reaches where it is unknown."""
    found = [figures.threshold(quantile) for quantile in quantiles]
    return tuple(at if at >= 0 else BUCKET_COUNT for at in found)
