"""The judge: looks, keys, what must never pass, what must, and what it says."""

import sys
import time
from dataclasses import replace
from random import Random

import pytest

from proxy.analysis import (
    DEFAULT_GUARD,
    Evidence,
    Judgement,
    JudgePlan,
    JudgeState,
    RouteEvidence,
    Slo,
    SloJudgement,
    Window,
    judge,
)
from proxy.analysis.judge import next_look
from proxy.model.vocabulary import Reason, Verdict
from tests.support.samples import errors, evidence, lognormal_ms, window

P99_RATIO = Slo("latency", quantile=0.99, max_ratio=1.10)
P99_MAX = Slo("latency", quantile=0.99, max=0.5)
ERROR_MAX = Slo("error_rate", max=0.01)
ERROR_RATIO = Slo("error_rate", max_ratio=1.25, max_delta=0.0005)
PLAN = JudgePlan(
    (P99_MAX, P99_RATIO, ERROR_MAX, ERROR_RATIO, DEFAULT_GUARD),
    min_requests=300,
    warmup_s=0.0,
)


def ask(
    seen: Evidence,
    plan: JudgePlan = PLAN,
    state: JudgeState | None = None,
    *,
    age_s: float = 60.0,
    rate_per_s: float = 40.0,
) -> Judgement:
    """Return the verdict on ``seen`` in the first step."""
    return judge(
        plan,
        state or JudgeState(),
        seen,
        step=1,
        step_age_s=age_s,
        rollout_age_s=age_s,
        rate_per_s=rate_per_s,
    )[1]


def slo(judgement: Judgement, slo_id: str) -> SloJudgement:
    """Return one SLO's row."""
    return next(found for found in judgement.slos if found.id == slo_id)


def spread(count: int, median_ms: float, seed: int = 1, sigma: float = 0.4) -> Window:
    """Return answers with a tail."""
    random = Random(seed)  # noqa: S311 - a seeded sample
    return window(lognormal_ms(random, count, median_ms, sigma))


# --- must never pass ---


@pytest.mark.parametrize("minimum", [1, 5, 10, 299])
def test_seven_slow_of_ten_never_pass(minimum: int) -> None:
    """[100×7, 1×3] against [1×10] passes Mann-Whitney, and must not pass here."""
    seen = evidence(window([100.0] * 7 + [1.0] * 3), window([1.0] * 10))
    for plan in (
        PLAN,
        replace(PLAN, slos=(P99_RATIO,)),
        replace(PLAN, slos=(replace(P99_RATIO, quantile=0.5, only=True),)),
    ):
        assert ask(seen, replace(plan, min_requests=minimum)).verdict != "pass"


@pytest.mark.parametrize("per_second", [5, 10, 50, 100])
def test_sparse_errors_against_none_never_pass(per_second: int) -> None:
    """[0, 1, 2, 1, 0, 0] errors against zeros must not pass."""
    seen = evidence(errors(6 * per_second, 4), errors(6 * per_second, 0))
    plan = replace(PLAN, slos=(ERROR_RATIO,), min_requests=6 * per_second)

    assert ask(seen, plan).verdict != "pass"


@pytest.mark.parametrize(
    ("canary", "stable"),
    [
        (Window(), Window()),
        (Window(), window([100.0] * 1000)),
        (window([100.0] * 1000), Window()),
    ],
)
def test_no_data_never_passes(canary: Window, stable: Window) -> None:
    """No canary, no control, no verdict."""
    found = ask(evidence(canary, stable))

    assert found.verdict is Verdict.UNDECIDED
    assert found.reason is Reason.NO_TRAFFIC


def test_one_error_in_three_is_undecided() -> None:
    """Three requests say nothing, and the sentence says how many would."""
    found = ask(evidence(errors(3, 1), errors(300, 0)))

    assert found.verdict is Verdict.UNDECIDED
    assert found.needed == 297
    assert found.message == (
        "step 1 needs about 297 more canary requests, about 8 s at this rate"
    )


def test_a_canary_that_answers_nothing_has_no_latency_to_pass_with() -> None:
    """Errors that no SLO judges still leave a latency SLO blind."""
    plan = replace(PLAN, slos=(P99_RATIO,))
    found = ask(evidence(window(codes={500: 400}), window([100.0] * 1600)), plan)

    assert found.verdict is Verdict.UNDECIDED
    assert found.message == "latency-p99-ratio has no answers to look at in step 1"


# --- must pass ---


def test_identical_data_pass() -> None:
    """The same answers on both arms are nobody's fault."""
    arm = spread(1200, 100.0)

    found = ask(evidence(arm, arm))

    assert found.verdict is Verdict.PASS
    assert found.reason is Reason.NONE
    assert {row.verdict for row in found.slos} == {Verdict.PASS}


def test_constant_equal_data_pass() -> None:
    """A mock that always takes the same time is no special case."""
    assert ask(evidence(window([20.0] * 400), window([20.0] * 900))).verdict == "pass"


def test_two_percent_slower_passes_a_margin_of_ten() -> None:
    """Within the tolerance is within the tolerance."""
    stable = [10.0 + n % 90 for n in range(1600)]
    canary = [1.02 * time_ms for time_ms in stable[:400]]

    assert ask(evidence(window(canary), window(stable))).verdict is Verdict.PASS


# --- must fail ---


def test_a_canary_that_is_slower_everywhere_fails() -> None:
    """30 % over a margin of 10 %, with a few thousand requests."""
    found = ask(evidence(spread(2500, 130.0), spread(10_000, 100.0, seed=2)))

    assert found.verdict is Verdict.FAIL
    assert found.reason is Reason.SLO_VIOLATED
    assert "latency-p50-ratio is violated: ratio 1.3" in found.message
    assert slo(found, "latency-p50-ratio").beyond


def test_a_slow_tail_fails_although_the_body_is_fine() -> None:
    """Two of a hundred that take ten times as long are seen at p99."""
    tail = [100.0] * 2940 + [1000.0] * 60
    found = ask(
        evidence(window(tail), window([100.0] * 12_000)),
        replace(PLAN, slos=(P99_RATIO,)),
    )

    assert found.verdict is Verdict.FAIL
    assert slo(found, "latency-p99-ratio").verdict is Verdict.FAIL
    assert slo(found, "latency-p50-ratio").verdict is Verdict.PASS


def test_errors_fail_against_both_kinds_of_limit() -> None:
    """5 % against 0.1 % breaks the absolute and the relative limit."""
    found = ask(evidence(errors(600, 30), errors(2400, 2)))

    assert found.verdict is Verdict.FAIL
    assert slo(found, "error_rate-max").verdict is Verdict.FAIL
    assert slo(found, "error_rate-ratio").verdict is Verdict.FAIL
    assert "canary 5 %, stable 0.0833 %" in found.message


def test_the_default_guard_sees_404s() -> None:
    """A canary that answers 404 to everyone is not healthy."""
    found = ask(
        evidence(errors(300, 300, code=404), errors(1200, 10, code=404)),
        replace(PLAN, slos=(DEFAULT_GUARD,)),
    )

    assert found.verdict is Verdict.FAIL


def test_hanging_requests_look_slow_and_not_silent() -> None:
    """In flight for longer than the threshold counts, without any answer."""
    canary = window([100.0] * 10, ages_ms=[4000.0] * 400)

    found = ask(evidence(canary, window([100.0] * 1600)))

    assert found.verdict is Verdict.FAIL
    assert slo(found, "latency-p99-max").verdict is Verdict.FAIL


# --- two keys ---


def test_worse_within_the_limit_does_not_fail() -> None:
    """The first key alone is not enough: 5 % slower is allowed."""
    stable = [50.0 + n % 100 for n in range(40_000)]
    canary = [1.05 * time_ms for time_ms in stable[:10_000]]

    found = ask(evidence(window(canary), window(stable)))

    worse = slo(found, "latency-p50-ratio").worse_p
    assert worse is not None
    assert worse < 1e-4
    assert found.verdict is Verdict.PASS


def test_both_beyond_an_absolute_limit_blame_nobody() -> None:
    """A dependency that slows both versions down holds the rollout."""
    found = ask(evidence(window([900.0] * 1000), window([900.0] * 4000)))

    assert found.verdict is Verdict.UNDECIDED
    assert found.message.startswith("both versions break latency-p99-max")
    assert found.needed == 200


def test_without_a_baseline_absolute_limits_stand_alone() -> None:
    """At 100 % nothing can be compared, and 900 ms are still beyond 500."""
    alone = evidence(window([900.0] * 1000), Window(), baseline=False)

    assert ask(alone).verdict is Verdict.FAIL
    assert ask(replace(alone, baseline=True)).verdict is not Verdict.FAIL


def test_without_a_baseline_absolute_rates_stand_alone() -> None:
    """The same for error rates; relative limits say nothing there."""
    plan = replace(PLAN, slos=(ERROR_MAX, ERROR_RATIO))
    bad = evidence(errors(400, 60), Window(), baseline=False)
    good = evidence(errors(400, 0), Window(), baseline=False)

    assert ask(bad, plan).verdict is Verdict.FAIL
    assert slo(ask(bad, plan), "error_rate-ratio").verdict is not Verdict.FAIL
    assert ask(good, plan).verdict is Verdict.PASS


# --- looks ---


def test_looks_double_and_halve_alpha() -> None:
    """1, 2, 4, 8 times min_requests; nothing is spent in between."""
    state, taken = JudgeState(), []
    for requests in range(100, 2500, 100):
        seen = evidence(window([100.0] * requests), window([100.0] * 4 * requests))
        state, found = judge(
            PLAN,
            state,
            seen,
            step=1,
            step_age_s=1.0,
            rollout_age_s=1.0,
            rate_per_s=1.0,
        )
        if found.look:
            taken.append(requests)

    assert taken == [300, 600, 1200, 2400]
    assert state.looks == 4
    assert next_look(PLAN, state) == 4800


def test_a_new_epoch_begins_counting_and_keeps_what_was_spent() -> None:
    """Each step looks at its own evidence; alpha is the whole rollout's."""
    arm = window([100.0] * 400)
    state = JudgeState()
    for epoch in (1, 2, 3):
        state, found = judge(
            PLAN,
            state,
            evidence(arm, arm, epoch=epoch),
            step=epoch,
            step_age_s=1.0,
            rollout_age_s=1.0,
            rate_per_s=1.0,
        )
        assert found.look == epoch

    assert state.looks == 3
    assert state.epoch_looks == 1


def test_a_cold_start_begins_counting_too() -> None:
    """Counters that begin at zero again are another epoch's, whatever its number."""
    state = JudgeState(looks=5, epoch=1, epoch_looks=4, epoch_requests=5000)
    arm = window([100.0] * 300)

    state, found = judge(
        PLAN,
        state,
        evidence(arm, arm),
        step=1,
        step_age_s=1.0,
        rollout_age_s=1.0,
        rate_per_s=1.0,
    )

    assert found.look == 6
    assert state.epoch_looks == 1


def test_between_looks_nothing_fails_but_suspicion_holds() -> None:
    """After a look the same state sees new harm only at the next one."""
    good, stable = window([100.0] * 300), window([100.0] * 4000)
    ages = {"step": 1, "step_age_s": 60.0, "rollout_age_s": 60.0, "rate_per_s": 9.0}
    state, first = judge(PLAN, JudgeState(), evidence(good, stable), **ages)  # type: ignore[arg-type]

    bad = window([100.0] * 300 + [2000.0] * 200)
    state, found = judge(PLAN, state, evidence(bad, stable), **ages)  # type: ignore[arg-type]

    assert first.verdict is Verdict.PASS
    assert found.verdict is Verdict.UNDECIDED
    assert found.look == 0
    assert found.needed == 100
    assert "latency-p99-max looks worse than its limit" in found.message
    row = slo(found, "latency-p99-ratio")
    assert row.interval == slo(first, "latency-p99-ratio").interval
    assert row.requests.needed == 100


# --- time ---


def test_a_step_needs_its_time() -> None:
    """Enough requests after 10 s of 60 are not enough."""
    found = ask(evidence(spread(400, 100.0), spread(400, 100.0)), age_s=10.0)

    assert found.verdict is Verdict.UNDECIDED
    assert found.message == "step 1 needs another 50 s"
    assert found.wait_s == 50.0
    assert found.needed == 0


def test_only_gross_faults_count_while_warming_up() -> None:
    """Three times slower is a cold cache, ten times is not."""
    plan = replace(PLAN, warmup_s=90.0)
    stable = spread(4000, 20.0)

    cold = ask(evidence(spread(1000, 60.0), stable), plan)
    gross = ask(evidence(spread(1000, 200.0), stable), plan)

    assert cold.verdict is Verdict.UNDECIDED
    assert cold.reason is Reason.WARM_UP
    assert cold.message == (
        "the canary warms up for another 30 s; only gross faults count"
    )
    assert gross.verdict is Verdict.FAIL


def test_without_traffic_nobody_knows_how_long() -> None:
    """A rate of 0 gives no time, and says so."""
    found = ask(evidence(spread(10, 100.0), spread(900, 100.0)), rate_per_s=0.0)

    assert found.wait_s is None
    assert found.message.endswith("; none are coming at present")


# --- routes ---


def test_the_worst_route_is_named() -> None:
    """A route with few requests that hangs is found among healthy ones."""
    fine = window([100.0] * 3000)
    slow = window([100.0] * 20 + [5000.0] * 40)
    each = Slo("latency", quantile=0.99, max_ratio=1.2, route="each")
    routes = {
        "GET /a": RouteEvidence(fine, fine),
        "POST /b": RouteEvidence(window([100.0] * 2400), slow),
    }

    found = ask(evidence(fine, fine, routes=routes), replace(PLAN, slos=(each,)))

    assert found.verdict is Verdict.FAIL
    assert slo(found, "latency-p99-ratio@each").route == "POST /b"
    assert "latency-p99-ratio@each (POST /b) is violated" in found.message


def test_a_route_without_requests_neither_fails_nor_holds() -> None:
    """Minimums are the service's; a silent route is shown as unknown."""
    arm = window([100.0] * 1000)
    named = Slo("error_rate", max=0.01, route="GET /never")
    each = Slo("error_rate", max_delta=0.01, route="each")

    found = ask(evidence(arm, arm), replace(PLAN, slos=(ERROR_MAX, named, each)))

    assert found.verdict is Verdict.PASS
    assert slo(found, "error_rate-max@GET /never").canary is None
    assert slo(found, "error_rate-delta@each").verdict is Verdict.UNDECIDED


# --- figures ---


def test_the_row_has_what_the_api_shows() -> None:
    """Value, limit and interval are of the ratio, with both arms' figures."""
    found = ask(evidence(spread(3000, 104.0), spread(12_000, 100.0)))
    row = slo(found, "latency-p99-ratio")

    assert row.stable == pytest.approx(0.26, rel=0.1)
    assert row.canary is not None
    assert row.stable is not None
    assert row.value == pytest.approx(row.canary / row.stable)
    assert row.limit == 1.10
    assert row.interval is not None
    low, high = row.interval
    assert low is not None
    assert high is not None
    assert row.value is not None
    assert low < row.value < high
    assert (row.requests.stable, row.requests.canary) == (12_000, 3000)


def test_ratio_and_delta_are_one_limit() -> None:
    """Stable × 1.25 + 0.05 points is held against the canary's own rate."""
    row = slo(ask(evidence(errors(1000, 3), errors(4000, 8))), "error_rate-ratio")

    assert row.value == 0.003
    assert row.limit == pytest.approx(0.002 * 1.25 + 0.0005)


def test_a_tick_without_a_look_is_cheap() -> None:
    """A millisecond a service and second, at a thousand requests a second."""
    arm, stable = spread(20_000, 100.0, 1, 0.8), spread(80_000, 100.0, 2, 0.8)
    seen = evidence(arm, stable)
    ages = {"step": 1, "step_age_s": 60.0, "rollout_age_s": 60.0, "rate_per_s": 9.0}
    state, _ = judge(PLAN, JudgeState(), seen, **ages)  # type: ignore[arg-type]

    tracer, costs_s = sys.gettrace(), []
    sys.settrace(None)  # the tracer of a coverage run is not the judge's cost
    for _ in range(50):
        before_s = time.process_time()
        judge(PLAN, state, seen, **ages)  # type: ignore[arg-type]
        costs_s.append(time.process_time() - before_s)
    sys.settrace(tracer)

    assert min(costs_s) <= 0.001
