"""What a plan needs, and what no evidence could decide."""

from math import inf

import pytest

from proxy.analysis import (
    DEFAULT_GUARD,
    Slo,
    min_requests_auto,
    needed_requests,
    parts_of,
    why_undecidable,
)


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
        ([Slo("error_rate", max=0.0)], 299),
    ],
)
def test_auto_follows_the_strictest_target(slos: list[Slo], expected: int) -> None:
    """299 for 99 %, 2995 for 99.9 %, within its bounds."""
    assert min_requests_auto(slos) == expected


@pytest.mark.parametrize(
    ("slo", "why"),
    [
        (Slo("latency", quantile=0.99, max=0.5), ""),
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


def test_requests_until_a_regression_is_told() -> None:
    """Errors of 0.1 % that become 1 %: about 600 canary requests, as derived."""
    slo = Slo("error_rate", max_ratio=1.25, max_delta=0.0005)

    needed = needed_requests(slo, stable=0.001, canary=0.01, share=0.05, parts=6)

    assert 550 < needed < 800


def test_a_larger_fault_needs_fewer_and_none_is_never_told() -> None:
    """Within the limit nothing is ever proven, however much comes."""
    slo = Slo("error_rate", max_ratio=1.25)
    rates = [0.03, 0.05, 0.2, 1.0]

    needed = [
        needed_requests(slo, stable=0.01, canary=rate, share=0.2) for rate in rates
    ]

    assert needed == sorted(needed, reverse=True)
    assert needed_requests(slo, stable=0.01, canary=0.0124, share=0.2) == inf
    assert needed_requests(slo, stable=0.01, canary=0.5, share=1.0) == inf


def test_every_kind_of_limit_is_planned_for() -> None:
    """Absolute limits from the worse of limit and stable; quantiles by exceedance."""
    absolute = Slo("error_rate", max=0.02)
    tail = Slo("latency", quantile=0.99, max_ratio=1.1)
    orders = Slo("orders", min_ratio=0.95)

    assert needed_requests(absolute, stable=0.001, canary=0.019, share=0.1) == inf
    assert needed_requests(absolute, stable=0.001, canary=0.1, share=0.1) < 200
    assert needed_requests(absolute, stable=0.2, canary=0.1, share=0.1) == inf
    assert needed_requests(tail, stable=0.01, canary=0.05, share=0.1) < 300
    few = needed_requests(orders, stable=0.1, canary=0.05, share=0.2)
    fewer = needed_requests(orders, stable=0.1, canary=0.01, share=0.2)
    assert fewer < few < 2000
    assert needed_requests(orders, stable=0.1, canary=0.1, share=0.2) == inf


def test_each_check_knows_its_part() -> None:
    """Three quantiles, a rate and the guard: a quarter weighs the guard."""
    slos = (
        Slo("latency", quantile=0.99, max_ratio=1.1),
        Slo("error_rate", max=0.01),
        DEFAULT_GUARD,
    )

    assert parts_of(slos[1], slos) == 5
    assert parts_of(slos[2], slos) == 17
    assert parts_of(Slo("orders", min_ratio=0.9), slos) == 1
