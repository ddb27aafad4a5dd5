"""The bake: the old version stays as control for a while after 100 %."""

from dataclasses import replace

from proxy.model.vocabulary import Phase, Reason
from proxy.rollout import After, Bake, Ended, SetWeights, Tripped
from tests.support.rollouts import FAIL, PASS, PLAN, Story, baking, begun

BAKED = replace(PLAN, bake=Bake(3.0, 1.0))


def bakes() -> Story:
    """Return a story that passed its steps and bakes."""
    story = begun(BAKED)
    story.tick(PASS)
    story.tick(PASS)
    return story


def test_100_means_the_bake_first() -> None:
    """Weight 100 less the holdback, roles as they were."""
    story = bakes()
    assert story.seen() == (Phase.BAKING, Reason.NONE, 99.0)
    assert (story.state.stable, story.state.canary) == ("stable", "canary")


def test_after_its_duration_it_has_succeeded() -> None:
    """Judged seconds only; then everything, and the roles swap."""
    story = begun(replace(PLAN, bake=Bake(20.0, 1.0)))
    story.order("promote", full=True)
    for _ in range(2):
        story.tick(dt_s=5.0)
    for _ in range(20):
        story.tick(dt_s=5.0, canary_routed=0, stable_routed=0)
    assert (story.state.phase, story.run.bake_s) == (Phase.BAKING, 15.0)
    outcome = story.tick(dt_s=5.0)

    assert story.seen() == (Phase.SUCCEEDED, Reason.NONE, 100.0)
    assert (story.state.stable, story.state.canary) == ("canary", "stable")
    assert outcome.actions == (
        SetWeights({"stable": 0.0, "canary": 100.0}),
        Ended("shop-1", Phase.SUCCEEDED, Reason.NONE),
    )


def test_a_late_fault_rolls_back_on_its_own() -> None:
    """By the judge, and by fail-fast."""
    story = bakes()
    story.tick(FAIL)
    assert story.seen() == (Phase.ROLLED_BACK, Reason.SLO_VIOLATED, 0.0)

    story = bakes()
    story.send(Tripped("failing"))
    assert story.seen() == (Phase.ROLLED_BACK, Reason.FAIL_FAST, 0.0)


def test_a_return_follows_the_bake() -> None:
    """With ``after: return`` all traffic waits for stable, after the bake."""
    story = begun(replace(BAKED, after=After.RETURN))
    story.order("promote", full=True)
    for _ in range(4):
        story.tick()
    assert story.seen() == (Phase.PROMOTING, Reason.NONE, 100.0)


def test_a_person_may_cut_it_short_or_stop_its_clock() -> None:
    """``promote`` ends it, ``pause`` holds it where it is, ``resume`` goes on."""
    story = baking()
    story.order("pause")
    for _ in range(9):
        story.tick()
    assert (story.state.phase, story.run.bake_s) == (Phase.PAUSED, 0.0)
    story.order("resume")
    assert story.seen() == (Phase.BAKING, Reason.NONE, 99.0)
    story.order("promote")
    assert story.state.phase is Phase.SUCCEEDED


def test_a_lowered_bake_resumes_with_its_weight() -> None:
    """By hand it goes down and pauses; resume takes it up again, by name."""
    story = baking()
    story.by_hand(canary=10.0)
    assert story.seen() == (Phase.PAUSED, Reason.MANUAL_PAUSE, 10.0)
    story.tick()
    assert story.weight == 10.0
    story.order("resume")
    assert story.seen() == (Phase.BAKING, Reason.NONE, 99.0)


def test_a_newer_revision_supersedes_a_bake() -> None:
    """It is a rollout like any other until it has succeeded."""
    story = baking()
    story.revision("canary", "3")
    assert story.seen() == (Phase.IDLE, Reason.SUPERSEDED, 0.0)


def test_the_next_revision_is_judged_against_the_winner() -> None:
    """After bake and swap the next canary is the other version's place."""
    story = bakes()
    story.order("promote")
    story.revision("stable", "3")
    story.tick(None)
    assert (story.run.stable, story.run.canary) == ("canary", "stable")
