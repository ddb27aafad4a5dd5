"""What a plan can do at a rate: times, requests, and what it can never decide."""

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.forecast import Assumed, Forecast, SloForecast, forecast
from proxy.model.external import ExternalMetric
from proxy.model.judging import DEFAULT_GUARD, JudgePlan, Safety, Slo
from proxy.rollout.plan import Bake, Ring, RolloutPlan, Step

SLOS = (
    Slo("latency", quantile=0.99, max_ratio=1.10),
    Slo("error_rate", max=0.01),
    DEFAULT_GUARD,
)


def plan_of(*weights: float, slos: tuple[Slo, ...] = SLOS) -> RolloutPlan:
    """Return a plan of steps of 60 s that need 299 requests."""
    steps = tuple(Step(weight) for weight in weights)
    return RolloutPlan("stable", "canary", steps, JudgePlan(slos))


PLAN = plan_of(20, 40, 60, 80, 100)


def of(found: Forecast, slo: str) -> SloForecast:
    """Return what is forecast of one SLO."""
    return next(one for one in found.slos if one.id == slo)


def test_time_and_exposure_add_up() -> None:
    """At 50 requests/s the clock decides; at 1 the requests do."""
    quick, slow = forecast(PLAN, Assumed(50.0)), forecast(PLAN, Assumed(1.0))

    assert [step.takes_s for step in quick.steps] == [60.0] * 4
    assert (quick.promoted_s, quick.exposed) == (240.0, 6000.0)
    # The first step's evidence begins after the warm-up of 20 s.
    assert slow.steps[0].takes_s == pytest.approx(20 + 299 / 0.2)
    assert slow.steps[3].takes_s == pytest.approx(299 / 0.8)


def test_detection_is_as_the_research_measured() -> None:
    """.1 % to 1 % errors, 5 % of 1 000 requests/s: about 35 s, 20 of them warm-up."""
    slo = Slo("error_rate", max_ratio=1.25, max_delta=0.0005)
    found = forecast(plan_of(5, 20, 100, slos=(slo,)), Assumed(1000.0))
    twice, five, every = of(found, "error_rate-ratio").detections

    assert twice.size == "0.35 % of the requests"
    assert five.size == "0.875 % of the requests"
    assert five.after_s == pytest.approx(35, abs=15)
    assert every.after_s == pytest.approx(20, abs=1)
    assert every.steps[0].requests < five.steps[0].requests < twice.steps[0].requests


def test_more_harm_is_found_sooner_and_exposes_fewer() -> None:
    """Every SLO, in the order of its sizes."""
    slos = (*SLOS, Slo("orders", min_ratio=0.95), Slo("latency", quantile=0.9, max=0.5))
    found = forecast(plan_of(20, 50, 100, slos=slos), Assumed(500.0))

    for slo in found.slos:
        after = [inf if one.after_s is None else one.after_s for one in slo.detections]
        assert after == sorted(after, reverse=True), slo.id
        seen = [inf if one.exposed is None else one.exposed for one in slo.detections]
        assert seen == sorted(seen, reverse=True), slo.id
    assert [one.size for one in of(found, "orders-min_ratio").detections] == [
        "14.5 % fewer",
        "43 % fewer",
        "none at all",
    ]


def test_a_step_that_can_never_pass_is_impossible() -> None:
    """299 requests at 1 % of 5 a second take longer than half an hour."""
    found = forecast(plan_of(1, 20, 100), Assumed(5.0))

    assert [one.step for one in found.impossible] == [0]
    assert "299 canary requests take 5980 s at 0.05 a second" in (
        found.impossible[0].message
    )


def test_an_slo_that_finds_nothing_is_impossible() -> None:
    """With a minute at 1 request/s the last orders are gone before it is told."""
    slo = Slo("orders", min_ratio=0.5)
    plan = plan_of(50, 100, slos=(slo,))
    plan = replace(plan, steps=(Step(50.0, min_requests=1), Step(100.0)))
    found = forecast(plan, Assumed(1.0, event_rate=0.001))

    assert [one.slo for one in found.impossible] == ["orders-min_ratio"]
    assert "even none at all needs about" in found.impossible[0].message


def test_what_is_missed_is_warned_of() -> None:
    """Small regressions go unseen at 5 requests/s, and that is said before."""
    found = forecast(PLAN, Assumed(5.0))

    assert any("20 % slower" in one for one in found.warnings)
    assert found.impossible == ()


def test_windows_hold_the_last_step() -> None:
    """No promotion before the longest window of a business metric has passed."""
    found = forecast(replace(PLAN, windows={"orders": (300.0, 1800.0)}), Assumed(50.0))

    assert [step.takes_s for step in found.steps] == [60.0, 60.0, 60.0, 1620.0]
    assert found.promoted_s == 1800.0


def test_external_metrics_take_their_time() -> None:
    """Three values above the limit, 30 s apart, after the warm-up."""
    metric = ExternalMetric("prometheus-max", "http://p", "q", 1.0, 30.0, 3)
    found = forecast(replace(PLAN, external=(metric,)), Assumed(50.0))
    (one,) = of(found, "prometheus-max").detections

    assert one.after_s == 110.0
    assert one.exposed == pytest.approx(60 * 10 + 50 * 20)


def test_a_plan_without_comparison_is_warned_of() -> None:
    """`steps: [100]` promotes first and looks afterwards."""
    found = forecast(plan_of(100), Assumed(50.0))

    assert found.steps == ()
    assert "nothing is compared" in found.warnings[-1]


@given(
    st.floats(0.01, 10_000.0),
    st.lists(st.integers(1, 99), min_size=1, max_size=6, unique=True).map(sorted),
    st.sampled_from(["each", "all", "GET /a"]),
)
def test_nothing_is_negative_or_nan(rps: float, weights: list[int], route: str) -> None:
    """Whatever the plan, figures are figures; more traffic never takes longer."""
    slos = (*SLOS, Slo("latency", quantile=0.9, max_ratio=1.5, route=route))
    plan = plan_of(*weights, 100, slos=slos)
    found = forecast(plan, Assumed(rps), ["GET /a", "GET /b"])
    faster = forecast(plan, Assumed(rps * 2), ["GET /a", "GET /b"])

    assert faster.promoted_s <= found.promoted_s + 1e-6
    for slo in found.slos:
        for one in slo.detections:
            assert one.after_s is None or 0.0 <= one.after_s <= found.promoted_s
            assert all(need.requests >= 0.0 for need in one.steps)


def test_a_preview_takes_its_time_and_nobody_sees_it() -> None:
    """`blue_green`: nothing is compared before 100 %, and nothing is impossible."""
    steps = (Step(0.0, min_duration_s=30.0), Step(100.0))
    found = forecast(replace(PLAN, steps=steps), Assumed(50.0))

    assert [step.takes_s for step in found.steps] == [30.0]
    assert (found.exposed, found.impossible) == (0.0, ())
    assert "nothing is compared" in found.warnings[0]


def test_the_bake_finds_what_the_steps_did_not() -> None:
    """Ten minutes at 99 %: later than promotion, and said so."""
    plan = replace(PLAN, steps=(Step(50.0), Step(100.0)), bake=Bake(600.0, 5.0))
    found = forecast(plan, Assumed(50.0))
    small = of(found, "error_rate-max").detections[0]

    assert found.bake_s == 600.0
    assert small.after_s is not None
    assert small.after_s > found.promoted_s


def test_what_is_not_known_is_said() -> None:
    """Rings and proofs of safety are beyond this arithmetic."""
    plan = replace(
        PLAN,
        steps=(Step(100.0, only=Ring(header={"x-env": "eu"})), Step(100.0)),
        judge=replace(PLAN.judge, safety=Safety.REQUIRE),
    )
    found = forecast(plan, Assumed(50.0))

    assert len(found.steps) == 1
    assert any("in its ring" in one for one in found.warnings)
    assert any("safety: require" in one for one in found.warnings)


def test_a_preview_is_none_of_the_files_steps() -> None:
    """`strategy: parallel`: the mistake is at the step that the file writes first."""
    steps = (Step(0.0), Step(1.0), Step(100.0))
    found = forecast(replace(PLAN, steps=steps), Assumed(5.0))

    assert [one.step for one in found.impossible if one.step is not None] == [0]
