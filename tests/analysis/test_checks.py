"""SLOs become checks with public ids and parts of one alpha."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.analysis.checks import CAP_STALL, checks_of, gross, slo_id
from proxy.model.judging import DEFAULT_GUARD, Slo

SLOS = (
    Slo("latency", quantile=0.99, max=0.5),
    Slo("latency", quantile=0.99, max_ratio=1.1),
    Slo("error_rate", max=0.01),
    Slo("error_rate", max_ratio=1.25, route="each"),
    Slo("orders", min_ratio=0.9),
    DEFAULT_GUARD,
)


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
        (Slo("orders", min_ratio=0.95), "orders-min_ratio"),
        (DEFAULT_GUARD, "client_error_rate-delta"),
    ],
)
def test_public_ids(slo: Slo, expected: str) -> None:
    """Ids are those of the contract."""
    assert slo_id(slo) == expected


def test_a_latency_ratio_protects_the_body_too() -> None:
    """p50 and p90 are judged with p99, and all three share alpha."""
    checks = checks_of((Slo("latency", quantile=0.99, max_ratio=1.1),), ("",))

    assert [check.id for check in checks] == [
        "latency-p99-ratio",
        "latency-p50-ratio",
        "latency-p90-ratio",
    ]
    assert sum(check.part for check in checks) == pytest.approx(1.0)


def test_only_judges_its_own_quantile() -> None:
    """``only: true`` leaves p50 and p90 out."""
    slos = (Slo("latency", quantile=0.99, max_ratio=1.1, only=True),)

    assert [check.id for check in checks_of(slos, ("",))] == ["latency-p99-ratio"]


def test_what_the_file_says_itself_wins() -> None:
    """An own p50 ratio is not judged a second time with another limit."""
    slos = (
        Slo("latency", quantile=0.99, max_ratio=1.1),
        Slo("latency", quantile=0.5, max_ratio=1.3, only=True),
    )

    checks = checks_of(slos, ("",))

    assert [check.ratio for check in checks if check.id == "latency-p50-ratio"] == [1.3]


def test_routes_share_one_alpha() -> None:
    """``each`` judges every route with a part of what one SLO has."""
    each = Slo("error_rate", max_delta=0.01, route="each")
    named = Slo("latency", quantile=0.99, max=0.5, route="GET /b")

    checks = checks_of((each, named), ("", "GET /a", "GET /b"))

    assert [check.route for check in checks] == ["GET /a", "GET /b", "GET /b"]
    assert [check.part for check in checks] == pytest.approx([0.25, 0.25, 0.5])


def test_an_absolute_limit_leaves_worse_to_the_relative_one() -> None:
    """Beside a relative limit of the same figure it has little of key 1."""
    absolute = Slo("error_rate", max=0.01)
    relative = Slo("error_rate", max_ratio=1.25, max_delta=0.0005)
    other = Slo("latency", quantile=0.99, max=0.5)

    checks = checks_of((absolute, relative, other), ("",))

    assert [check.part_worse for check in checks] == pytest.approx(
        [1 / 17, 8 / 17, 8 / 17]
    )
    assert [check.part for check in checks] == pytest.approx([0.2, 0.4, 0.4])


@given(st.lists(st.sampled_from(SLOS), min_size=1, max_size=6))
def test_parts_sum_to_one(slos: list[Slo]) -> None:
    """Whatever is asked at once, the chance of a false alarm is one alpha."""
    checks = checks_of(tuple(slos), ("", "GET /a", "GET /b"))

    assert sum(check.part for check in checks) == pytest.approx(1.0)
    assert sum(check.part_worse for check in checks) == pytest.approx(1.0)
    assert len({(check.id, check.route) for check in checks}) == len(checks)


def test_only_gross_faults_count_while_warming_up() -> None:
    """Absolute limits are off; relative ones are wide, never narrower."""
    checks = gross(
        checks_of(
            (
                Slo("error_rate", max=0.01),
                Slo("ttfb", quantile=0.99, max_ratio=1.1),
                Slo("error_rate", max_delta=0.001),
                Slo("error_rate", codes=("5xx",), max_ratio=3.0, max_delta=0.5),
                Slo("orders", min_ratio=0.95),
            ),
            ("",),
        )
    )

    assert [check.judged for check in checks] == [False, True, True, True, False]
    assert checks[1].ratio == 5.0
    assert (checks[2].ratio, checks[2].delta) == (2.0, 0.05)
    assert (checks[3].ratio, checks[3].delta) == (3.0, 0.5)


def test_a_stall_of_the_canary_gives_a_tail_little() -> None:
    """One pause makes many answers slow at once: they are no many witnesses."""
    limit, ratio, middle, high = checks_of(
        (
            Slo("latency", quantile=0.99, max=0.5),
            Slo("latency", quantile=0.99, max_ratio=1.1),
        ),
        ("",),
    )

    for check in (limit, ratio, high):
        assert check.cap_of(10, 40) == check.cap
        assert check.cap_of(11, 40) == CAP_STALL < check.cap
        assert check.cap_of(1, 2) == check.cap
    assert middle.cap_of(40, 40) == middle.cap


def test_a_stall_gives_rates_what_it_gave() -> None:
    """A quarter of all answers failing is no pause."""
    (check,) = checks_of((Slo("error_rate", max_ratio=1.25),), ("",))

    assert check.cap_of(20, 20) == check.cap
