"""The guards hold where comparing makes no sense, name why, and never fail."""

from dataclasses import replace
from random import Random

import pytest

from proxy.analysis import JudgePlan, Slo, Window
from proxy.analysis.guards import self_value
from proxy.model.vocabulary import FLAG_CODE_BASE, Flag, Reason, Verdict
from tests.support.samples import Trial, drawn, window

PLAN = JudgePlan(
    (Slo("error_rate", max_ratio=1.25, max_delta=0.0005),),
    warmup_s=0.0,
    min_duration_s=5.0,
)


def seeded(seed: int = 1) -> Random:
    """Return a source of chance that is the same every time."""
    return Random(seed)  # noqa: S311 -- a simulation


def answered(requests: int, *, left: int = 0, vanished: int = 0) -> Window:
    """Return an arm that was assigned requests and did not answer some of them."""
    good = window([50.0] * (requests - left - vanished))
    codes = {**good.codes, **({FLAG_CODE_BASE + Flag.DC: left} if left else {})}
    return replace(good, codes=codes, assigned=requests)


@pytest.mark.parametrize(
    ("canary", "cause"),
    [
        (answered(50, left=5), "clients give up on canary"),
        (answered(50, vanished=5), "requests to canary end without any outcome"),
    ],
)
def test_answers_that_are_missing_hold_and_name_the_cause(
    canary: Window, cause: str
) -> None:
    """A version that loses a tenth of what was assigned to it is not compared."""
    trial = Trial(PLAN)
    for _ in range(60):
        trial.second(canary, answered(450))

    assert trial.last.verdict is Verdict.UNDECIDED
    assert trial.last.reason is Reason.SAMPLE_RATIO_MISMATCH
    assert cause in trial.last.message
    assert trial.last.wait_s is None
    trial.weigh()
    assert trial.state.share is not None


def test_missing_answers_of_stable_hold_too() -> None:
    """The ratio is off in either direction."""
    trial = Trial(PLAN)
    for _ in range(60):
        trial.second(answered(50), answered(450, left=45))

    assert trial.last.reason is Reason.SAMPLE_RATIO_MISMATCH
    assert "clients give up on stable" in trial.last.message


def test_equal_losses_are_no_mismatch() -> None:
    """Clients hang up on both alike; what nobody counted is no loss."""
    trial = Trial(PLAN)
    random = seeded()
    for _ in range(200):
        left = sum(random.random() < 0.03 for _ in range(50))
        more = sum(random.random() < 0.03 for _ in range(450))
        trial.second(answered(50, left=left), answered(450, left=more))
        trial.second(window([50.0] * 50), window([50.0] * 450))

    assert trial.last.verdict is Verdict.PASS


def test_one_unit_with_a_fifth_of_the_traffic_holds() -> None:
    """Until it is gone; what is not told stays as it was."""
    trial = Trial(PLAN)
    random = seeded()
    busy = replace(drawn(random, 50), top_unit=0.4)
    for _ in range(10):
        trial.second(busy, replace(drawn(random, 50), top_unit=0.01))
        trial.second(drawn(random, 50), drawn(random, 50))

    assert trial.last.verdict is Verdict.UNDECIDED
    assert trial.last.reason is Reason.CONCENTRATED_UNITS
    assert "one unit is 40%" in trial.last.message

    usual = replace(drawn(random, 50), top_unit=0.2)
    assert trial.second(usual, usual).verdict is Verdict.PASS


def noisy(random: Random, second: int, requests: int) -> Window:
    """Return stable's random slice while one of its instances stalls now and then."""
    slow = second % 3 == 0
    return drawn(random, requests, median_ms=400.0 if slow else 80.0)


def test_stable_that_differs_from_itself_is_said_and_holds() -> None:
    """A persistent alarm marks every verdict, and fades once it is over."""
    trial = Trial(PLAN)
    random = seeded()
    for second in range(120):
        control = noisy(random, second, 50)
        rest = drawn(random, 350)
        latency = dict(rest.latency)
        for bucket, n in control.latency.items():
            latency[bucket] = latency.get(bucket, 0) + n
        stable = Window(codes={200: 400}, latency=latency)
        trial.second(drawn(random, 50), stable, control=control)

    alarmed = trial.last
    assert alarmed.noisy
    assert alarmed.verdict is Verdict.UNDECIDED
    assert alarmed.reason is Reason.NOISY_ENVIRONMENT
    assert alarmed.message.endswith("(environment noisy)")

    for _ in range(400):
        control = drawn(random, 50)
        latency = {**drawn(random, 350).latency}
        for bucket, n in control.latency.items():
            latency[bucket] = latency.get(bucket, 0) + n
        stable = Window(codes={200: 400}, latency=latency)
        trial.second(drawn(random, 50), stable, control=control)
    assert not trial.last.noisy
    assert trial.last.verdict is Verdict.PASS


def test_stable_that_agrees_with_itself_raises_nothing() -> None:
    """The self-check is one more test of the same kind: it is rarely wrong."""
    alarms = []
    for seed in range(12):
        trial = Trial(PLAN)
        random = seeded(seed)
        for _ in range(60):
            control = drawn(random, 50, errors=0.01)
            rest = drawn(random, 150, errors=0.01)
            latency = dict(rest.latency)
            for bucket, n in control.latency.items():
                latency[bucket] = latency.get(bucket, 0) + n
            codes = {
                code: rest.codes.get(code, 0) + control.codes.get(code, 0)
                for code in (200, 500)
            }
            trial.second(drawn(random, 50), Window(codes, latency), control=control)
        alarms.append(self_value(trial.state.itself))

    assert max(alarms) < 20


def test_in_a_noisy_environment_a_failure_needs_as_much_more() -> None:
    """A canary that fails everything still fails, and the message is marked."""
    trial = Trial(PLAN)
    random = seeded()
    for second in range(120):
        control = noisy(random, second, 50)
        latency = {**drawn(random, 350).latency}
        for bucket, n in control.latency.items():
            latency[bucket] = latency.get(bucket, 0) + n
        stable = Window(codes={200: 400}, latency=latency)
        failing = drawn(random, 50, errors=1.0) if second > 60 else drawn(random, 50)
        trial.second(failing, stable, control=control)
        if trial.last.verdict is Verdict.FAIL:
            break

    assert trial.last.verdict is Verdict.FAIL
    assert trial.last.noisy
    assert "environment noisy" in trial.last.message
