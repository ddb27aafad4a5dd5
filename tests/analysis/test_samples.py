"""Sparse counts read as samples: codes, tails, quantiles and their bounds."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.analysis.samples import (
    Samples,
    Times,
    allowed,
    classifier,
    finished,
    first_bucket_above,
    high_edge_s,
    low_edge_s,
    middle_s,
    rate_of,
    seen,
)
from proxy.analysis.values import Window
from proxy.model.buckets import BUCKET_COUNT, bucket_of, lower_edge_us
from proxy.model.vocabulary import FLAG_CODE_BASE, Flag
from tests.support.samples import buckets, lognormal_ms, window

CODES = {
    200: 90,
    404: 4,
    503: 3,
    FLAG_CODE_BASE + Flag.UT: 2,
    FLAG_CODE_BASE + Flag.DC: 9,
}


def test_what_the_client_caused_is_no_outcome() -> None:
    """A client that hangs up is neither an error nor a request."""
    outcomes = Window(codes=CODES, ages={10: 5})

    assert finished(outcomes) == 99
    assert seen(outcomes) == 104


@pytest.mark.parametrize(
    ("metric", "codes", "bad"),
    [
        ("error_rate", (), 5),
        ("error_rate", ("5xx", "404"), 9),
        ("error_rate", ("404",), 6),
        ("client_error_rate", (), 4),
    ],
)
def test_rates_by_codes(metric: str, codes: tuple[str, ...], bad: int) -> None:
    """An SLO's codes say what an error is; no answer at all always is one."""
    rate = rate_of(Window(codes=CODES), classifier(metric, codes))

    assert (rate.bad, rate.total) == (bad, 99)
    assert rate.value == pytest.approx(bad / 99)


def test_no_requests_have_no_rate() -> None:
    """Nothing seen is unknown, not zero."""
    assert rate_of(Window(), classifier("error_rate", ())).value is None


def test_late_requests_count_up_to_their_age() -> None:
    """A request in flight is slower than what it is older than, and nothing else."""
    times = Times(buckets([10, 20, 30]), buckets([25]), buckets([5, 40]))

    assert times.slower(bucket_of(1_000)) == (6, 6)
    assert times.slower(bucket_of(15_000)) == (4, 5)
    assert times.slower(bucket_of(35_000)) == (1, 4)
    assert times.slower(bucket_of(90_000)) == (0, 3)
    assert not times.empty
    assert Times({}).empty


@given(
    st.lists(st.integers(1, 10**7), min_size=1, max_size=300),
    st.sampled_from([0.5, 0.9, 0.99]),
)
def test_quantile_is_the_order_statistic(values_us: list[int], quantile: float) -> None:
    """The bucket holds the smallest value with at most 1 - q above it."""
    counts: dict[int, int] = {}
    for value in values_us:
        counts[bucket_of(value)] = counts.get(bucket_of(value), 0) + 1
    ordered = sorted(values_us)
    rank = len(ordered) - allowed(quantile, len(ordered))

    assert Times(counts).quantile_bucket(quantile) == bucket_of(ordered[rank - 1])


def test_bounds_cover_the_true_quantile() -> None:
    """Order-statistic bounds miss a known median no more often than their level."""
    random = Random(7)  # noqa: S311 - a seeded simulation
    missed_low = missed_high = 0
    for _ in range(300):
        times = Times(buckets(lognormal_ms(random, 60, 100.0, 0.5)))
        low, high = times.lower_bucket(0.5, 0.05), times.upper_bucket(0.5, 0.05)
        missed_low += low is not None and lower_edge_us(low) > 100_000
        missed_high += high is not None and lower_edge_us(high + 1) < 100_000

    assert missed_low <= 300 * 0.05 * 1.6
    assert missed_high <= 300 * 0.05 * 1.6


def test_too_few_answers_bound_nothing() -> None:
    """Ten answers say nothing about how slow p99 may be."""
    times = Times(buckets([100.0] * 10))

    assert times.upper_bucket(0.99, 0.05) is None
    assert Times(buckets([100.0])).lower_bucket(0.5, 0.01) is None
    assert low_edge_s(None) is None
    assert high_edge_s(None) is None
    assert high_edge_s(BUCKET_COUNT - 1) is None


def test_edges_in_seconds() -> None:
    """A bucket's figure lies within its edges, which are within 1.6 %."""
    bucket = bucket_of(123_456)
    low, high = low_edge_s(bucket), high_edge_s(bucket)

    assert low is not None
    assert high is not None
    assert low <= middle_s(bucket) <= high <= low * 1.016


@given(st.integers(1, 10**9))
def test_a_limit_is_rounded_up_to_a_bucket(limit_us: int) -> None:
    """Only what is certainly not faster than the limit counts as slower."""
    bucket = first_bucket_above(limit_us / 1e6)

    assert lower_edge_us(bucket) >= limit_us
    assert lower_edge_us(bucket - 1) < limit_us


def test_windows_are_sorted_once_a_tick() -> None:
    """Checks of one tick share the sorted times of a window and metric."""
    samples = Samples()
    arm = window([10.0, 20.0], ages_ms=[500.0])

    assert samples.of("latency", arm) is samples.of("latency", arm)
    assert samples.of("ttfb", arm).buckets != samples.of("latency", arm).buckets
