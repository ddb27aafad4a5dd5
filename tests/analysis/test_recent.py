"""Recent times: thresholds near their quantile, figures within a group, fading."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.analysis.recent import (
    BASELINE_MIN,
    DENSE,
    Figures,
    faded,
    tolerated,
    with_added,
)
from proxy.analysis.samples import Times
from proxy.model.buckets import BUCKET_COUNT, bucket_of, lower_edge_us
from tests.support.samples import buckets, lognormal_ms

times_ms = st.lists(st.floats(0.05, 30_000.0), min_size=40, max_size=200)


def test_a_threshold_leaves_about_its_share_above() -> None:
    """At p99 about one of a hundred of stable's answers is slower."""
    random = Random(1)  # noqa: S311 -- a simulation
    counts = buckets(lognormal_ms(random, 20_000, 80.0, 0.6))
    figures = Figures(with_added({}, Times(counts)))

    for quantile in (0.5, 0.9, 0.99):
        at = figures.threshold(quantile)
        above = sum(n for bucket, n in counts.items() if bucket >= at) / 20_000
        assert above == pytest.approx(1 - quantile, rel=0.2)


def test_equal_times_are_never_above_their_own_threshold() -> None:
    """Of two edges equally near the upper one is taken."""
    figures = Figures(with_added({}, Times({bucket_of(100_000): 100})))

    for quantile in (0.5, 0.99):
        assert figures.threshold(quantile) > bucket_of(100_000)


def test_few_answers_give_no_threshold() -> None:
    """A quantile of a handful is its maximum and nothing else."""
    figures = Figures(with_added({}, Times({700: int(BASELINE_MIN) - 1})))

    assert figures.threshold(0.5) == -1
    assert Figures({}).quantile_s(0.5) is None
    assert Figures({}).bounds_s(0.5) == (None, None)


@given(times_ms)
def test_a_quantile_is_right_to_a_group(times: list[float]) -> None:
    """Figures are off by 3.2 % at most, whatever the times."""
    figures = Figures(with_added({}, Times(buckets(times))))

    shown_s = figures.quantile_s(0.5)

    ordered = sorted(times)
    low, high = ordered[(len(times) - 1) // 2], ordered[len(times) // 2]
    assert shown_s is not None
    assert low * 0.968 - 0.003 <= shown_s * 1000 <= high * 1.032 + 0.003


@given(times_ms)
def test_bounds_hold_the_quantile(times: list[float]) -> None:
    """What is shown lies inside its interval."""
    figures = Figures(with_added({}, Times(buckets(times))))

    low, high = figures.bounds_s(0.5)

    middle = figures.quantile_s(0.5)
    assert middle is not None
    assert (low or 0.0) <= middle <= (high or 1e9)


def test_answers_fade() -> None:
    """Half after a minute, nothing after ten, and lone ones are dropped."""
    assert faded({40: 8.0, 41: 0.03}, 60.0) == {40: 4.0}
    assert faded({40: 8.0}, 600.0) == {}
    assert faded({40: 8.0}, 0.0) == {40: 8.0}


@given(st.integers(0, BUCKET_COUNT), st.floats(0.5, 6.0), st.floats(0.0, 1.0))
def test_the_tolerance_is_rounded_up(bucket: int, ratio: float, delta_s: float) -> None:
    """A canary at the tolerance is never beyond it."""
    at = tolerated(bucket, ratio, delta_s)

    edge_us = lower_edge_us(min(bucket, BUCKET_COUNT - 1))
    limit_us = edge_us * ratio + delta_s * 1e6
    assert bucket <= at <= BUCKET_COUNT
    if at < BUCKET_COUNT:
        assert lower_edge_us(at) >= limit_us - 1e-3


def test_nothing_added_is_the_same_histogram() -> None:
    """Only what came is counted, a group each two buckets."""
    recent = with_added({}, Times(Counter([10, 11, 12])))

    assert recent == {5: 2.0, 6: 1.0}
    assert with_added(recent, Times({})) is recent


def test_a_crowded_second_is_thinned_and_keeps_its_quantiles() -> None:
    """Tens of thousands of answers cost no more than some hundred points."""
    random = Random(2)  # noqa: S311 -- a simulation
    counts = buckets(lognormal_ms(random, 40_000, 80.0, 1.2))
    assert len(counts) > DENSE

    whole = Figures(with_added({}, Times(counts)))

    assert whole.total == pytest.approx(40_000)
    for quantile in (0.5, 0.9, 0.99):
        at = whole.threshold(quantile)
        above = sum(n for bucket, n in counts.items() if bucket >= at) / 40_000
        assert above == pytest.approx(1 - quantile, rel=0.1)
