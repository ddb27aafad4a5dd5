"""What the rules are made of, where no rule shows it."""

from dataclasses import replace

from proxy.rollout import Fate, hash_of
from proxy.rollout.moves import FATES_MAX
from tests.support.rollouts import FAIL, PLAN, begun


def test_equal_plans_have_equal_hashes() -> None:
    """And a changed step another."""
    assert hash_of(PLAN) == hash_of(replace(PLAN))
    assert hash_of(PLAN) != hash_of(replace(PLAN, steps=PLAN.steps[1:]))


def test_fates_are_bounded_and_the_newest_stay() -> None:
    """A revision a day is remembered for a quarter."""
    story = begun()
    old = {f"r{n}": Fate.SUCCEEDED for n in range(FATES_MAX)}
    story.state = replace(story.state, fates=old)
    story.tick(FAIL)

    assert len(story.state.fates) == FATES_MAX
    assert list(story.state.fates)[-1] == "2"
    assert "r0" not in story.state.fates


def test_a_first_step_of_100_is_a_promotion() -> None:
    """The plan's author asked for everything at once."""
    story = begun(replace(PLAN, steps=PLAN.steps[2:]))

    assert story.weight == 100.0
