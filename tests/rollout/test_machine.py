"""Every change is recorded with what it was based on."""

from proxy.model.vocabulary import Phase, Reason
from proxy.rollout import Decision
from tests.support.rollouts import FAIL, begun, idle


def test_a_decision_says_everything() -> None:
    """Rule, reason, who, steps, weights, plan and evidence."""
    story = begun()
    outcome = story.tick(FAIL)

    assert outcome.decision == Decision(
        at_s=story.now_s,
        service="shop",
        rollout="shop-1",
        rule="slo-violated",
        reason=Reason.SLO_VIOLATED,
        message="p99 is violated",
        who="controller",
        note="",
        phase_before=Phase.PROGRESSING,
        phase_after=Phase.ROLLED_BACK,
        step_before=1,
        step_after=1,
        weights_before={"stable": 80.0, "canary": 20.0},
        weights_after={"stable": 100.0, "canary": 0.0},
        revision="2",
        plan_hash=story.run.plan_hash,
        evidence=FAIL,
        alpha=0.01,
        alpha_tolerance=0.10,
    )


def test_outside_a_run_a_decision_names_none() -> None:
    """A split by hand belongs to the service."""
    decision = idle().by_hand(canary=5.0).decision

    assert decision is not None
    assert (decision.rollout, decision.step_before, decision.revision) == ("", 0, "1")


def test_an_uneventful_second_is_no_decision() -> None:
    """Nothing changed, nothing is recorded, nothing is applied."""
    outcome = begun().tick()

    assert outcome.decision is None
    assert outcome.actions == ()
