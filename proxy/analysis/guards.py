"""
Whether the comparison itself can be trusted: three guards that hold, never fail.

- *Sample ratio*: requests that were assigned to an arm and never answered. A
  version whose answers are missing looks better than it is. The bets are those
  on rates, in both directions.
- *Concentrated units*: one unit is more than a fifth of a version's traffic, so
  what looks like many requests is one witness.
- *Self-check*: a random slice of stable against the rest of it, by the same bets
  as the canary. Both run the same code, so what speaks against the slice speaks
  against the method: something in this environment breaks its assumptions.
"""

from collections.abc import Sequence
from dataclasses import replace

from proxy.analysis.bets import (
    GRID_ERRORS,
    GRID_HIGH,
    GRID_MIDDLE,
    GRID_TAIL,
    begun,
    exceedance_bets,
    rate_bets,
    settled,
    stake,
    value_of,
)
from proxy.analysis.checks import CAP_RATE
from proxy.analysis.samples import CLIENT_CODES, Samples, finished, is_error
from proxy.analysis.values import RouteEvidence, Window
from proxy.model.judge_state import Bet, SelfCheckState, ShareState
from proxy.model.judging import LATENCY

UNIT_SHARE_MAX = 0.20
"""One unit with more of a version's traffic than this is one witness too many."""

LOST_RATIO = 1.25
LOST_DELTA = 0.005
"""Lost answers may differ so much between the arms: clients that give up on a
slower version, and requests that a sweep counted a moment too early."""

SELF_QUANTILES = (0.5, 0.9, 0.99)
SELF_GRIDS = (GRID_ERRORS, GRID_MIDDLE, GRID_HIGH, GRID_TAIL)
"""Errors, then each of ``SELF_QUANTILES``; each in both directions."""
SELF_CAP_TIME = 1.5
"""Nats that one block may give for times; it marks every verdict, so with care."""
SELF_VALUE_MAX = 1e4
"""An alarm fades once stable agrees with itself again, in a time that is bounded."""


# --- sample ratio ---


def begun_share() -> ShareState:
    """Return the state of a sample ratio that nothing is known of."""
    size = len(GRID_ERRORS)
    return ShareState(begun(size, 1.0), begun(size, 1.0))


def share_counted(share: ShareState | None, arms: RouteEvidence) -> ShareState | None:
    """Return the sample ratio with a second's requests in its open block."""
    if arms.canary.assigned is None or arms.stable.assigned is None:
        return share
    known = begun_share() if share is None else share
    canary, canary_left = _lost(arms.canary)
    stable, stable_left = _lost(arms.stable)
    was = known.open
    return replace(
        known,
        open=(
            was[0] + canary,
            was[1] + arms.canary.assigned,
            was[2] + stable,
            was[3] + arms.stable.assigned,
        ),
        given_up=(known.given_up[0] + canary_left, known.given_up[1] + stable_left),
        vanished=(
            known.vanished[0] + canary - canary_left,
            known.vanished[1] + stable - stable_left,
        ),
    )


def _lost(window: Window) -> tuple[int, int]:
    """Return how many were not answered, and how many of them clients gave up."""
    assert window.assigned is not None
    left = sum(n for code, n in window.codes.items() if code in CLIENT_CODES)
    return window.assigned - finished(window), left


def share_closed(share: ShareState | None) -> ShareState | None:
    """Return the sample ratio with its block settled."""
    if share is None:
        return None
    lost_c, all_c, lost_b, all_b = (max(one, 0) for one in share.open)
    lost_c, lost_b = min(lost_c, all_c), min(lost_b, all_b)
    canary = rate_bets(
        lost_c,
        all_c,
        lost_b,
        all_b,
        ratio=LOST_RATIO,
        delta=LOST_DELTA,
        grid=GRID_ERRORS,
    )
    stable = rate_bets(
        lost_b,
        all_b,
        lost_c,
        all_c,
        ratio=LOST_RATIO,
        delta=LOST_DELTA,
        grid=GRID_ERRORS,
    )
    return replace(
        share,
        canary=settled(share.canary, canary, CAP_RATE),
        stable=settled(share.stable, stable, CAP_RATE),
        open=(0, 0, 0, 0),
    )


def share_in_step(share: ShareState | None) -> ShareState | None:
    """Return the sample ratio at the beginning of a step; evidence stays."""
    return None if share is None else replace(share, given_up=(0, 0), vanished=(0, 0))


def mismatch_of(share: ShareState | None, alpha: float) -> str:
    """Return what is wrong with the sample ratio and why, likely; ``""`` if nothing."""
    if share is None:
        return ""
    canary, stable = value_of(share.canary), value_of(share.stable)
    if (canary + stable) / 2 < 1.0 / alpha:
        return ""
    arm, other, at = (
        ("canary", "stable", 0) if canary > stable else ("stable", "canary", 1)
    )
    if share.given_up[at] >= share.vanished[at]:
        cause = f"clients give up on {arm} before it answers"
    else:
        cause = (
            f"requests to {arm} end without any outcome, as when a worker dies"
            " or connections are cut"
        )
    return (
        f"{arm} answers fewer of the requests assigned to it than {other} does,"
        f" so they cannot be compared; likely cause: {cause}"
    )


# --- concentrated units ---


def top_unit_of(arms: RouteEvidence, before: float | None) -> float | None:
    """Return the larger share of a busiest unit; what is not told stays as it was."""
    known = [
        window.top_unit
        for window in (arms.canary, arms.stable)
        if window.top_unit is not None
    ]
    return max(known) if known else before


def concentration_of(top_unit: float | None) -> str:
    """Return what is wrong with the units; ``""`` if nothing."""
    if top_unit is None or top_unit <= UNIT_SHARE_MAX:
        return ""
    return (
        f"one unit is {top_unit:.0%} of a version's traffic (more than"
        f" {UNIT_SHARE_MAX:.0%}): many requests, but one witness"
    )


# --- self-check ---


def self_counted(
    itself: SelfCheckState, arms: RouteEvidence, samples: Samples
) -> SelfCheckState:
    """Return the self-check with a second's counts in its open block."""
    if arms.control is None:
        return itself
    if not itself.bets:
        itself = SelfCheckState(
            tuple(begun(len(grid)) for grid in SELF_GRIDS for _ in "ab"),
            ((0, 0, 0, 0),) * len(SELF_GRIDS),
            itself.at,
        )
    added = [(*_errors(arms.control), *_errors(arms.stable))]
    if itself.at:
        part = samples.of(LATENCY, arms.control)
        whole = samples.of(LATENCY, arms.stable)
        added += [(*part.slower(at), *whole.slower(at)) for at in itself.at]
    padded = added + [(0, 0, 0, 0)] * (len(SELF_GRIDS) - len(added))
    return replace(
        itself,
        open=tuple(
            # The slice is a part of stable: the rest is what it is held against.
            (a + k, b + n, c + whole_k - k, d + whole_n - n)
            for (a, b, c, d), (k, n, whole_k, whole_n) in zip(
                itself.open, padded, strict=True
            )
        ),
    )


def _errors(window: Window) -> tuple[int, int]:
    bad = sum(
        n
        for code, n in window.codes.items()
        if is_error(code) and code not in CLIENT_CODES
    )
    return bad, finished(window)


def self_closed(itself: SelfCheckState, *, judged: bool) -> SelfCheckState:
    """Return the self-check with its block settled, if it counts."""
    if not itself.bets:
        return itself
    bets: list[Bet] = []
    for place, (grid, counts) in enumerate(zip(SELF_GRIDS, itself.open, strict=True)):
        k, n, other_k, other_n = (max(one, 0) for one in counts)
        n, other_n = max(n, k), max(other_n, other_k)
        pair = itself.bets[2 * place : 2 * place + 2]
        if not judged:
            bets.extend(pair)
            continue
        bets += [
            _settled(pair[0], place, (k, n, other_k, other_n), grid),
            _settled(pair[1], place, (other_k, other_n, k, n), grid),
        ]
    return replace(itself, bets=tuple(bets), open=((0, 0, 0, 0),) * len(SELF_GRIDS))


def _settled(
    bet: Bet, place: int, counts: tuple[int, int, int, int], grid: Sequence[float]
) -> Bet:
    """Return one direction settled; place 0 is errors."""
    if place:
        after = settled(bet, exceedance_bets(*counts, grid=grid), SELF_CAP_TIME)
    else:
        after = settled(bet, rate_bets(*counts, grid=grid), CAP_RATE)
    if max(after.wealth) <= SELF_VALUE_MAX:
        return after
    return replace(
        after, wealth=tuple(min(one, SELF_VALUE_MAX) for one in after.wealth)
    )


def self_staked(itself: SelfCheckState, part: float) -> SelfCheckState:
    """Return the self-check with a part of its reserves staked; the block is empty."""
    return replace(itself, bets=tuple(stake(bet, part) for bet in itself.bets))


def self_value(itself: SelfCheckState) -> float:
    """Return the evidence that stable differs from itself; 1 without a slice."""
    if not itself.bets:
        return 1.0
    return sum(value_of(bet) for bet in itself.bets) / len(itself.bets)
