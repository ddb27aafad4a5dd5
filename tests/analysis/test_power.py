"""Seeded simulations: good canaries are left alone, bad ones are found."""

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from proxy.analysis import (
    DEFAULT_GUARD,
    JudgePlan,
    JudgeState,
    Slo,
    Window,
    judge,
    min_requests_auto,
)
from proxy.model.vocabulary import Verdict
from tests.support.samples import buckets, evidence, lognormal_ms

SLOS = (
    Slo("latency", quantile=0.99, max=0.5),
    Slo("latency", quantile=0.99, max_ratio=1.10),
    Slo("error_rate", max=0.01),
    Slo("error_rate", max_ratio=1.25, max_delta=0.0005),
    DEFAULT_GUARD,
)
PLAN = JudgePlan(SLOS, min_requests=min_requests_auto(SLOS), warmup_s=0.0)
BATCH = 300
"""Canary requests between two ticks; stable has four times as many."""


def growing(
    random: Random, median_ms: float, sigma: float, failing: float, size: int
) -> Iterator[Window]:
    """Yield one arm's cumulative windows, a batch larger each time."""
    codes: Counter[int] = Counter()
    times: Counter[int] = Counter()
    while True:
        failed = sum(random.random() < failing for _ in range(size))
        codes += Counter({200: size - failed, 500: failed})
        times += Counter(buckets(lognormal_ms(random, size - failed, median_ms, sigma)))
        yield Window(dict(codes), dict(times), dict(times))


def run(
    seed: int, *, slower: float = 1.0, sigma: float = 0.4, failing: float, ticks: int
) -> tuple[Verdict, int]:
    """Return the verdict and the canary requests it took; fails end the run."""
    random = Random(seed)  # noqa: S311 - a seeded simulation
    canary = growing(random, 100.0 * slower, sigma, failing, BATCH)
    stable = growing(random, 100.0, sigma, 0.001, 4 * BATCH)
    state, verdict = JudgeState(), Verdict.UNDECIDED
    for tick in range(1, ticks + 1):
        state, found = judge(
            PLAN,
            state,
            evidence(next(canary), next(stable)),
            step=1,
            step_age_s=60.0,
            rollout_age_s=60.0,
            rate_per_s=BATCH,
        )
        verdict = found.verdict
        if verdict is Verdict.FAIL:
            return verdict, tick * BATCH
    return verdict, ticks * BATCH


def test_a_canary_that_is_no_worse_is_left_alone() -> None:
    """40 A/A runs with four looks each: no rollback (alpha 1 % allows 0.4)."""
    verdicts = Counter(run(seed, failing=0.001, ticks=8)[0] for seed in range(40))

    assert verdicts[Verdict.FAIL] == 0
    assert verdicts[Verdict.PASS] >= 30


def test_a_canary_at_the_tolerance_is_rarely_blamed() -> None:
    """Exactly 10 % slower: at most alpha_tolerance of 20 runs."""
    verdicts = Counter(
        run(seed, slower=1.10, failing=0.001, ticks=8)[0] for seed in range(20)
    )

    assert verdicts[Verdict.FAIL] <= 2


@pytest.mark.parametrize("sigma", [0.3, 0.5])
def test_a_canary_that_is_thirty_percent_slower_is_found(sigma: float) -> None:
    """12 of 12 within 2400 canary requests, whatever the spread."""
    found = [
        run(seed, slower=1.3, sigma=sigma, failing=0.001, ticks=8) for seed in range(12)
    ]

    assert [verdict for verdict, _ in found] == [Verdict.FAIL] * 12
    assert max(requests for _, requests in found) <= 2400


@pytest.mark.parametrize(("failing", "requests_max"), [(0.05, 600), (0.02, 2400)])
def test_errors_are_found(failing: float, requests_max: int) -> None:
    """5 % within the second look, 2 % within the fourth, 11 of 12 at least."""
    found = [run(seed, failing=failing, ticks=8) for seed in range(12)]

    in_time = [v for v, n in found if v is Verdict.FAIL and n <= requests_max]
    assert len(in_time) >= 11
