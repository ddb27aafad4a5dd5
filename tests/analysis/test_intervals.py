"""Intervals: they hold the truth as often as they say, looked at all the time."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from proxy.analysis.intervals import (
    CLASSES_MAX,
    Odds,
    rate_interval,
    ratio_interval,
    with_odds,
)


def test_a_ratio_of_two_is_held_while_weights_and_load_change() -> None:
    """Of sixty runs, looked at all along, only a few ever exclude the truth."""
    missed = 0
    widths = []
    for seed in range(60):
        random = Random(seed)  # noqa: S311 -- a simulation
        odds: Odds = {}
        excluded = False
        for second in range(120):
            n_c = 20 if second < 60 else 100
            n_b = 380 if second < 60 else 300
            load = 0.01 * (1 + second % 7)
            k_c = sum(random.random() < 2 * load for _ in range(n_c))
            k_b = sum(random.random() < load for _ in range(n_b))
            odds = with_odds(odds, (k_c, n_c, k_b, n_b, k_c, n_c))
            if second % 30 == 29:
                bounds = ratio_interval(odds)
                assert bounds is not None
                low, high = bounds
                excluded |= low > 2.0 or (high is not None and high < 2.0)
        missed += excluded
        last = ratio_interval(odds)
        assert last is not None
        widths.append((last[1] or 1000.0) / max(last[0], 0.001))

    assert missed <= 6
    assert sorted(widths)[30] < 2.5


def test_nothing_bad_is_no_interval() -> None:
    """Without an event no ratio is known; without stable's it has no end."""
    assert ratio_interval(with_odds({}, (0, 50, 0, 50, 0, 50))) is None
    assert with_odds({}, (5, 50, 0, 0, 5, 50)) == {}
    bounds = ratio_interval(with_odds({}, (40, 50, 0, 950, 40, 50)))
    assert bounds is not None
    low, high = bounds
    assert low > 10.0
    assert high is None


def test_a_canary_without_failures_is_bounded_from_above_only() -> None:
    """Stable fails and the canary does not: the ratio may be 0."""
    bounds = ratio_interval(with_odds({}, (0, 500, 60, 500, 0, 500)))

    assert bounds is not None
    low, high = bounds
    assert low == 0.0
    assert high is not None
    assert high < 0.5


def test_classes_are_bounded() -> None:
    """A block of unusual odds joins the nearest class; no event is lost."""
    odds: Odds = {}
    for place in range(CLASSES_MAX + 40):
        odds = with_odds(odds, (1, 10 + 9 * place**2, 1, 1000, 1, 10))

    assert len(odds) <= CLASSES_MAX
    assert sum(both for _, both in odds.values()) == 2 * (CLASSES_MAX + 40)


@given(st.integers(0, 400), st.integers(1, 400))
def test_a_rate_lies_in_its_interval(bad: int, more: int) -> None:
    """Both ends are rates, and the figure is between them."""
    low, high = rate_interval(bad, bad + more)

    assert 0.0 <= low <= bad / (bad + more) <= high <= 1.0


def test_rates_at_the_ends() -> None:
    """No request says nothing; all bad says nothing of the upper side."""
    assert rate_interval(0, 0) == (0.0, 1.0)
    low, high = rate_interval(50, 50)
    assert high == 1.0
    assert low > 0.8
