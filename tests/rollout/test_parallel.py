"""``strategy: parallel``: no live traffic before the answers were compared."""

from dataclasses import replace

from proxy.model.judging import Judgement
from proxy.model.vocabulary import Phase, Reason, Verdict
from proxy.rollout import Strategy
from tests.support.rollouts import FAIL, PASS, PLAN, STEPS, begun

PREVIEW = replace(STEPS[0], weight=0.0, min_duration_s=0.0, max_duration_s=None)
PLANNED = replace(PLAN, strategy=Strategy.PARALLEL, steps=(PREVIEW, *STEPS))
OPEN = Judgement(Verdict.UNDECIDED, Reason.MISMATCH, "400 more pairs", 400, None)
DIVERGING = Judgement(Verdict.FAIL, Reason.MISMATCH, "1 field differs", 0, None)


def test_live_traffic_waits_for_the_verdict() -> None:
    """0 % with reason Mismatch, for however long; then the first live step."""
    story = begun(PLANNED)
    for _ in range(50):
        story.tick(OPEN, canary_routed=0)
    assert story.seen() == (Phase.PROGRESSING, Reason.MISMATCH, 0.0)
    assert story.state.message == "400 more pairs"
    story.tick(PASS, canary_routed=0)
    assert story.seen() == (Phase.PROGRESSING, Reason.NONE, STEPS[0].weight)
    assert story.state.run is not None
    assert story.state.run.step == 2


def test_a_candidate_that_diverges_gets_no_live_request() -> None:
    """The run ends as rolled back, with the reason."""
    story = begun(PLANNED)
    story.tick(DIVERGING, canary_routed=0)
    assert story.seen() == (Phase.ROLLED_BACK, Reason.MISMATCH, 0.0)
    assert story.state.message.startswith("1 field differs")


def test_a_mismatch_in_a_live_step_rolls_back() -> None:
    """Pairs are judged on while the canary has users."""
    story = begun(PLANNED)
    story.tick(PASS, canary_routed=0)
    story.tick(replace(FAIL, reason=Reason.MISMATCH))
    assert story.seen() == (Phase.ROLLED_BACK, Reason.MISMATCH, 0.0)


def test_without_pairs_or_endpoints_it_waits_and_says_so() -> None:
    """Nothing compared yet, or nobody there to answer copies."""
    story = begun(PLANNED)
    story.tick(None, canary_routed=0)
    assert "needs pairs of answers to compare" in story.state.message
    story.tick(PASS, canary_healthy=False)
    assert story.state.run is not None
    assert story.state.run.step == 1


def test_a_person_may_go_on_without_the_verdict() -> None:
    """``skip`` leaves the preview as any step, by name."""
    story = begun(PLANNED)
    story.tick(OPEN, canary_routed=0)
    story.order("skip")
    story.tick(OPEN, canary_routed=0)
    assert story.weight == STEPS[0].weight
