"""Windows of business metrics, and providers that cannot be asked."""

from dataclasses import replace

import pytest

from proxy.model.external import Measured
from proxy.model.judging import Judgement
from proxy.model.vocabulary import Phase, Reason, Verdict
from proxy.rollout import After, OnUndecided, Ring, Step
from proxy.rollout.state import from_json, to_json
from proxy.rollout.view import public_view
from tests.support.rollouts import FAIL, MORE, PASS, PLAN, Story, begun

WINDOWS = {"orders": (4.0, 20.0), "gifts": (10.0,)}
PATIENT = replace(PLAN, windows=WINDOWS)
DOWN = Judgement(
    Verdict.UNDECIDED, Reason.PROVIDER_ERROR, "prometheus-max cannot be read", 0, None
)


def pass_for(story: Story, seconds: int) -> None:
    """Let good seconds pass."""
    for _ in range(seconds):
        story.tick(PASS)


def test_no_promotion_before_the_longest_window_has_passed() -> None:
    """Step 1 is left by its own rules; the last one waits, says so, and goes on."""
    story = begun(PATIENT)
    pass_for(story, 1)
    assert story.weight == 50.0

    pass_for(story, 18)
    assert story.seen() == (Phase.PROGRESSING, Reason.UNDECIDED, 50.0)
    assert "promotion waits another 1 s for the longest window" in story.state.message
    shown = public_view(story.state, PATIENT, story.now_s)["next"]
    assert isinstance(shown, dict)
    assert (shown["action"], shown["blocked_by"]) == ("promote", "windows")

    pass_for(story, 1)
    assert story.state.phase is Phase.SUCCEEDED
    assert story.run.run_s == 20.0


def test_harm_does_not_wait_for_a_window() -> None:
    """A drop that is proven rolls back at once."""
    story = begun(PATIENT)
    pass_for(story, 3)
    story.tick(FAIL)

    assert story.state.phase is Phase.ROLLED_BACK


@pytest.mark.parametrize("policy", list(OnUndecided))
def test_max_duration_does_not_end_a_window(policy: OnUndecided) -> None:
    """`on_undecided: promote` promotes after it, not before; nothing rolls back."""
    steps = (Step(50.0, min_duration_s=0.0, max_duration_s=5.0), Step(100.0))
    story = begun(replace(PATIENT, steps=steps, on_undecided=policy))
    for _ in range(19):
        story.tick(MORE)
    assert (story.state.phase, story.weight) == (Phase.PROGRESSING, 50.0)

    story.tick(MORE)
    ends = {
        OnUndecided.HOLD: Phase.PROGRESSING,
        OnUndecided.PROMOTE: Phase.SUCCEEDED,
        OnUndecided.ROLLBACK: Phase.ROLLED_BACK,
    }
    assert story.state.phase is ends[policy]


def test_a_person_need_not_wait() -> None:
    """`promote` is by name, and recorded."""
    story = begun(replace(PATIENT, after=After.SWAP))
    story.order("promote", full=True)

    assert story.state.phase is Phase.SUCCEEDED


def test_a_ring_of_all_its_requests_is_no_promotion() -> None:
    """100 % of a ring is a step like any other: the wait is at the end."""
    steps = (Step(20.0), Step(100.0, only=Ring(header={"x-env": "eu"})), Step(100.0))
    story = begun(replace(PATIENT, steps=steps))
    pass_for(story, 1)

    assert story.run.step == 2


def test_a_provider_error_holds_and_is_one_decision() -> None:
    """Recorded when it begins, not each second; told again after it was well."""
    story = begun()
    rules = []
    for judgement in (MORE, DOWN, DOWN, MORE, DOWN):
        decision = story.tick(judgement).decision
        rules.append("" if decision is None else decision.rule)

    assert rules == ["", "provider-error", "", "", "provider-error"]
    assert story.seen() == (Phase.PROGRESSING, Reason.PROVIDER_ERROR, 20.0)
    assert story.state.message == "prometheus-max cannot be read"


def test_what_was_measured_is_saved_with_the_run() -> None:
    """Two bad values before a restart and one after it are three in a row."""
    story = begun()
    seen = (Measured("prometheus-max", 5.0, 9.0, "", exceeded=2),)
    story.tick(MORE, external=seen)
    story.tick(MORE)

    assert from_json(to_json(story.state)).run == story.run
    assert story.run.external == seen
