"""Gates: who must agree before a weight rises, and what their answers do."""

from dataclasses import replace

import pytest

from proxy.model.vocabulary import Phase, Reason
from proxy.rollout import (
    Answer,
    Gate,
    GateAnswered,
    GateType,
    OnTimeout,
    RolloutPlan,
    gates_due,
)
from tests.support.rollouts import FAIL, PASS, PLAN, End, Story, begun


def with_gates(*gates: Gate) -> RolloutPlan:
    """Return the plan with gates."""
    return replace(PLAN, gates=gates)


def gate(kind: GateType, **more: object) -> Gate:
    """Return a gate of a type."""
    return replace(Gate(kind, "http://127.0.0.1:1/"), **more)  # type: ignore[arg-type]


def say(story: Story, place: int, answer: Answer, detail: str = "200") -> None:
    """Let a gate of the present step answer."""
    run = story.run
    story.send(GateAnswered(run.id, place, run.step, answer, detail))


def test_confirm_rollout_stands_before_the_first_weight() -> None:
    """The run waits without weight until the gate opens, asked again while closed."""
    story = begun(with_gates(gate(GateType.CONFIRM_ROLLOUT)))
    assert story.seen() == (Phase.WAITING, Reason.GATE_CLOSED, 0.0)
    assert gates_due(story.state) == (0,)

    say(story, 0, Answer.CLOSED, "403 not yet")
    assert story.state.message == "confirm-rollout is closed: 403 not yet"
    assert gates_due(story.state) == (0,)

    say(story, 0, Answer.OPEN)
    assert story.seen() == (Phase.PROGRESSING, Reason.NONE, 20.0)
    assert gates_due(story.state) == ()


def test_gates_of_one_moment_are_asked_one_kind_after_the_other() -> None:
    """Confirm, then check without traffic, then confirm the increase."""
    story = begun(
        with_gates(
            gate(GateType.CONFIRM_TRAFFIC_INCREASE),
            gate(GateType.PRE_ROLLOUT),
            gate(GateType.CONFIRM_ROLLOUT, name="boss"),
            gate(GateType.CONFIRM_ROLLOUT, name="ops"),
        )
    )
    assert gates_due(story.state) == (2, 3)
    say(story, 3, Answer.OPEN)
    assert gates_due(story.state) == (2,)
    say(story, 2, Answer.OPEN)
    assert gates_due(story.state) == (1,)
    say(story, 1, Answer.OPEN)
    assert gates_due(story.state) == (0,)
    assert story.weight == 0.0
    say(story, 0, Answer.OPEN)
    assert story.weight == 20.0


def test_a_failed_pre_rollout_check_ends_the_run() -> None:
    """The revision never gets weight."""
    story = begun(with_gates(gate(GateType.PRE_ROLLOUT, name="smoke")))
    say(story, 0, Answer.CLOSED, "500 3 of 9 failed")

    assert story.seen() == (Phase.ROLLED_BACK, Reason.GATE_CLOSED, 0.0)
    assert story.state.message == "smoke refused: 500 3 of 9 failed"


def test_every_increase_and_the_promotion_are_confirmed() -> None:
    """Each step asks anew; the last one asks for promotion."""
    story = begun(
        with_gates(
            gate(GateType.CONFIRM_TRAFFIC_INCREASE), gate(GateType.CONFIRM_PROMOTION)
        )
    )
    say(story, 0, Answer.OPEN)
    story.tick(PASS)
    assert (story.seen(), gates_due(story.state)) == (
        (Phase.WAITING, Reason.GATE_CLOSED, 20.0),
        (0,),
    )
    say(story, 0, Answer.OPEN)
    assert story.weight == 50.0
    story.tick(PASS)
    assert gates_due(story.state) == (1,)
    say(story, 1, Answer.OPEN)
    assert story.seen() == (Phase.SUCCEEDED, Reason.NONE, 100.0)


def test_a_gate_of_a_step_is_asked_when_leaving_it() -> None:
    """And at no other step."""
    one = gate(GateType.CONFIRM_TRAFFIC_INCREASE, step=2)
    story = begun(with_gates(one))
    story.tick(PASS)
    assert story.weight == 50.0

    story.tick(PASS)
    assert story.seen() == (Phase.WAITING, Reason.GATE_CLOSED, 50.0)
    say(story, 0, Answer.OPEN)
    assert story.state.phase is Phase.SUCCEEDED


def test_answers_for_another_run_or_step_mean_nothing() -> None:
    """A call that hung since before does not open today's gate."""
    story = begun(with_gates(gate(GateType.CONFIRM_ROLLOUT)))
    before = story.state
    for event in (
        GateAnswered("shop-9", 0, 0, Answer.OPEN),
        GateAnswered("shop-1", 0, 1, Answer.OPEN),
        GateAnswered("shop-1", 7, 0, Answer.OPEN),
    ):
        assert story.send(event).decision is None
    assert story.state == before


@pytest.mark.parametrize(
    ("on_timeout", "phase"),
    [(OnTimeout.HOLD, Phase.WAITING), (OnTimeout.ROLLBACK, Phase.ROLLED_BACK)],
)
def test_silence_means_what_the_file_says(on_timeout: OnTimeout, phase: Phase) -> None:
    """``on_timeout: hold`` asks again, ``rollback`` ends the run."""
    story = begun(with_gates(gate(GateType.CONFIRM_ROLLOUT, on_timeout=on_timeout)))
    say(story, 0, Answer.NONE, "timed out after 10 s")

    assert story.state.phase is phase
    assert "timed out after 10 s" in story.state.message


def test_a_rollout_check_that_fails_rolls_back() -> None:
    """It is asked all along; silence alone is no failure unless the file says so."""
    story = begun(with_gates(gate(GateType.ROLLOUT, name="load test")))
    assert gates_due(story.state) == (0,)
    say(story, 0, Answer.OPEN)
    say(story, 0, Answer.NONE)
    assert story.weight == 20.0

    say(story, 0, Answer.CLOSED, "500")
    assert story.seen() == (Phase.ROLLED_BACK, Reason.GATE_CLOSED, 0.0)


def test_the_rollback_gate_rolls_back_when_it_opens() -> None:
    """Flagger's meaning: 2xx orders the rollback, also while waiting or paused."""
    for verb in (None, "pause"):
        story = begun(with_gates(gate(GateType.ROLLBACK)))
        if verb:
            story.order(verb)
        say(story, 0, Answer.CLOSED, "404")
        assert story.weight == 20.0
        say(story, 0, Answer.OPEN)
        assert story.seen() == (Phase.ROLLED_BACK, Reason.GATE_CLOSED, 0.0)


def test_no_gate_delays_a_rollback_or_an_abort() -> None:
    """While it hangs, a violation and a person go on at once."""
    plan = with_gates(gate(GateType.CONFIRM_TRAFFIC_INCREASE, step=1))
    ends: tuple[End, ...] = (lambda s: s.tick(FAIL), lambda s: s.order("abort"))
    for end in ends:
        story = begun(plan)
        story.tick(PASS)
        assert story.state.phase is Phase.WAITING
        end(story)
        assert (story.state.phase, story.weight) == (Phase.ROLLED_BACK, 0.0)
        assert gates_due(story.state) == ()


def test_a_person_passes_a_gate_by_name() -> None:
    """``promote`` goes on without it, and that is recorded as the person's."""
    story = begun(with_gates(gate(GateType.CONFIRM_ROLLOUT)))
    outcome = story.order("promote")

    assert story.weight == 20.0
    assert outcome.decision is not None
    assert outcome.decision.who == "ann"


def test_a_pause_at_a_gate_resumes_at_the_gate() -> None:
    """Nothing rises by pausing and resuming."""
    story = begun(with_gates(gate(GateType.CONFIRM_ROLLOUT)))
    story.order("pause")
    assert gates_due(story.state) == ()
    story.order("resume")

    assert story.seen() == (Phase.WAITING, Reason.GATE_CLOSED, 0.0)
    assert gates_due(story.state) == (0,)


def test_a_gate_that_opens_in_a_freeze_lets_through_at_its_end() -> None:
    """The freeze holds what the gate would let go on."""
    story = begun(with_gates(gate(GateType.CONFIRM_ROLLOUT)))
    story.order("freeze")
    say(story, 0, Answer.OPEN)
    story.tick(None)
    assert story.seen() == (Phase.WAITING, Reason.FROZEN, 0.0)

    story.order("unfreeze")
    story.tick(None)
    assert story.seen() == (Phase.PROGRESSING, Reason.NONE, 20.0)
