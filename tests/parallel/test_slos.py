"""Objectives that pairs are held to."""

from proxy.model.judging import LATENCY_RATIO, MISMATCH_RATE, Judgement, Slo
from proxy.model.vocabulary import Reason, Verdict
from proxy.parallel import slos
from proxy.parallel.tally import RunTally, ratio_bucket
from tests.support.parallel_run import tally

RATE = Slo(MISMATCH_RATE, max=0.005)
RATIO = Slo(LATENCY_RATIO, max_ratio=1.25)


def judge(run: RunTally, *asked: Slo, gate: bool = False) -> Judgement:
    """Judge a run at the usual level."""
    return slos.judge(run, asked, 0.10, gate=gate)


def test_a_gate_opens_for_an_equivalent_candidate_only() -> None:
    """Equivalent passes, diverging fails, and what is missing is said."""
    good = judge(tally(bug=False, pairs=900).run, gate=True)
    bad = judge(tally(bug=True).run, gate=True)
    early = judge(tally(bug=False, pairs=100).run, gate=True)
    none = judge(RunTally(), gate=True)

    assert (good.verdict, good.reason) == (Verdict.PASS, Reason.NONE)
    assert (bad.verdict, bad.reason) == (Verdict.FAIL, Reason.MISMATCH)
    assert "1 field differs beyond the noise" in bad.message
    assert early.verdict is Verdict.UNDECIDED
    assert "more without a difference" in early.message
    assert none.message == "parallel run: no pair was compared yet"


def test_mismatch_rate_needs_both_keys() -> None:
    """A proven regression within the limit is tolerated; beyond it fails."""
    within = RunTally(judged=20_000, missed=20, regressions=1)
    beyond = RunTally(judged=20_000, missed=400, regressions=1)
    unsampled = RunTally(judged=20_000, missed=400)

    assert judge(within, RATE).verdict is Verdict.PASS
    assert judge(beyond, RATE).verdict is Verdict.FAIL
    assert judge(unsampled, RATE).verdict is Verdict.FAIL
    assert judge(beyond, RATE).message == (
        "parallel run: mismatch_rate-max is 0.02, allowed is 0.005"
    )


def test_mismatch_rate_shows_its_bounds_and_what_is_needed() -> None:
    """The interval encloses the rate, and pairs are missing until it is narrow."""
    (slo,) = judge(RunTally(judged=300, missed=0), RATE).slos

    assert slo.interval is not None
    assert slo.interval[0] == 0.0
    assert (slo.verdict, slo.value, slo.limit) == (Verdict.UNDECIDED, 0.0, 0.005)
    assert 300 <= slo.requests.needed <= 340


def test_latency_is_judged_by_the_median_of_pairs() -> None:
    """Within the ratio passes, beyond it fails, and few pairs say nothing."""
    slow = RunTally(ratios={ratio_bucket(1.5): 60, ratio_bucket(1.0): 10})
    level = RunTally(ratios={ratio_bucket(1.02): 40, ratio_bucket(0.98): 35})
    few = RunTally(ratios={ratio_bucket(3.0): 10})

    assert judge(slow, RATIO).verdict is Verdict.FAIL
    assert judge(level, RATIO).verdict is Verdict.PASS
    assert judge(few, RATIO).verdict is Verdict.UNDECIDED
    (shown,) = judge(slow, RATIO).slos
    assert shown.value is not None
    assert 1.45 < shown.value < 1.55


def test_live_and_pairs_are_judged_together() -> None:
    """The worse verdict holds, with its own reason; all objectives are shown."""
    live = Judgement(Verdict.PASS, Reason.NONE, "fine", 0, None)
    bad = judge(tally(bug=True).run, RATE, gate=True)
    open_ = judge(RunTally(judged=100), RATE)

    assert slos.merged(live, bad).reason is Reason.MISMATCH
    assert slos.merged(live, open_).verdict is Verdict.UNDECIDED
    failed = Judgement(Verdict.FAIL, Reason.SLO_VIOLATED, "slow", 0, None)
    both = slos.merged(failed, bad)
    assert (both.verdict, both.message) == (Verdict.FAIL, "slow")
    assert [slo.id for slo in both.slos] == ["mismatch_rate-max"]


def test_the_limit_is_the_objectives() -> None:
    """Without one, half a percent."""
    assert slos.limit_of((RATIO, Slo(MISMATCH_RATE, max=0.02))) == 0.02
    assert slos.limit_of((RATIO,)) == 0.005
