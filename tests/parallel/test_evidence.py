"""The tests behind a verdict, against their definitions and by simulation."""

import math
import random
from fractions import Fraction

import pytest

from proxy.parallel import evidence


def exact_e(b: int, c: int) -> Fraction:
    """Return E by its definition, in whole numbers."""
    n = b + c
    below = sum(math.comb(n + 1, i) for i in range(b + 1))
    return Fraction(
        math.factorial(b) * math.factorial(c) * below, math.factorial(n + 1)
    )


@pytest.mark.parametrize(
    ("b", "c"), [(0, 0), (1, 0), (0, 1), (9, 0), (7, 0), (15, 2), (150, 90), (300, 250)]
)
def test_e_is_its_definition(b: int, c: int) -> None:
    """2^(n+1) b! c! / (n+1)! P(Bin(n+1, ½) ≤ b), also where the sum is long."""
    expected = math.log(exact_e(b, c))

    assert evidence.log_e_value(b, c) == pytest.approx(expected, abs=1e-3)


def test_known_flags_at_one_percent() -> None:
    """9-0 and 15-2 flag at α = 0.01; 7-0, 12-1 and 20-5 do not."""
    limit = math.log(100)

    assert all(evidence.log_e_value(*pair) >= limit for pair in ((9, 0), (15, 2)))
    assert all(
        evidence.log_e_value(*pair) < limit for pair in ((7, 0), (12, 1), (20, 5))
    )


@pytest.mark.parametrize(("b", "c"), [(0, 0), (3, 1), (1, 5), (40, 33)])
def test_e_is_a_martingale(b: int, c: int) -> None:
    """Under a fair coin the expected next value is the present one."""
    following = (exact_e(b + 1, c) + exact_e(b, c + 1)) / 2

    assert following == exact_e(b, c)


def test_thresholds_share_alpha() -> None:
    """Over any number of fields the chances allowed sum to α at most."""
    shares = [math.exp(-evidence.log_threshold(j, 0.01)) for j in range(1, 10_000)]

    assert 0.0099 < sum(shares) <= 0.01


def test_no_two_fields_share_a_place() -> None:
    """Quiet fields have the first places, noisy ones every third; each is used once."""
    quiet = [evidence.place_of(n, noisy=False) for n in range(1, 201)]
    noisy = [evidence.place_of(n, noisy=True) for n in range(1, 101)]

    assert quiet[:5] == [1, 2, 4, 5, 7]
    assert noisy[:3] == [3, 6, 9]
    assert sorted(quiet + noisy) == list(range(1, 301))


def test_rule_of_three() -> None:
    """0 misses in n pairs prove about 3/n; the pairs still missing are counted."""
    assert evidence.upper_bound(0, 1000, 0.05) == pytest.approx(0.0031, rel=0.05)
    assert evidence.upper_bound(0, 0, 0.05) == 1.0
    assert evidence.lower_bound(0, 1000, 0.05) == 0.0
    missing = evidence.pairs_missing(0, 100, 0.005, 0.05)
    assert missing is not None
    assert 500 <= missing <= 540
    assert not evidence.proves_below(0, 100 + missing - 1, 0.005, 0.05)
    assert evidence.proves_below(0, 100 + missing, 0.005, 0.05)
    assert evidence.pairs_missing(10**7, 10**7, 0.0001, 0.05) is None


@pytest.mark.parametrize(("misses", "pairs"), [(1, 100), (30, 3000), (500, 1000)])
def test_bounds_enclose_the_rate(misses: int, pairs: int) -> None:
    """The bounds lie on either side, and nearer with more of the same."""
    rate = misses / pairs
    low = evidence.lower_bound(misses, pairs, 0.05)
    high = evidence.upper_bound(misses, pairs, 0.05)

    assert low < rate < high
    assert low < evidence.lower_bound(misses * 10, pairs * 10, 0.05)
    assert evidence.upper_bound(misses * 10, pairs * 10, 0.05) < high


@pytest.mark.parametrize("rate", [0.002, 0.05, 0.5])
def test_bounds_hold_however_often_they_are_looked_at(rate: float) -> None:
    """In at most α of runs does any look put a bound on the wrong side."""
    chance = random.Random(7)  # noqa: S311
    runs, wrong_above, wrong_below = 200, 0, 0
    for _ in range(runs):
        misses = 0
        above = below = False
        for n in range(1, 1500):
            misses += chance.random() < rate
            if n % 10 == 0:
                above |= evidence.proves_below(misses, n, rate, 0.05)
                below |= evidence.proves_above(misses, n, rate, 0.05)
        wrong_above += above
        wrong_below += below

    # α = 5 % of 200 is 10; 20 would be three standard deviations more.
    assert wrong_above <= 19
    assert wrong_below <= 19
