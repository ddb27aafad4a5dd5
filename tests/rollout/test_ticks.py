"""Seconds and fail-fast: starts, steps, clocks, verdicts, rollbacks."""

from dataclasses import replace

import pytest

from proxy.model.judge_state import JudgeState
from proxy.model.judging import JudgePlan
from proxy.model.vocabulary import Phase, Reason
from proxy.rollout import After, Ended, OnUndecided, SetWeights, Start, Step, Tripped
from tests.support.rollouts import (
    FAIL,
    MORE,
    PASS,
    PLAN,
    STEPS,
    Story,
    begun,
    idle,
    paused,
    promoting,
    retreating,
    rolled_back,
    succeeded,
    waiting,
)

BROKEN = Tripped("20 of the last 20 canary requests failed")


def test_a_new_revision_starts_once_it_is_healthy() -> None:
    """It waits for an endpoint, says so, and then takes its first weight."""
    story = idle()
    story.revision("canary", "2")

    story.tick(None, canary_healthy=False)
    assert story.seen() == (Phase.IDLE, Reason.NONE, 0.0)
    assert story.state.message == "revision 2 waits for a healthy endpoint"

    outcome = story.tick(None)
    assert story.seen() == (Phase.PROGRESSING, Reason.NONE, 20.0)
    assert story.run.id == "shop-1"
    assert story.run.revision == "2"
    assert outcome.actions == (SetWeights({"stable": 80.0, "canary": 20.0}),)


def test_manual_never_starts_by_itself() -> None:
    """``start: manual`` records the revision and waits for a person."""
    story = Story(replace(PLAN, start=Start.MANUAL))
    story.config()
    story.revision("canary", "1")
    story.revision("canary", "2")
    story.tick(None)

    assert story.state.phase is Phase.IDLE
    assert story.state.message == "revision 2 is there and waits for start"


def test_steps_advance_on_pass_only_and_end_in_a_swap() -> None:
    """20, 50, then everything; the winner is stable from then on."""
    story = begun()
    story.tick(MORE)
    assert story.weight == 20.0

    story.tick(PASS)
    assert (story.weight, story.run.step) == (50.0, 2)

    outcome = story.tick(PASS)
    assert story.seen() == (Phase.SUCCEEDED, Reason.NONE, 100.0)
    assert (story.state.stable, story.state.canary) == ("canary", "stable")
    assert outcome.actions == (
        SetWeights({"stable": 0.0, "canary": 100.0}),
        Ended("shop-1", Phase.SUCCEEDED, Reason.NONE),
    )


def test_promotion_follows_the_last_step_whatever_its_weight() -> None:
    """A list that ends below 100 is promoted after it."""
    story = begun(replace(PLAN, steps=(Step(5.0),)))
    story.tick(PASS)

    assert story.seen() == (Phase.SUCCEEDED, Reason.NONE, 100.0)


def test_the_next_canary_is_the_other_version() -> None:
    """After a swap a new revision of the former stable is what starts."""
    story = succeeded()
    story.revision("stable", "3")
    story.tick(None)

    assert story.state.phase is Phase.PROGRESSING
    assert (story.run.stable, story.run.canary) == ("canary", "stable")
    assert story.state.split == {"stable": 20.0, "canary": 80.0}


def test_return_waits_for_stable_and_moves_the_traffic_back() -> None:
    """Promoting holds 100 % until a healthy stable reports the winner."""
    story = promoting()
    assert story.seen() == (Phase.PROMOTING, Reason.NONE, 100.0)

    story.tick(PASS)
    story.revision("stable", "2")
    story.tick(PASS, stable_healthy=False)
    assert story.weight == 100.0

    story.tick(PASS)
    assert story.seen() == (Phase.SUCCEEDED, Reason.NONE, 0.0)
    assert (story.state.stable, story.state.canary) == ("stable", "canary")


def test_judging_goes_on_while_promoting() -> None:
    """A late fault at 100 % goes back to the old stable."""
    story = promoting()
    story.revision("stable", "2")
    story.tick(FAIL)

    assert story.seen() == (Phase.ROLLED_BACK, Reason.SLO_VIOLATED, 0.0)


@pytest.mark.parametrize("tell", [begun, paused, waiting])
def test_a_failure_rolls_back_from_wherever_the_canary_has_weight(
    tell: type[Story],
) -> None:
    """Judging never sleeps."""
    story = tell()
    outcome = story.tick(FAIL)

    assert story.seen() == (Phase.ROLLED_BACK, Reason.SLO_VIOLATED, 0.0)
    assert outcome.decision is not None
    assert outcome.decision.evidence == FAIL


def test_waiting_and_pauses_stay_as_they_are() -> None:
    """Neither a pass nor a second changes a phase that waits for a person."""
    for story in (paused(), waiting()):
        before = story.state.phase, story.weight, story.run.step_s
        outcome = story.tick(PASS)

        assert (story.state.phase, story.weight, story.run.step_s) == before
        assert outcome.decision is None


def test_a_step_with_a_pause_waits_for_a_person() -> None:
    """The weight stays until somebody promotes."""
    story = waiting()

    assert story.seen() == (Phase.WAITING, Reason.STEP_PAUSE, 20.0)
    story.order("promote")
    assert story.seen() == (Phase.PROGRESSING, Reason.NONE, 50.0)


def test_clocks_count_judged_seconds_only() -> None:
    """Downtime, silence and a pause do not count."""
    story = begun()
    story.tick()
    story.tick(dt_s=3600.0)
    assert story.run.step_s == 6.0

    for _ in range(30):
        story.tick(canary_routed=0)
    assert story.run.step_s == 15.0
    assert story.state.reason is Reason.NO_TRAFFIC
    assert story.state.message == "no requests reach version canary: holding step 1"

    story.tick()
    story.order("pause")
    story.tick()
    assert (story.run.step_s, story.run.run_s) == (16.0, 16.0)


def test_no_traffic_is_not_success() -> None:
    """Before the first request the clock does not even begin, and nothing passes."""
    story = begun()
    story.tick(PASS, canary_routed=0)
    assert (story.run.step_s, story.weight) == (0.0, 20.0)

    story = begun()
    story.tick(PASS, stable_routed=0)
    assert story.state.message == "no requests reach version stable: holding step 1"


def test_without_a_judgement_the_reason_stays() -> None:
    """A second in which nobody judged changes no reason."""
    story = begun()
    story.tick(MORE)
    story.tick(None)

    assert story.state.reason is Reason.UNDECIDED


def test_exposure_and_the_judges_memory_are_kept() -> None:
    """Requests add up; what the judge remembers comes back to it."""
    story = begun()
    story.tick(MORE, judge=JudgeState(requests=3))
    story.tick(MORE)

    assert story.run.exposed_requests == 20
    assert story.run.judge.requests == 3
    assert story.run.judgement == MORE


def test_the_end_of_the_warm_up_puts_its_evidence_aside() -> None:
    """One new epoch at the same weight, once."""
    plan = replace(PLAN, judge=JudgePlan((), warmup_s=2.0))
    story = begun(plan)
    assert story.tick().actions == ()

    outcome = story.tick()
    assert outcome.actions == (SetWeights({"stable": 80.0, "canary": 20.0}),)
    assert outcome.decision is not None
    assert outcome.decision.rule == "warm-up-over"
    assert story.tick().actions == ()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (OnUndecided.HOLD, (Phase.PROGRESSING, Reason.UNDECIDED, 20.0)),
        (OnUndecided.PROMOTE, (Phase.PROGRESSING, Reason.NONE, 50.0)),
        (OnUndecided.ROLLBACK, (Phase.ROLLED_BACK, Reason.UNDECIDED, 0.0)),
    ],
)
def test_an_undecided_step_ends_as_the_plan_says(
    rule: OnUndecided, expected: tuple[Phase, Reason, float]
) -> None:
    """After max_duration: hold, promote or roll back."""
    steps = (replace(STEPS[0], max_duration_s=2.0), *STEPS[1:])
    story = begun(replace(PLAN, steps=steps, on_undecided=rule))
    story.tick()
    outcome = story.tick()

    assert story.seen() == expected
    assert outcome.decision is not None
    assert outcome.decision.rule == f"undecided-{rule.value}"


def test_holding_is_reported_once_and_goes_on_by_itself() -> None:
    """An overdue step still advances when it passes."""
    steps = (replace(STEPS[0], max_duration_s=2.0), *STEPS[1:])
    story = begun(replace(PLAN, steps=steps))
    decisions = [story.tick().decision for _ in range(5)]
    assert sum(decision is not None for decision in decisions) == 1

    story.tick(PASS)
    assert story.weight == 50.0


def test_a_step_without_a_limit_waits_for_ever() -> None:
    """``max_duration: off`` never ends a step."""
    story = begun(replace(PLAN, steps=(replace(STEPS[0], max_duration_s=None),)))
    story.tick()

    assert story.tick().decision is None


def test_the_deadline_rolls_back() -> None:
    """The whole run has an end."""
    story = begun(replace(PLAN, deadline_s=2.0))
    story.tick()
    story.tick()

    assert story.seen() == (Phase.ROLLED_BACK, Reason.DEADLINE_EXCEEDED, 0.0)


def test_a_rollback_waits_for_a_stable_that_can_take_the_traffic() -> None:
    """StableUnhealthy holds the weight; a healthy stable ends it."""
    story = retreating()
    assert story.seen() == (Phase.ROLLING_BACK, Reason.STABLE_UNHEALTHY, 20.0)

    story.tick(PASS, stable_healthy=False)
    assert story.weight == 20.0

    story.tick(PASS)
    assert story.seen() == (Phase.ROLLED_BACK, Reason.SLO_VIOLATED, 0.0)


def test_fail_fast_drops_the_canary() -> None:
    """A trip is confirmed, whatever the judge says."""
    for tell in (begun, paused, waiting, promoting):
        story = tell()
        outcome = story.send(BROKEN)

        assert story.seen() == (Phase.ROLLED_BACK, Reason.FAIL_FAST, 0.0)
        assert isinstance(outcome.actions[0], SetWeights)


def test_fail_fast_without_a_healthy_stable_is_not_confirmed() -> None:
    """No weights change, so the shell clears the trip."""
    story = begun()
    outcome = story.send(replace(BROKEN, stable_healthy=False))
    again = story.send(replace(BROKEN, stable_healthy=False))

    assert story.state.phase is Phase.ROLLING_BACK
    assert outcome.actions == again.actions == ()


def test_fail_fast_also_guards_a_weight_set_by_hand() -> None:
    """Between runs too, but only onto a healthy stable."""
    story = idle()
    story.by_hand(canary=5.0)

    story.send(replace(BROKEN, stable_healthy=False))
    assert story.weight == 5.0

    story.send(BROKEN)
    assert story.seen() == (Phase.IDLE, Reason.FAIL_FAST, 0.0)


def test_a_trip_without_weight_changes_nothing() -> None:
    """Late news of a canary that is at 0 already is no decision."""
    story = rolled_back()
    assert story.send(BROKEN).decision is None

    story = paused()
    story.by_hand(canary=0.0)
    assert story.send(BROKEN).decision is None


def test_a_lowered_canary_needs_no_healthy_stable_to_end() -> None:
    """With nothing left to move, the rollback is over."""
    story = retreating()
    story.by_hand(canary=0.0)
    story.tick(stable_healthy=False)

    assert story.state.phase is Phase.ROLLED_BACK


def test_after_return_is_kept_by_the_run() -> None:
    """A plan that changes in the file does not reach the running rollout."""
    story = begun()
    story.plan = replace(PLAN, after=After.RETURN, steps=(Step(1.0),))
    story.config()
    story.tick(PASS)

    assert story.weight == 50.0
    assert story.run.plan == PLAN
