"""SLOs become checks with public ids and parts of one alpha."""

import pytest

from proxy.analysis.checks import checks_of, gross, slo_id
from proxy.model.judging import DEFAULT_GUARD, Slo


@pytest.mark.parametrize(
    ("slo", "expected"),
    [
        (Slo("latency", quantile=0.99, max_ratio=1.1), "latency-p99-ratio"),
        (Slo("latency", quantile=0.999, max=0.5), "latency-p99.9-max"),
        (Slo("ttfb", quantile=0.5, max_delta=0.1), "ttfb-p50-delta"),
        (Slo("error_rate", max=0.01), "error_rate-max"),
        (Slo("error_rate", max_ratio=1.25, max_delta=0.0005), "error_rate-ratio"),
        (Slo("error_rate", max=0.01, codes=("5xx", "404")), "error_rate-5xx+404-max"),
        (Slo("error_rate", max=0.01, route="GET /a"), "error_rate-max@GET /a"),
        (Slo("error_rate", max=0.01, route="each"), "error_rate-max@each"),
        (DEFAULT_GUARD, "client_error_rate-delta"),
    ],
)
def test_public_ids(slo: Slo, expected: str) -> None:
    """Ids are those of the contract."""
    assert slo_id(slo) == expected


def test_a_latency_ratio_protects_the_body_too() -> None:
    """p50 and p90 are judged with p99, and all three share its part of alpha."""
    checks = checks_of([Slo("latency", quantile=0.99, max_ratio=1.1)], [""])

    assert [check.id for check in checks] == [
        "latency-p99-ratio",
        "latency-p50-ratio",
        "latency-p90-ratio",
    ]
    assert sum(check.share for check in checks) == pytest.approx(1.0)


def test_only_judges_its_own_quantile() -> None:
    """``only: true`` leaves p50 and p90 out."""
    checks = checks_of([Slo("latency", quantile=0.99, max_ratio=1.1, only=True)], [""])

    assert [check.id for check in checks] == ["latency-p99-ratio"]


def test_what_the_file_says_itself_wins() -> None:
    """An own p50 ratio is not judged a second time with another limit."""
    slos = [
        Slo("latency", quantile=0.99, max_ratio=1.1),
        Slo("latency", quantile=0.5, max_ratio=1.3, only=True),
    ]

    checks = {check.id: check for check in checks_of(slos, [""])}

    assert checks["latency-p50-ratio"].ratio == 1.3
    assert sum(check.share for check in checks.values()) <= 1.0


def test_routes_share_one_alpha() -> None:
    """``each`` judges every route with a part of one SLO's alpha."""
    each = Slo("error_rate", max_delta=0.01, route="each")
    named = Slo("error_rate", max=0.01, route="GET /b")

    checks = checks_of([each, named], ["", "GET /b", "GET /a"])

    assert checks[0].routes == ("GET /a", "GET /b")
    assert checks[0].share == pytest.approx(0.25)
    assert checks[1].routes == ("GET /b",)
    assert not checks[1].everywhere


def test_only_gross_faults_count_while_warming_up() -> None:
    """Absolute limits are off; relative ones are wide, never narrower."""
    absolute, ratio, rate, wide = checks_of(
        [
            Slo("error_rate", max=0.01),
            Slo("ttfb", quantile=0.99, max_ratio=1.1),
            Slo("error_rate", max_delta=0.001),
            Slo("error_rate", codes=("5xx",), max_ratio=3.0, max_delta=0.5),
        ],
        [""],
    )

    assert not gross(absolute).judged
    assert gross(ratio).ratio == 5.0
    assert (gross(rate).ratio, gross(rate).delta) == (2.0, 0.05)
    assert (gross(wide).ratio, gross(wide).delta) == (3.0, 0.5)
