"""Harm over the epochs of a run: sound bounds, and no confounding by weight."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.analysis import (
    ALL_ROUTES,
    Evidence,
    Judgement,
    JudgePlan,
    JudgeState,
    RouteEvidence,
    Slo,
    Window,
    comparison,
    judge,
)
from proxy.analysis.checks import checks_of
from proxy.analysis.samples import Samples
from proxy.analysis.together import added, beyond_p, harms_of, told, worse_p
from proxy.model.document import decode, encode
from proxy.model.judging import Harm
from proxy.model.vocabulary import Verdict
from tests.support.samples import errors, evidence, lognormal_ms, window

ERRORS = Slo("error_rate", max_ratio=1.0, max_delta=0.005)
CEILING = Slo("error_rate", max=0.02)
SLOWER = Slo("latency", quantile=0.9, max_ratio=1.05, only=True)
LEVEL = 0.01
Arms = tuple[Window, Window]


def harm(slo: Slo, canary: Window, stable: Window) -> Harm:
    """Return one epoch of one SLO."""
    seen = evidence(canary, stable)
    (only,) = harms_of(checks_of((slo,), seen.routes), seen, LEVEL, Samples())
    return only


def sums(slo: Slo, *epochs: Arms) -> Harm:
    """Return the sums over epochs of (canary, stable)."""
    out: tuple[Harm, ...] = ()
    for canary, stable in epochs:
        out = added(out, (harm(slo, canary, stable),))
    return out[0]


counts = st.tuples(st.integers(1, 400), st.floats(0.0, 1.0)).map(
    lambda arm: (arm[0], int(arm[0] * arm[1]))
)


@given(counts, counts)
def test_bound_is_above_the_exact_test(
    canary: tuple[int, int], stable: tuple[int, int]
) -> None:
    """Of one epoch the exact tail is known: the bound never promises more."""
    (all_c, bad_c), (all_s, bad_s) = canary, stable
    exact = comparison.worse_p(bad_c, all_c, bad_s, all_s)

    bound = worse_p(harm(ERRORS, errors(all_c, bad_c), errors(all_s, bad_s)))

    assert bound >= exact * (1 - 1e-6)


def test_epochs_add_up() -> None:
    """What no epoch shows alone, ten of them do."""
    epoch = errors(400, 12), errors(1600, 24)

    assert worse_p(sums(ERRORS, epoch)) > 0.05
    assert worse_p(sums(ERRORS, *[epoch] * 10)) < 1e-4


def test_either_arm_may_be_the_smaller_one() -> None:
    """At 80 % the canary is most of the traffic; what stable lacks counts then."""
    epoch = errors(1600, 64), errors(400, 4)

    assert worse_p(sums(ERRORS, *[epoch] * 5)) < 1e-3


def test_weights_and_hours_do_not_confound() -> None:
    """
    Errors of a bad hour at high canary weight are not the canary's.

    Simply summed the canary has 5.5 % against stable's 1.5 %; inside each
    epoch both are alike.
    """
    quiet = errors(200, 1), errors(1800, 9)
    rough = errors(1800, 108), errors(200, 12)

    assert worse_p(sums(ERRORS, quiet, rough)) == 1.0


def test_limit_is_that_of_each_epoch() -> None:
    """Key 2 allows in each epoch what stable's bound there allows."""
    quiet = harm(ERRORS, errors(200, 1), errors(1800, 9))
    rough = harm(ERRORS, errors(200, 20), errors(1800, 180))

    total = added((quiet,), (rough,))[0]

    assert (total.beyond, total.judged) == (21, 400)
    assert quiet.allowed == pytest.approx(2.0)  # 200 × (0.5 % + 0.5 points)
    assert rough.allowed == pytest.approx(21.0)
    assert total.allowed == pytest.approx(23.0)
    assert beyond_p(total) == 1.0


def test_absolute_limit_is_exact() -> None:
    """60 of 1000 against 2 % is beyond it, 21 of 1000 is not proven."""
    stable = errors(4000, 4)

    proven = sums(CEILING, *[(errors(100, 6), stable)] * 10)

    assert beyond_p(proven) < 1e-6
    assert beyond_p(harm(CEILING, errors(1000, 21), stable)) > 0.3


def test_canary_at_the_limit_is_rarely_beyond_it() -> None:
    """Over 300 runs of four epochs at exactly the limit: at most 5 % below 5 %."""
    random = Random(7)  # noqa: S311 - a seeded simulation

    def arm(requests: int, rate: float) -> Window:
        return errors(requests, sum(random.random() < rate for _ in range(requests)))

    low = 0
    for _ in range(300):
        epochs = [
            (arm(size, rate + 0.005), arm(500 - size, rate))
            for size, rate in ((100, 0.02), (200, 0.1), (300, 0.05), (400, 0.01))
        ]
        low += beyond_p(sums(ERRORS, *epochs)) <= 0.05

    assert low <= 15


def test_times_are_compared_beyond_a_common_threshold() -> None:
    """A canary 12 % slower is found over epochs; one alike is not."""
    random = Random(3)  # noqa: S311 - a seeded sample

    def epoch(slower: float) -> Arms:
        canary = lognormal_ms(random, 300, 100.0 * slower, 0.3)
        return window(canary), window(lognormal_ms(random, 1200, 100.0, 0.3))

    slow = sums(SLOWER, *[epoch(1.2) for _ in range(8)])
    alike = sums(SLOWER, *[epoch(1.0) for _ in range(8)])

    assert worse_p(slow) < 1e-4
    assert beyond_p(slow) < 0.01
    assert worse_p(alike) > 0.2
    assert beyond_p(alike) == 1.0


def test_nothing_to_compare_proves_nothing() -> None:
    """An arm without requests adds nothing to either key."""
    for slo in (ERRORS, SLOWER):
        for canary, stable in (
            (Window(), errors(100, 0)),
            (errors(100, 50), Window()),
            (Window(), Window()),
        ):
            found = harm(slo, canary, stable)
            assert (worse_p(found), beyond_p(found)) == (1.0, 1.0)


def test_alike_arms_are_rarely_surprising() -> None:
    """Over 300 runs of five epochs at changing weights: at most 5 % below 5 %."""
    random = Random(5)  # noqa: S311 - a seeded simulation

    def arm(requests: int, rate: float) -> Window:
        return errors(requests, sum(random.random() < rate for _ in range(requests)))

    low = 0
    for _ in range(300):
        epochs = [
            (arm(size, rate), arm(500 - size, rate))
            for size, rate in ((100, 0.02), (200, 0.1), (300, 0.05), (400, 0.2))
        ]
        low += told(sums(ERRORS, *epochs)).worse_p <= 0.05

    assert low <= 15


# --- in the judge ---

PLAN = JudgePlan((ERRORS,), min_requests=300, warmup_s=0.0)


def story(
    epochs: int, canary: Window, stable: Window, *, plan: JudgePlan = PLAN, age_s: float
) -> tuple[JudgeState, list[Judgement]]:
    """Return what the judge says at the end of each epoch, whoever goes on."""
    state, said = JudgeState(), []
    for epoch in range(1, epochs + 1):
        seen = evidence(canary, stable, epoch=epoch)
        state, judgement = judge(
            plan,
            state,
            seen,
            step=epoch,
            step_age_s=60.0,
            rollout_age_s=age_s,
            rate_per_s=10.0,
        )
        said.append(judgement)
    return state, said


def test_harm_that_needs_more_than_one_step_is_caught() -> None:
    """A canary whose every step is waved on fails by what the steps add up to."""
    canary, stable = errors(400, 12), errors(1600, 16)
    _, alone = story(1, canary, stable, age_s=60.0)
    _, said = story(12, canary, stable, age_s=60.0)

    assert alone[0].verdict is not Verdict.FAIL
    verdicts = [judgement.verdict for judgement in said]
    assert Verdict.FAIL in verdicts
    failed = said[verdicts.index(Verdict.FAIL)]
    assert "is violated over all steps" in failed.message
    (shown,) = [slo for slo in failed.slos if slo.together is not None]
    assert shown.together is not None
    assert shown.together.requests > 400


def test_suspicion_of_all_steps_holds_a_step_that_looks_good() -> None:
    """The step's own figures are fine; what went before still has to be dispelled."""
    bad, good = errors(400, 9), errors(400, 4)
    stable = errors(1600, 16)
    state, _ = story(3, bad, stable, age_s=60.0)

    _, judgement = judge(
        PLAN,
        state,
        evidence(good, stable, epoch=4),
        step=4,
        step_age_s=60.0,
        rollout_age_s=60.0,
        rate_per_s=10.0,
    )

    assert judgement.verdict is Verdict.UNDECIDED
    assert "over all steps" in judgement.message


def test_warm_up_is_not_remembered() -> None:
    """Cold caches are no harm that later steps have to answer for."""
    plan = JudgePlan((ERRORS,), min_requests=300, warmup_s=100.0)

    state, _ = story(3, errors(400, 20), errors(1600, 16), plan=plan, age_s=60.0)

    assert (state.before, state.here) == ((), ())


def test_each_route_has_sums_of_its_own() -> None:
    """``route: each`` is judged over the run route by route, and shown by name."""
    slo = Slo("error_rate", max_ratio=1.0, max_delta=0.005, route="each")
    plan = JudgePlan((slo,), min_requests=300, warmup_s=0.0)
    bad = RouteEvidence(errors(1600, 16), errors(400, 16))
    good = RouteEvidence(errors(1600, 16), errors(400, 4))
    state, failed = JudgeState(), None
    for epoch in range(1, 15):
        routes = {ALL_ROUTES: good, "GET /a": good, "GET /b": bad}
        state, judgement = judge(
            plan,
            state,
            Evidence(epoch, routes),
            step=1,
            step_age_s=60.0,
            rollout_age_s=60.0,
            rate_per_s=10.0,
        )
        if judgement.verdict is Verdict.FAIL:
            failed = judgement
            break

    assert failed is not None
    assert failed.slos[0].route == "GET /b"


def test_sums_survive_a_restart() -> None:
    """They are saved with the rollout, and read back exactly."""
    state, _ = story(3, errors(400, 10), errors(1600, 16), age_s=60.0)

    assert len(state.before) == 1
    assert decode(JudgeState, encode(state)) == state
