"""The verdict, told as rollouts: what fails, what passes, what holds, and when."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from proxy.analysis import (
    DEFAULT_GUARD,
    Evidence,
    JudgePlan,
    JudgeState,
    RouteEvidence,
    Safety,
    Slo,
    Window,
    judge,
)
from proxy.model.vocabulary import Reason, Verdict
from tests.support.samples import Trial, drawn, errors, window

SLOS = (
    Slo("latency", quantile=0.99, max=0.5),
    Slo("latency", quantile=0.99, max_ratio=1.10),
    Slo("error_rate", max=0.01),
    Slo("error_rate", max_ratio=1.25, max_delta=0.0005),
    DEFAULT_GUARD,
)
PLAN = JudgePlan(SLOS)
NOW = replace(PLAN, warmup_s=0.0)
Second = Callable[[Trial, Random], object]


def seeded(seed: int) -> Random:
    """Return a source of chance that is the same every time."""
    return Random(seed)  # noqa: S311 -- a simulation


def run(trial: Trial, second: Second, *, seconds: int, seed: int = 1) -> int | None:
    """Let seconds pass until a verdict; return how many it took."""
    random = seeded(seed)
    for passed in range(1, seconds + 1):
        second(trial, random)
        if trial.last.verdict is not Verdict.UNDECIDED:
            return passed
    return None


def verdict(trial: Trial) -> Verdict:
    """Return the last verdict."""
    return trial.last.verdict


def message(trial: Trial) -> str:
    """Return the last sentence."""
    return trial.last.message


# --- fail ---


def test_a_canary_that_fails_every_request_is_found_in_three_seconds() -> None:
    """At 1000 requests a second, from its first second on, warm-up or not."""
    for plan in (PLAN, NOW):
        trial = Trial(plan)

        passed = run(
            trial,
            lambda t, r: t.second(errors(50, 50), drawn(r, 950)),
            seconds=20,
        )

        assert verdict(trial) is Verdict.FAIL
        assert passed is not None
        assert passed <= 3
        assert trial.last.reason is Reason.SLO_VIOLATED
        assert trial.last.fired.startswith("error_rate-")
        assert f"{trial.last.fired} is violated" in message(trial)


@pytest.mark.parametrize(
    ("slower", "within_s", "fired"), [(1.3, 40, "latency-p"), (2.0, 30, "latency-p")]
)
def test_a_slower_canary_is_found(slower: float, within_s: int, fired: str) -> None:
    """Soon after the warm-up, named by the quantile that shows it best."""
    trial = Trial(PLAN)

    passed = run(
        trial,
        lambda t, r: t.second(drawn(r, 50, median_ms=80 * slower), drawn(r, 450)),
        seconds=200,
    )

    assert verdict(trial) is Verdict.FAIL
    assert passed is not None
    assert 20 < passed <= within_s + 20
    assert trial.last.fired.startswith(fired)


def test_a_canary_that_hangs_is_slow_before_it_answers() -> None:
    """Requests in flight count the moment they are older than the threshold."""
    trial = Trial(NOW)
    random = seeded(1)
    for _ in range(12):
        trial.second(drawn(random, 20), drawn(random, 180))
    before: dict[int, int] = {}
    for waited_s in range(1, 13):
        ages = window(codes={}, ages_ms=[1000.0 * waited_s] * 20).ages
        older = {bucket: -n for bucket, n in before.items()}
        before = dict(ages)
        fresh = window(codes={}, ages_ms=[1000.0] * 20).ages
        for bucket, n in (*ages.items(), *fresh.items()):
            older[bucket] = older.get(bucket, 0) + n
        trial.second(Window(ages=older), drawn(random, 180))
        if trial.last.verdict is Verdict.FAIL:
            break

    assert trial.last.verdict is Verdict.FAIL
    assert waited_s <= 8


def test_what_breaks_late_is_found_soon() -> None:
    """Stakes are kept back: five quiet minutes do not make it slow."""
    trial = Trial(NOW)
    random = seeded(3)
    for _ in range(300):
        trial.second(drawn(random, 100), drawn(random, 400))
    assert verdict(trial) is Verdict.PASS

    passed = run(
        trial,
        lambda t, r: t.second(drawn(r, 100, errors=0.1), drawn(r, 400)),
        seconds=60,
    )

    # The step had passed: only a failure ends it now.
    assert passed == 1
    for _ in range(6):
        trial.second(drawn(random, 100, errors=0.1), drawn(random, 400))
    assert verdict(trial) is Verdict.FAIL


def test_harm_adds_up_over_steps() -> None:
    """A small harm that no step proves alone is proven by several."""
    took_s: dict[bool, int] = {}
    for weigh in (True, False):
        trial = Trial(replace(NOW, min_duration_s=1e9))
        random = seeded(5)
        for second in range(1, 900):
            if weigh and second % 20 == 0:
                trial.weigh()
            canary = drawn(random, 20, errors=0.008)
            stable = drawn(random, 180, errors=0.001)
            if trial.second(canary, stable).verdict is Verdict.FAIL:
                took_s[weigh] = second
                break

    assert 20 < took_s[True] <= took_s[False] * 1.5


def test_a_slow_route_is_found_and_named() -> None:
    """A route with 0.5 % of the traffic that answers in 30 s, by ``route: each``."""
    slos = (
        *SLOS,
        Slo("latency", quantile=0.99, max_ratio=1.20, route="each"),
    )
    trial = Trial(JudgePlan(slos, warmup_s=0.0))
    random = seeded(4)
    for second in range(180):
        slow = second >= 40
        rare = drawn(random, 2, median_ms=30_000 if slow else 80, sigma=0.1)
        routes = {
            "GET /rare": RouteEvidence(drawn(random, 4), rare),
            "GET /usual": RouteEvidence(drawn(random, 400), drawn(random, 100)),
        }
        trial.second(drawn(random, 100), drawn(random, 400), routes=routes)
        if trial.last.verdict is Verdict.FAIL:
            break

    assert trial.last.verdict is Verdict.FAIL
    assert "GET /rare" in trial.last.message
    assert second < 100


def test_a_canary_that_answers_404_to_everyone_is_found() -> None:
    """The guard is on without being named."""
    trial = Trial(NOW)

    passed = run(
        trial,
        lambda t, r: t.second(drawn(r, 50, errors=1.0, code=404), drawn(r, 450)),
        seconds=30,
    )

    assert verdict(trial) is Verdict.FAIL
    assert passed is not None
    assert passed <= 10
    assert trial.last.fired == "client_error_rate-delta"


def test_absolute_limits_stand_alone_without_stable() -> None:
    """At 100 % there is nothing to compare with, and the limit still holds."""
    trial = Trial(NOW)

    passed = run(
        trial,
        lambda t, r: t.second(drawn(r, 100, errors=0.1), Window(), baseline=False),
        seconds=60,
    )

    assert verdict(trial) is Verdict.FAIL
    assert passed is not None
    assert passed <= 10
    assert trial.last.fired == "error_rate-max"


def test_fewer_orders_than_stable_fail() -> None:
    """Lower is worse: a business rate is judged by the same bets, turned round."""
    trial = Trial(JudgePlan((Slo("orders", min_ratio=0.95),), warmup_s=0.0))

    def second(trial: Trial, random: Random) -> None:
        few = sum(random.random() < 0.04 for _ in range(100))
        usual = sum(random.random() < 0.08 for _ in range(400))
        trial.second(
            replace(drawn(random, 100), counts={"orders": (few, 100)}),
            replace(drawn(random, 400), counts={"orders": (usual, 400)}),
        )

    passed = run(trial, second, seconds=120)

    assert verdict(trial) is Verdict.FAIL
    assert passed is not None
    assert passed < 60
    assert trial.last.fired == "orders-min_ratio"


def test_a_counter_that_stable_does_not_have_is_judged_alone() -> None:
    """Mismatches between answers are the canary's only."""
    trial = Trial(JudgePlan((Slo("mismatch_rate", max=0.005),), warmup_s=0.0))

    run(
        trial,
        lambda t, r: t.second(
            replace(drawn(r, 50), counts={"mismatch_rate": (3, 50)}), drawn(r, 50)
        ),
        seconds=50,
    )

    assert verdict(trial) is Verdict.FAIL


# --- never pass ---


def test_no_data_never_passes() -> None:
    """No traffic is not success, however long."""
    trial = Trial(NOW)
    for _ in range(200):
        trial.second(Window(), Window())

    assert trial.last.verdict is Verdict.UNDECIDED
    assert trial.last.reason is Reason.NO_TRAFFIC
    assert "no canary requests" in trial.last.message
    for _ in range(200):
        trial.second(window([10.0] * 5), Window())
    assert trial.last.verdict is Verdict.UNDECIDED
    assert "no stable requests" in trial.last.message


def test_an_error_in_three_requests_decides_nothing() -> None:
    """Neither pass nor fail, whatever ``min_requests`` says."""
    trial = Trial(replace(NOW, min_requests=1, min_duration_s=0.0))

    trial.second(errors(3, 1), errors(300, 0))

    assert trial.last.verdict is Verdict.UNDECIDED
    assert trial.last.needed == 7
    assert "about 7 more canary requests" in trial.last.message


def test_ten_requests_of_which_seven_are_slow_never_pass() -> None:
    """[100 x 7, 1 x 3] against [1 x 10], once or a hundred times."""
    trial = Trial(replace(NOW, min_requests=10, min_duration_s=0.0))
    for _ in range(100):
        trial.second(window([100.0] * 7 + [1.0] * 3), window([1.0] * 10))
        assert trial.last.verdict is not Verdict.PASS

    assert trial.last.verdict is Verdict.FAIL


@pytest.mark.parametrize("slos", [SLOS, SLOS[2:]])
def test_some_errors_against_none_never_pass(slos: tuple[Slo, ...]) -> None:
    """[0, 1, 2, 1, 0, 0] errors against zeros, at ten requests a second."""
    plan = JudgePlan(slos, min_requests=10, min_duration_s=0.0, warmup_s=0.0)
    trial = Trial(plan)
    answers = [
        trial.second(errors(10, failed), errors(10, 0)) for failed in (0, 1, 2, 1, 0, 0)
    ]

    assert answers[-1].verdict is Verdict.UNDECIDED


def test_a_canary_without_good_answers_has_no_latency() -> None:
    """An SLO that has nothing to look at is named, and holds."""
    plan = JudgePlan(
        (Slo("latency", quantile=0.99, max_ratio=1.1),), warmup_s=0.0, min_duration_s=0
    )
    trial = Trial(plan)
    for _ in range(30):
        trial.second(errors(10, 10), errors(40, 0))

    assert trial.last.verdict is Verdict.UNDECIDED
    assert "latency-p99-ratio has no answers to look at" in trial.last.message


@pytest.mark.parametrize("route", ["POST /orders", "each"])
def test_a_route_that_nobody_asks_for_does_not_pass(route: str) -> None:
    """Its SLO says what it waits for; no traffic is not success."""
    slo = Slo("error_rate", max_ratio=1.25, max_delta=0.0005, route=route)
    trial = Trial(JudgePlan((slo, DEFAULT_GUARD), warmup_s=0.0, min_duration_s=0.0))
    for _ in range(30):
        trial.second(errors(10, 0), errors(40, 0))
    waiting = trial.last
    quiet = {"GET /": RouteEvidence(errors(40, 0), errors(10, 0))}
    asked = {"POST /orders": RouteEvidence(errors(40, 0), errors(10, 0)), **quiet}

    trial.second(errors(10, 0), errors(40, 0), routes=asked)

    assert waiting.verdict is Verdict.UNDECIDED
    assert f"error_rate-ratio@{route} has no answers to look at" in waiting.message
    assert trial.last.verdict is Verdict.PASS


def test_a_plan_without_slos_waits_for_time_and_requests() -> None:
    """As where external metrics alone decide; nothing breaks."""
    trial = Trial(JudgePlan((), warmup_s=0.0, min_duration_s=10.0))

    passed = run(trial, lambda t, _: t.second(errors(10, 0), errors(40, 0)), seconds=20)

    assert (verdict(trial), passed) == (Verdict.PASS, 10)


def test_evidence_without_all_requests_is_refused() -> None:
    """The key of all requests is not the word that an SLO has for them."""
    arms = RouteEvidence(errors(40, 0), errors(10, 0))

    with pytest.raises(ValueError, match="expected ALL_ROUTES"):
        judge(
            PLAN,
            JudgeState(),
            Evidence(1, {"all": arms}),
            step=1,
            step_age_s=1.0,
            rollout_age_s=1.0,
        )


def test_a_canary_that_never_answered_is_told_without_a_ratio() -> None:
    """All that is known of it is that its requests wait for longer."""
    plan = JudgePlan((Slo("latency", quantile=0.5, max_ratio=1.1),), warmup_s=0.0)
    trial = Trial(plan)
    random = seeded(1)
    for _ in range(12):
        trial.second(Window(), drawn(random, 40))
    older: dict[int, int] = {}
    for waited_s in range(1, 40):
        waits_ms = [1000.0 * one for one in range(1, waited_s + 1)] * 2
        ages = dict(window(codes={}, ages_ms=waits_ms).ages)
        change = {
            bucket: ages.get(bucket, 0) - older.get(bucket, 0)
            for bucket in {*ages, *older}
        }
        trial.second(Window(ages=change), drawn(random, 40))
        older = ages
        if trial.last.verdict is Verdict.FAIL:
            break

    assert verdict(trial) is Verdict.FAIL
    assert "none was answered" in message(trial)
    assert "ratio" not in message(trial).replace("latency-p50-ratio", "")


def test_nothing_passes_while_the_canary_warms_up() -> None:
    """And only gross faults fail: three times slower is still allowed."""
    trial = Trial(replace(PLAN, min_duration_s=0.0))
    random = seeded(1)
    for _ in range(19):
        trial.second(drawn(random, 50, median_ms=240.0), drawn(random, 450))

    assert trial.last.verdict is Verdict.UNDECIDED
    assert trial.last.reason is Reason.WARM_UP
    assert trial.last.worse < 100


def test_both_versions_broken_hold_and_blame_nobody() -> None:
    """While both break an absolute limit the ramp waits, and says why."""
    trial = Trial(replace(NOW, min_duration_s=10.0))
    random = seeded(2)
    for _ in range(60):
        trial.second(drawn(random, 50, errors=0.2), drawn(random, 450, errors=0.2))
    assert trial.last.verdict is Verdict.UNDECIDED
    assert trial.last.reason is Reason.UNDECIDED
    assert "both versions break error_rate-max" in trial.last.message
    assert trial.last.wait_s is None

    passed = run(
        trial,
        lambda t, r: t.second(drawn(r, 50), drawn(r, 450)),
        seconds=80,
    )

    assert verdict(trial) is Verdict.PASS
    assert passed is not None


# --- pass ---


def test_identical_data_pass() -> None:
    """After the step's time and requests, and not before."""
    trial = Trial(PLAN)
    same = [10.0, 20.0, 30.0, 200.0] * 10

    passed = run(trial, lambda t, _: t.second(window(same), window(same)), seconds=100)

    assert verdict(trial) is Verdict.PASS
    assert passed == 60
    assert message(trial) == "step 1 has passed: nothing is suspicious"


def test_two_percent_slower_with_a_margin_of_ten_pass() -> None:
    """Worse is not beyond: key 2 stays shut, and nothing is suspicious."""
    trial = Trial(PLAN)

    passed = run(
        trial,
        lambda t, r: t.second(drawn(r, 200, median_ms=81.6), drawn(r, 800)),
        seconds=200,
    )

    assert verdict(trial) is Verdict.PASS
    assert passed == 60


def test_what_is_missing_is_said_in_requests_and_time() -> None:
    """The sentence and ``needed`` count to the condition for ``pass``."""
    trial = Trial(replace(NOW, min_requests=600))
    random = seeded(1)
    for _ in range(20):
        trial.second(drawn(random, 10), drawn(random, 40))

    assert trial.last.needed == 400
    assert trial.last.wait_s == pytest.approx(40.0)
    assert trial.last.message == (
        "step 1 needs about 400 more canary requests, about 40 s at this rate"
    )
    trial.weigh()
    trial.second(drawn(random, 10), drawn(random, 40))
    assert trial.last.needed == 590


def test_suspicion_holds_a_step_and_says_how_long() -> None:
    """Worse by chance or in truth: it is told after so many more requests."""
    trial = Trial(replace(NOW, min_duration_s=5.0))
    random = seeded(1)
    for _ in range(20):
        trial.second(drawn(random, 20), drawn(random, 180))
    for failed in (2, 1):
        trial.second(errors(20, failed), drawn(random, 180))

    assert trial.last.verdict is Verdict.UNDECIDED
    suspects = [slo for slo in trial.last.slos if slo.suspicious]
    assert [slo.id for slo in suspects] != []
    assert suspects[0].requests.needed == trial.last.needed > 0
    assert "looks worse than its limit" in trial.last.message


# --- safety ---


def test_proof_of_no_harm_ends_a_step_early() -> None:
    """``accelerate``: what is proven need not be waited for."""
    trial = Trial(replace(NOW, safety=Safety.ACCELERATE, next_share=0.6))

    passed = run(
        trial,
        lambda t, r: t.second(drawn(r, 200), drawn(r, 800)),
        seconds=60,
    )

    assert verdict(trial) is Verdict.PASS
    assert passed is not None
    assert 10 <= passed < 60
    assert message(trial) == "step 1 has passed early: no harm is proven"


def test_without_proof_a_step_waits_where_it_is_required() -> None:
    """``require``: few requests prove nothing, and the sentence says so."""
    trial = Trial(replace(NOW, safety=Safety.REQUIRE))
    random = seeded(1)
    for _ in range(90):
        trial.second(drawn(random, 5), drawn(random, 45))

    assert trial.last.verdict is Verdict.UNDECIDED
    assert "is not proven harmless yet" in trial.last.message
    assert trial.last.needed > 0

    run(trial, lambda t, r: t.second(drawn(r, 300), drawn(r, 700)), seconds=60)

    assert verdict(trial) is Verdict.PASS


def test_a_harmful_canary_is_never_proven_harmless() -> None:
    """Orders, errors and times each need their own proof."""
    slos = (*SLOS, Slo("orders", min_ratio=0.9))
    trial = Trial(JudgePlan(slos, warmup_s=0.0, safety=Safety.ACCELERATE))
    random = seeded(1)
    for _ in range(59):
        few = sum(random.random() < 0.085 for _ in range(100))
        trial.second(
            replace(drawn(random, 100), counts={"orders": (few, 100)}),
            replace(drawn(random, 400), counts={"orders": (40, 400)}),
        )
        assert trial.last.verdict is not Verdict.PASS
