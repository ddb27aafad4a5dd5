"""Every bet has E[e^x] ≤ 1 under its null hypothesis: exact sums, random cases."""

from collections.abc import Sequence
from itertools import pairwise
from math import comb, exp, expm1, fsum, inf, log

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from proxy.analysis.bets import (
    EXACT_MAX,
    GRID_ABSOLUTE,
    GRID_ERRORS,
    GRID_HIGH,
    GRID_MIDDLE,
    GRID_SAFE,
    GRID_TAIL,
    WEALTH_MAX,
    absolute_bets,
    begun,
    exceedance_bets,
    rate_bets,
    settled,
    stake,
    value_of,
)

LITTLE = 1e-9
"""Of rounding in the sums."""
sizes = st.integers(0, 12)
large = st.integers(1, 5000)
chances = st.floats(0.0, 1.0)
grids = st.sampled_from([GRID_ERRORS, GRID_ABSOLUTE, GRID_MIDDLE, GRID_HIGH, GRID_TAIL])


def binomial(hits: int, trials: int, chance: float) -> float:
    """Return a binomial probability."""
    return comb(trials, hits) * chance**hits * (1 - chance) ** (trials - hits)


def expected_rates(
    p_c: float,
    n_c: int,
    p_b: float,
    n_b: int,
    *,
    ratio: float,
    delta: float,
    grid: Sequence[float],
) -> list[float]:
    """Return E[e^x] of each effect, summed over every outcome."""
    sums: list[list[float]] = [[] for _ in grid]
    for k_c in range(n_c + 1):
        for k_b in range(n_b + 1):
            chance = binomial(k_c, n_c, p_c) * binomial(k_b, n_b, p_b)
            bets = rate_bets(k_c, n_c, k_b, n_b, ratio=ratio, delta=delta, grid=grid)
            for terms, x in zip(sums, bets, strict=True):
                terms.append(chance * exp(x))
    return [fsum(terms) for terms in sums]


def log_expected_rate(
    p_c: float, n_c: int, p_b: float, n_b: int, *, ratio: float, delta: float, r: float
) -> float:
    """Return log E[e^x] in closed form, from the moments of both counts."""
    q = n_c * ratio / (n_c * ratio + n_b)
    z = 1 + q * (r - 1)
    return (
        n_c * log(1 - p_c + p_c * r / z)
        + n_b * log(1 - p_b + p_b / z)
        - delta * n_c * (r / z - 1)
    )


@settings(max_examples=60)
@given(
    st.tuples(sizes, sizes),
    st.tuples(chances, chances),
    st.floats(1.0, 3.0),
    st.floats(0.0, 0.2),
    grids,
)
def test_rates_win_nothing_on_average_from_a_canary_within_the_limit(
    requests: tuple[int, int],
    rates: tuple[float, float],
    ratio: float,
    delta: float,
    grid: tuple[float, ...],
) -> None:
    """All outcomes of small blocks: p_c ≤ ratio × p_b + delta gives E[e^x] ≤ 1."""
    (n_c, n_b), (p_b, inside) = requests, rates
    p_c = inside * min(ratio * p_b + delta, 1.0)

    means = expected_rates(p_c, n_c, p_b, n_b, ratio=ratio, delta=delta, grid=grid)

    assert max(means) <= 1 + LITTLE


@given(large, large, st.floats(0, 0.3), st.floats(1.0, 3.0), st.floats(0.0, 0.1))
def test_rates_at_the_limit_in_closed_form(
    n_c: int, n_b: int, p_b: float, ratio: float, delta: float
) -> None:
    """Large blocks, the canary exactly at its limit."""
    p_c = min(ratio * p_b + delta, 1.0)

    for r in GRID_ERRORS:
        mean = log_expected_rate(p_c, n_c, p_b, n_b, ratio=ratio, delta=delta, r=r)
        assert mean <= LITTLE * (n_c + n_b)


@given(large, large, st.floats(0, 0.3), st.floats(1.0, 3.0), st.floats(0.0, 0.1))
def test_safety_wins_nothing_from_a_canary_that_does_harm(
    n_c: int, n_b: int, p_b: float, ratio: float, delta: float
) -> None:
    """Effects below 1 bet against p_c ≥ ratio × p_b + delta."""
    p_c = ratio * p_b + delta
    assume(p_c <= 1.0)

    for r in GRID_SAFE:
        mean = log_expected_rate(p_c, n_c, p_b, n_b, ratio=ratio, delta=delta, r=r)
        assert mean <= LITTLE * (n_c + n_b)


@given(large, large, st.floats(0, 2.0), st.floats(0.5, 1.0), st.floats(1.0, 3.0))
def test_rates_of_several_events_a_request(
    n_c: int, n_b: int, mean_b: float, inside: float, ratio: float
) -> None:
    """Poisson counts: log E[e^x] from their moments is at most 0, too."""
    mean_c = mean_b * ratio * inside
    q = n_c * ratio / (n_c * ratio + n_b)

    for r in GRID_ERRORS:
        z = 1 + q * (r - 1)
        mean = n_c * mean_c * (r / z - 1) + n_b * mean_b * (1 / z - 1)
        assert mean <= LITTLE * (n_c + n_b)


def test_without_stable_a_rate_is_no_evidence() -> None:
    """Nothing to compare with, nothing won: not by failures, not by none."""
    for k_c in (0, 3, 50):
        for delta in (0.0, 0.01):
            bets = rate_bets(k_c, 50, 0, 0, delta=delta, grid=GRID_ERRORS)
            assert bets == pytest.approx([0.0] * len(GRID_ERRORS))
    assert rate_bets(0, 0, 0, 0, grid=GRID_MIDDLE) == [0.0] * len(GRID_MIDDLE)


def hypergeometric(n_c: int, n: int, k: int, odds: float = 1.0) -> dict[int, float]:
    """Return Fisher's noncentral law of how many of ``k`` are the canary's."""
    weights = {
        hits: comb(n_c, hits) * comb(n - n_c, k - hits) * odds**hits
        for hits in range(max(0, k - (n - n_c)), min(k, n_c) + 1)
    }
    total = fsum(weights.values())
    return {hits: weight / total for hits, weight in weights.items()}


@given(st.integers(1, 60), st.integers(1, 60), st.data(), grids)
def test_exceedances_of_equal_arms(
    n_c: int, n_b: int, data: st.DataObject, grid: tuple[float, ...]
) -> None:
    """Exchangeable arms: the mean of e^x is 1, for harm and for safety."""
    k = data.draw(st.integers(1, n_c + n_b - 1))
    for effects in (grid, GRID_SAFE):
        means = expected_exceedance(n_c, n_b, k, 1.0, effects)

        assert means == pytest.approx([1.0] * len(effects))


@given(st.integers(1, 40), st.integers(1, 40), st.data(), grids)
def test_exceedances_of_a_better_canary(
    n_c: int, n_b: int, data: st.DataObject, grid: tuple[float, ...]
) -> None:
    """Odds of 0.6 win nothing by harm, odds of 1.6 nothing by safety."""
    k = data.draw(st.integers(1, n_c + n_b - 1))

    assert max(expected_exceedance(n_c, n_b, k, 0.6, grid)) <= 1 + LITTLE
    assert max(expected_exceedance(n_c, n_b, k, 1.6, GRID_SAFE)) <= 1 + LITTLE


@settings(max_examples=25)
@given(st.integers(150, 400), st.integers(150, 400), st.floats(0.3, 0.7), grids)
def test_exceedances_of_large_blocks_are_bounded(
    n_c: int, n_b: int, part: float, grid: tuple[float, ...]
) -> None:
    """Where the moment is bounded and not summed, E[e^x] is below 1."""
    k = round((n_c + n_b) * part)
    assert min(k, n_c) - max(0, k - n_b) > EXACT_MAX

    for effects in (grid, GRID_SAFE):
        assert max(expected_exceedance(n_c, n_b, k, 1.0, effects)) <= 1 + 1e-6


def expected_exceedance(
    n_c: int, n_b: int, k: int, odds: float, grid: Sequence[float]
) -> list[float]:
    """Return E[e^x] of each effect, summed over every split of the exceedances."""
    sums: list[list[float]] = [[] for _ in grid]
    for k_c, chance in hypergeometric(n_c, n_c + n_b, k, odds).items():
        bets = exceedance_bets(k_c, n_c, k - k_c, n_b, grid=grid)
        for terms, x in zip(sums, bets, strict=True):
            terms.append(chance * exp(x))
    return [fsum(terms) for terms in sums]


@pytest.mark.parametrize(
    "block", [(0, 0, 5, 9), (3, 9, 0, 0), (0, 9, 0, 9), (9, 9, 9, 9)]
)
def test_exceedances_that_say_nothing(block: tuple[int, int, int, int]) -> None:
    """One arm only, none slow, or all slow: nothing to bet on."""
    assert exceedance_bets(*block, grid=GRID_TAIL) == [0.0] * len(GRID_TAIL)


@given(st.integers(1, 40), chances, chances)
def test_absolute_limits(n_c: int, limit: float, inside: float) -> None:
    """A canary within the limit wins nothing by harm, one beyond none by safety."""
    for grid, rate in (
        (GRID_ABSOLUTE, limit * inside),
        (GRID_SAFE, max(limit, inside)),
    ):
        for place, _ in enumerate(grid):
            mean = fsum(
                binomial(k, n_c, rate)
                * exp(absolute_bets(k, n_c, limit, grid=grid)[place])
                for k in range(n_c + 1)
                if binomial(k, n_c, rate) > 0
            )
            assert mean <= 1 + LITTLE


@given(st.integers(1, 2000), st.floats(0.0, 3.0), st.floats(0.0, 1.0))
def test_absolute_limits_of_several_events(n: int, limit: float, inside: float) -> None:
    """Poisson: E[r^k] is exp(mean (r - 1)), so the mean of e^x is at most 1."""
    mean = n * limit * inside
    for r, paid in zip(
        GRID_ABSOLUTE,
        absolute_bets(0, n, limit, grid=GRID_ABSOLUTE, poisson=True),
        strict=True,
    ):
        assert mean * expm1(log(r)) + paid <= LITTLE * n


def test_a_limit_of_nothing_is_broken_by_one() -> None:
    """A rate of 0 % that is exceeded needs no more evidence."""
    assert absolute_bets(1, 9, 0.0, grid=(2.0, 0.5)) == [inf, 0.0]
    assert absolute_bets(0, 9, 0.0, grid=(2.0, 0.5)) == [0.0, 0.0]


# --- wealth ---


@given(st.lists(st.floats(0.0, 1.0), max_size=8), grids)
def test_staking_gives_nothing_away(
    parts: list[float], grid: tuple[float, ...]
) -> None:
    """Evidence is 1 at the start, however its reserve is staked."""
    bet = begun(len(grid))
    for part in parts:
        bet = stake(bet, part)

    assert value_of(bet) == pytest.approx(1.0)
    assert bet.reserve >= 0.0


def test_one_block_never_gains_more_than_its_cap() -> None:
    """No single second decides."""
    after = settled(begun(3), [100.0, 1.0, -1.0], 2.0)

    assert after.wealth == pytest.approx(
        (0.2 * exp(2.0), 0.2 * exp(1.0), 0.2 * exp(-1.0))
    )
    assert after.reserve == 0.8


def test_wealth_stays_a_plain_number() -> None:
    """Neither infinite nor subnormal: it is saved as JSON."""
    rich = poor = begun(1)
    for _ in range(1000):
        rich, poor = settled(rich, [inf], 3.5), settled(poor, [-3.5], 3.5)

    assert rich.wealth == (WEALTH_MAX,)
    assert poor.wealth == (0.0,)


@given(st.integers(1, 8), st.integers(1, 8), chances, st.floats(0.1, 4.0))
def test_a_capped_mixture_is_still_worth_one_at_most(
    n_c: int, n_b: int, rate: float, cap: float
) -> None:
    """The mean of the evidence after a block of equal arms is at most 1."""
    mean = fsum(
        binomial(k_c, n_c, rate)
        * binomial(k_b, n_b, rate)
        * value_of(
            settled(
                begun(len(GRID_ERRORS)),
                rate_bets(k_c, n_c, k_b, n_b, grid=GRID_ERRORS),
                cap,
            )
        )
        for k_c in range(n_c + 1)
        for k_b in range(n_b + 1)
    )

    assert mean <= 1 + LITTLE


def test_more_failures_are_more_evidence() -> None:
    """A bet only rises with the canary's bad events."""
    for bets in (rate_bets, exceedance_bets):
        rows = [bets(k, 10, 3, 90, grid=GRID_ERRORS) for k in range(1, 11)]
        for before, after in pairwise(rows):
            assert all(a < b for a, b in zip(before, after, strict=True))
