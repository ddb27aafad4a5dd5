"""Tails and bounds are exact: held against sums of whole numbers."""

from decimal import Decimal, getcontext
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.analysis.binomial import (
    incomplete_beta,
    lower_bound,
    tail_at_least,
    tail_at_most,
    upper_bound,
)


def exact_at_least(hits: int, trials: int, chance: Fraction) -> float:
    """Return the tail as an exact sum."""
    terms = (
        comb(trials, k) * chance**k * (1 - chance) ** (trials - k)
        for k in range(max(hits, 0), trials + 1)
    )
    return float(sum(terms, Fraction(0)))


@given(st.integers(1, 60), st.data(), st.integers(1, 99))
def test_tails_equal_exact_sums(trials: int, data: st.DataObject, percent: int) -> None:
    """Both tails agree with sums of fractions to nine digits."""
    hits = data.draw(st.integers(0, trials))
    chance = Fraction(percent, 100)

    expected = exact_at_least(hits, trials, chance)
    complement = 1 - exact_at_least(hits + 1, trials, chance)

    assert tail_at_least(hits, trials, percent / 100) == pytest.approx(
        expected, rel=1e-9
    )
    assert tail_at_most(hits, trials, percent / 100) == pytest.approx(
        complement, rel=1e-9
    )


def test_tail_of_ten_million_trials() -> None:
    """At 10^7 trials the tail equals a sum of 50-digit decimals."""
    getcontext().prec = 50
    trials, hits, chance = 10_000_000, 10_900, Decimal("0.001")
    term = Decimal(1)
    for k in range(hits):
        term *= Decimal(trials - k) / Decimal(k + 1) * chance / (1 - chance)
    term *= (1 - chance) ** trials
    total, k = Decimal(0), hits
    while term > total * Decimal("1e-25"):
        total += term
        term *= Decimal(trials - k) / Decimal(k + 1) * chance / (1 - chance)
        k += 1

    assert tail_at_least(hits, trials, 0.001) == pytest.approx(float(total), rel=1e-6)


def test_half_of_ten_million_trials() -> None:
    """Symmetry holds where the fraction converges slowest."""
    trials = 10_000_001

    assert tail_at_least(5_000_001, trials, 0.5) == pytest.approx(0.5, abs=1e-6)
    assert tail_at_most(5_000_000, trials, 0.5) == pytest.approx(0.5, abs=1e-6)


def test_tails_at_the_ends() -> None:
    """Impossible and certain counts have tails 0 and 1."""
    assert tail_at_least(0, 5, 0.3) == 1.0
    assert tail_at_least(6, 5, 0.3) == 0.0
    assert tail_at_most(5, 5, 0.3) == 1.0
    assert tail_at_most(-1, 5, 0.3) == 0.0
    assert incomplete_beta(2, 3, 0.0) == 0.0
    assert incomplete_beta(2, 3, 1.0) == 1.0
    assert incomplete_beta(1, 1, 0.25) == pytest.approx(0.25)


@given(st.integers(1, 5000), st.data(), st.floats(1e-9, 0.2))
def test_bounds_are_where_the_tail_is_the_level(
    trials: int, data: st.DataObject, level: float
) -> None:
    """At a Clopper-Pearson bound the tail equals the level; beyond it is less."""
    hits = data.draw(st.integers(0, trials))

    low, high = lower_bound(hits, trials, level), upper_bound(hits, trials, level)

    assert 0.0 <= low <= hits / trials <= high <= 1.0
    if hits:
        assert tail_at_least(hits, trials, low) == pytest.approx(level, rel=1e-4)
    if hits < trials:
        assert tail_at_most(hits, trials, high) == pytest.approx(level, rel=1e-4)


def test_published_interval() -> None:
    """The 95 % interval of 10 in 100 is the textbook's 4.90 % to 17.62 %."""
    assert lower_bound(10, 100, 0.025) == pytest.approx(0.0490047, abs=1e-6)
    assert upper_bound(10, 100, 0.025) == pytest.approx(0.1762226, abs=1e-6)
    assert lower_bound(0, 100, 0.025) == 0.0
    assert upper_bound(100, 100, 0.025) == 1.0
