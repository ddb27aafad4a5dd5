"""Key 1 is exact: held against sums of whole numbers."""

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.analysis.comparison import worse_p

counts = st.integers(0, 40)


@given(counts, counts, counts, counts)
def test_equals_the_exact_hypergeometric_tail(
    canary_bad: int, canary_good: int, stable_bad: int, stable_good: int
) -> None:
    """The p-value is the exact tail, and 1 where the canary is not worse."""
    canary_all, stable_all = canary_bad + canary_good, stable_bad + stable_good
    bad, everything = canary_bad + stable_bad, canary_all + stable_all

    found = worse_p(canary_bad, canary_all, stable_bad, stable_all)

    if canary_bad * stable_all <= stable_bad * canary_all or not stable_all:
        assert found == 1.0
        return
    tail = sum(
        comb(bad, k) * comb(everything - bad, canary_all - k)
        for k in range(canary_bad, min(bad, canary_all) + 1)
    )
    assert found == pytest.approx(tail / comb(everything, canary_all), rel=1e-9)


def test_no_more_than_alpha_by_exact_enumeration() -> None:
    """Alike arms give p ≤ level in at most that part of all assignments."""
    bad, canary_all, everything = 12, 30, 100
    for level in (0.2, 0.05, 0.01, 0.001):
        reached = sum(
            comb(bad, k) * comb(everything - bad, canary_all - k)
            for k in range(bad + 1)
            if worse_p(k, canary_all, bad - k, everything - canary_all) <= level
        )

        assert reached / comb(everything, canary_all) <= level


def test_ten_million_requests() -> None:
    """Large counts give a sensible figure and not an overflow."""
    assert 0.0 < worse_p(10_900, 10_000_000, 10_000, 10_000_000) < 1e-8
    assert worse_p(10_000, 10_000_000, 10_000, 10_000_000) == 1.0


def test_the_precedence_test_is_the_same_tail() -> None:
    """With r stable answers below a threshold it equals the negative one's tail."""
    canary_all, stable_all, rank, beyond = 10, 10, 6, 7
    exact = sum(
        comb(rank - 1 + canary_all - k, canary_all - k) * comb(stable_all - rank + k, k)
        for k in range(beyond, canary_all + 1)
    ) / comb(stable_all + canary_all, stable_all)

    found = worse_p(beyond, canary_all, stable_all - rank, stable_all)

    assert found == pytest.approx(exact)
