"""How much more it takes: an estimate that falls as evidence comes in."""

from dataclasses import replace

from proxy.analysis import JudgePlan, Safety, Slo
from proxy.analysis.blocks import opened
from proxy.analysis.checks import checks_of
from proxy.analysis.findings import Pair
from proxy.analysis.outlook import is_safe, until_safe, until_told
from proxy.model.judge_state import Bet, Counts6

PLAN = JudgePlan((Slo("error_rate", max_ratio=1.25),), safety=Safety.REQUIRE)


def pair(step: Counts6, *, safe: float = 1.0) -> Pair:
    """Return the plan's only check with what a step saw."""
    (check,) = checks_of(PLAN.slos, ("",))
    state = opened(check, PLAN)
    return Pair(check, replace(state, step=step, safe=Bet((safe,) * 6, 0.0)))


def test_more_evidence_needs_fewer_requests() -> None:
    """What is still to be won, at what a request wins."""
    seen = [pair((5, 100, 9, 900, 5, 100))]

    far = until_told(seen, (1.0, 1.0), PLAN)
    near = until_told(seen, (50.0, 9.0), PLAN)

    assert 1 <= near < far < 1000


def test_a_suspicion_that_fades_is_looked_at_again() -> None:
    """No worse than stable by now, or nothing to go by: after ``min_requests``."""
    fading = [pair((1, 100, 9, 900, 1, 100))]
    nothing = [pair((0, 0, 0, 0, 0, 0))]

    assert until_told(fading, (6.0, 2.0), PLAN) == PLAN.min_requests
    assert until_told(nothing, (1.0, 1.0), PLAN) == PLAN.min_requests


def test_proof_of_no_harm_is_extrapolated() -> None:
    """From what the step's requests have won so far; nothing more once it is there."""
    half = [pair((0, 200, 1, 900, 0, 200), safe=10.0**0.5)]

    assert until_safe(half, PLAN) == 200
    assert until_safe([pair((0, 200, 1, 900, 0, 200))], PLAN) == PLAN.min_requests
    done = pair((0, 200, 1, 900, 0, 200), safe=11.0)
    assert is_safe(done)
    assert until_safe([done], PLAN) == 0
