"""Freezes: nothing rises, starts or is promoted; lowering is never frozen."""

from dataclasses import replace

import pytest

from proxy.errors import ConflictError
from proxy.model.vocabulary import Phase, Reason
from proxy.rollout import After, Bake, CalendarSeen, Tripped
from tests.support.rollouts import (
    FAIL,
    PASS,
    PLAN,
    End,
    Story,
    baking,
    begun,
    idle,
    paused,
    promoting,
    rolled_back,
    waiting,
)


def frozen(story: Story) -> Story:
    """Return the story with a freeze by Ann."""
    story.order("freeze", owner="ops")
    return story


def test_a_freeze_says_whose_it_is_and_why() -> None:
    """Reason and owner are kept; a freeze without a reason is refused."""
    story = begun()
    outcome = story.order("freeze", owner="ops")
    assert story.state.standstill == "frozen by ops: because"
    assert outcome.decision is not None
    assert outcome.decision.message == "frozen by ops: because"
    with pytest.raises(ConflictError, match="needs a reason"):
        story.order("freeze", reason="")


def test_a_step_that_passes_holds_until_the_thaw() -> None:
    """Clocks stand still, and the step passes when nothing holds it any more."""
    story = frozen(begun())
    before_s = story.run.step_s
    story.tick(PASS)
    assert story.seen() == (Phase.PROGRESSING, Reason.FROZEN, 20.0)
    assert story.run.step_s == before_s

    story.order("unfreeze")
    story.tick(PASS)
    assert story.weight == 50.0


def test_a_start_waits_for_the_thaw() -> None:
    """A new revision is noted, not started; a person's start is refused."""
    story = frozen(idle())
    story.revision("canary", "2")
    story.tick(None)
    assert story.seen() == (Phase.IDLE, Reason.FROZEN, 0.0)
    with pytest.raises(ConflictError, match="--override-freeze"):
        story.order("start")

    story.order("unfreeze")
    story.tick(None)
    assert story.state.phase is Phase.PROGRESSING


@pytest.mark.parametrize(
    ("tell", "verb"),
    [
        (idle, "start"),
        (rolled_back, "retry"),
        (begun, "promote"),
        (begun, "skip"),
        (waiting, "promote"),
        (waiting, "resume"),
        (baking, "promote"),
        (promoting, "promote"),
    ],
)
def test_what_raises_is_refused_and_can_be_overridden(tell: object, verb: str) -> None:
    """409 with the freeze in words; ``--override-freeze`` lets it through."""
    assert callable(tell)
    story = frozen(tell())
    with pytest.raises(ConflictError, match="frozen by ops: because"):
        story.order(verb)

    outcome = story.order(verb, override="hotfix")
    assert outcome.decision is not None
    assert outcome.decision.note == "because (freeze overridden: hotfix)"


def test_an_override_holds_for_the_run_until_the_next_freeze() -> None:
    """A hotfix is not stopped again at its second step; a new freeze does stop it."""
    story = frozen(idle())
    story.order("start", override="hotfix")
    story.tick(PASS)
    assert story.weight == 50.0

    frozen(story)
    story.tick(PASS)
    assert story.seen() == (Phase.PROGRESSING, Reason.FROZEN, 50.0)


def test_weight_by_hand_is_frozen_upwards_only() -> None:
    """``split`` lowers freely, and raises with an override."""
    story = idle()
    story.by_hand(canary=5.0)
    frozen(story)
    with pytest.raises(ConflictError, match="frozen"):
        story.by_hand(canary=6.0)
    story.by_hand(canary=2.0)
    assert story.weight == 2.0


@pytest.mark.parametrize("tell", [begun, paused, waiting, baking, promoting])
def test_harm_ends_a_frozen_run_all_the_same(tell: object) -> None:
    """Violations, fail-fast and abort are never frozen."""
    assert callable(tell)
    ends: tuple[End, ...] = (
        lambda s: s.tick(FAIL),
        lambda s: s.send(Tripped("failing")),
        lambda s: s.order("abort"),
    )
    for end in ends:
        story = frozen(tell())
        end(story)
        assert (story.state.phase, story.weight) == (Phase.ROLLED_BACK, 0.0)


def test_a_bake_that_ends_frozen_keeps_its_holdback() -> None:
    """The last per cent waits for the thaw; then it has succeeded."""
    story = begun(replace(PLAN, bake=Bake(3.0, 1.0)))
    story.order("promote", full=True)
    for _ in range(2):
        story.tick()
    frozen(story)
    for _ in range(5):
        story.tick()
    assert story.seen() == (Phase.BAKING, Reason.FROZEN, 99.0)
    assert story.run.bake_s == 2.0

    story.order("unfreeze")
    story.tick()
    assert story.state.phase is Phase.SUCCEEDED


def test_a_return_waits_for_the_thaw() -> None:
    """Stable gets its traffic back when nothing is frozen."""
    story = begun(replace(PLAN, after=After.RETURN))
    story.order("promote", full=True)
    frozen(story)
    story.revision("stable", "2")
    story.tick()
    assert story.seen() == (Phase.PROMOTING, Reason.FROZEN, 100.0)
    story.order("unfreeze")
    story.tick()
    assert story.state.phase is Phase.SUCCEEDED


def test_the_calendar_freezes_and_thaws_by_itself() -> None:
    """A window is recorded at both ends; only a person's freeze can be lifted."""
    story = begun()
    story.send(CalendarSeen("fri 16:00 to 23:59 UTC"))
    story.tick(PASS)
    assert story.weight == 20.0
    assert "fri 16:00" in story.state.message
    with pytest.raises(ConflictError, match="ends by itself"):
        story.order("unfreeze")

    outcome = story.send(CalendarSeen(""))
    assert outcome.decision is not None
    assert outcome.decision.rule == "calendar-thaw"
    story.tick(PASS)
    assert story.weight == 50.0


def test_a_split_of_the_file_that_raises_waits_for_the_thaw() -> None:
    """One that lowers is applied at once."""
    story = idle()
    frozen(story)
    story.config(stable=90.0, canary=10.0)
    assert story.weight == 0.0
    story.order("unfreeze")
    assert story.weight == 10.0

    frozen(story)
    story.config(stable=95.0, canary=5.0)
    assert story.weight == 5.0


def test_resuming_at_the_same_weight_is_no_raise() -> None:
    """Clocks stand still all the same."""
    story = frozen(paused())
    story.order("resume")
    story.tick(PASS)
    assert story.seen() == (Phase.PROGRESSING, Reason.FROZEN, 20.0)
