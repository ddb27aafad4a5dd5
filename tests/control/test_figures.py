"""Live figures: quantiles and shares that say nothing where nothing was seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.figures import (
    NOTHING,
    Window,
    error_rate_of,
    quantile,
    quantiles_of,
    rate_of,
    shares_of,
)
from proxy.model.buckets import bucket_of
from proxy.model.vocabulary import FLAG_CODE_BASE


def window(routed: int) -> Window:
    """Return ten seconds with so many routed requests."""
    return Window(10.0, routed, {}, {}, {}, {})


def test_nothing_is_none() -> None:
    """No data is never shown as zero."""
    assert quantiles_of({}) == {"p50": None, "p90": None, "p99": None}
    assert error_rate_of({}) is None
    assert rate_of(NOTHING) is None
    assert shares_of({"a": window(0), "b": window(0)}) == {"a": None, "b": None}


def test_shares_are_of_what_was_routed() -> None:
    """They sum to one."""
    assert shares_of({"a": window(75), "b": window(25)}) == {"a": 0.75, "b": 0.25}


def test_errors_are_5xx_and_missing_answers() -> None:
    """A 404 is no error of the version."""
    codes = {200: 90, 404: 5, 503: 3, FLAG_CODE_BASE: 2}

    assert error_rate_of(codes) == 0.05


@given(
    st.lists(st.integers(1, 10_000_000), min_size=1, max_size=200),
    st.sampled_from([0.5, 0.9, 0.99]),
)
def test_quantile_is_within_a_bucket_of_the_exact_one(
    values_us: list[int], fraction: float
) -> None:
    """The histogram's width, 1.6 %, is all that is lost."""
    counts: dict[int, int] = {}
    for value in values_us:
        bucket = bucket_of(value)
        counts[bucket] = counts.get(bucket, 0) + 1
    rank = -(-len(values_us) * round(fraction * 100) // 100)
    exact_s = sorted(values_us)[rank - 1] / 1e6

    assert quantile(counts, fraction) == pytest.approx(exact_s, rel=0.016, abs=2e-6)
