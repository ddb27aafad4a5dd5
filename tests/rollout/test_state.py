"""States become one line of JSON and come back exactly."""

from dataclasses import replace

import pytest

from proxy.analysis import ALL_ROUTES, Evidence, RouteEvidence, Window, judge
from proxy.model.judge_state import JudgeState
from proxy.model.judging import JudgePlan, Requests, Slo, SloJudgement
from proxy.model.vocabulary import Verdict
from proxy.rollout import RolloutState, Step, from_json, judge_plan_of, to_json
from tests.support.rollouts import MORE, STORIES, begun


def test_every_story_round_trips() -> None:
    """Whatever the phase."""
    for tell in STORIES.values():
        state = tell().state

        assert "\n" not in to_json(state)
        assert from_json(to_json(state)) == state


def test_evidence_and_findings_round_trip() -> None:
    """A restart spends no alpha twice, because nothing of it is lost."""
    plan = JudgePlan((Slo("latency", quantile=0.99, max_ratio=1.1),), warmup_s=0.0)
    arms = RouteEvidence(Window({200: 60}, {90: 60}), Window({200: 30}, {95: 30}))
    state = JudgeState()
    seen = Evidence(1, {ALL_ROUTES: arms})
    answers = []
    for _ in range(3):
        state, answer = judge(
            plan, state, seen, step=1, step_age_s=1.0, rollout_age_s=1.0
        )
        answers.append(answer)
    row = SloJudgement(
        "latency-p99-ratio",
        Verdict.UNDECIDED,
        0.1 + 0.2,
        None,
        1 / 3,
        1.1,
        (0.9, None),
        Requests(1, 2, 3),
    )
    story = begun()
    story.tick(replace(MORE, slos=(*answers[-1].slos, row)), judge=state)

    assert from_json(to_json(story.state)).run == story.run


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"service": 1}', '{"service": "a", "phase": "Lost"}']
)
def test_another_shape_is_refused(text: str) -> None:
    """A torn state is an error, never a default."""
    with pytest.raises(ValueError):  # noqa: PT011 - json's sentences and ours
        from_json(text)


def test_the_judge_is_asked_for_the_present_step() -> None:
    """Minimums are the step's, the rest is the plan's."""
    story = begun()
    story.order("promote")
    run = story.run

    asked = judge_plan_of(run)

    assert asked.min_requests == run.plan.steps[1].min_requests
    assert asked.slos == run.plan.judge.slos
    assert asked.next_share == run.plan.steps[2].weight / 100
    assert Step(1.0).min_duration_s == 60.0
    assert JudgePlan((Slo("error_rate", max=0.1),)).alpha == 0.01


def test_weights_without_roles() -> None:
    """A service that was never seen has no canary and no weight."""
    state = RolloutState("shop")

    assert (state.active, state.canary_weight, state.share) == (False, 0.0, 0.0)
