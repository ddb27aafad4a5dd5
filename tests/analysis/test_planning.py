"""What a plan needs, and what no evidence could decide."""

import pytest

from proxy.analysis import DEFAULT_GUARD, Slo, min_requests_auto, why_undecidable


@pytest.mark.parametrize(
    ("slos", "expected"),
    [
        ([Slo("latency", quantile=0.99, max=0.5)], 299),
        ([Slo("latency", quantile=0.999, max_ratio=1.1)], 2995),
        ([Slo("error_rate", max=0.01), DEFAULT_GUARD], 299),
        ([Slo("error_rate", max=0.001)], 2995),
        ([Slo("error_rate", max=0.005)], 598),
        ([Slo("error_rate", max_ratio=1.25, max_delta=0.0005)], 299),
        ([], 299),
        ([Slo("latency", quantile=0.5, max_ratio=1.1)], 50),
        ([Slo("latency", quantile=1.0 - 1e-9, max=1.0)], 1_000_000),
        ([Slo("latency", quantile=1.0, max=1.0)], 1_000_000),
    ],
)
def test_auto_follows_the_strictest_target(slos: list[Slo], expected: int) -> None:
    """299 for 99 %, 2995 for 99.9 %, within its bounds."""
    assert min_requests_auto(slos) == expected


@pytest.mark.parametrize(
    ("slo", "why"),
    [
        (Slo("latency", quantile=0.99, max=0.5), ""),
        (Slo("latency", quantile=1.0, max=0.5), "quantile 1.0 has no value"),
        (Slo("latency", quantile=None, max=0.5), "quantile None has no value"),
        (Slo("latency", quantile=0.9, max=3600.0), "beyond what is measured"),
        (Slo("error_rate", max=1.0), "max 100% is never exceeded"),
        (Slo("error_rate", max=0.0), ""),
        (Slo("error_rate", max_delta=1.0), "max_delta 100% is never exceeded"),
        (Slo("error_rate", max_ratio=1.2), ""),
    ],
)
def test_limits_that_nothing_can_break_are_named(slo: Slo, why: str) -> None:
    """A limit outside what can be measured is detected, others are not."""
    found = why_undecidable(slo)

    assert (found == "") == (why == "")
    assert why in found
