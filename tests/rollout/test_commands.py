"""Verbs of people: what they do, and the sentences that refuse them."""

from dataclasses import replace

import pytest

from proxy.errors import ConflictError, NotFoundError, SettingsError
from proxy.model.vocabulary import Phase, Reason
from proxy.rollout import Fate, SplitOrdered, Start
from tests.support.rollouts import (
    PASS,
    PLAN,
    STEPS,
    STORIES,
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


def test_start_begins_at_the_first_step() -> None:
    """A person may start what nobody started."""
    story = idle()
    outcome = story.order("start")

    assert story.seen() == (Phase.PROGRESSING, Reason.NONE, 20.0)
    assert outcome.decision is not None
    assert (outcome.decision.who, outcome.decision.note) == ("ann", "because")


def test_start_needs_a_rollout() -> None:
    """A service without a rollout says so."""
    story = Story(plan=None)
    story.config()

    with pytest.raises(ConflictError, match="service shop has no rollout"):
        story.order("start")


def test_a_rolled_back_revision_needs_retry() -> None:
    """Neither start nor the controller begins it again."""
    story = rolled_back()
    story.tick(None)
    with pytest.raises(ConflictError, match="revision 2 was rolled back: use retry"):
        story.order("start")

    story.order("retry")
    assert story.seen() == (Phase.PROGRESSING, Reason.NONE, 20.0)
    assert story.run.id == "shop-2"
    assert "2" not in story.state.fates


def test_without_revisions_the_phase_says_what_was_rolled_back() -> None:
    """A manual rollout without a revision source needs retry as well."""
    story = Story(replace(PLAN, start=Start.MANUAL))
    story.config()
    story.order("start")
    story.order("abort")

    with pytest.raises(ConflictError, match="canary was rolled back: use retry"):
        story.order("start")
    story.order("retry")
    assert story.weight == 20.0


def test_retry_is_for_what_was_rolled_back() -> None:
    """Anything else is started."""
    with pytest.raises(ConflictError, match="revision 1 was not rolled back"):
        idle().order("retry")


def test_a_new_revision_may_start_after_a_rollback() -> None:
    """The fix does not need retry."""
    story = rolled_back()
    story.revision("canary", "3")
    story.order("start")

    assert story.run.revision == "3"


@pytest.mark.parametrize("tell", [begun, paused, waiting])
def test_promote_goes_to_the_next_step(tell: type[Story]) -> None:
    """A person may raise the weight by name, from wherever it waits."""
    story = tell()
    outcome = story.order("promote")

    assert story.seen() == (Phase.PROGRESSING, Reason.NONE, 50.0)
    assert outcome.decision is not None
    assert outcome.decision.rule == "promote"


def test_promote_full_goes_to_the_end() -> None:
    """All steps that are left are left out."""
    story = begun()
    story.order("promote", full=True)

    assert story.seen() == (Phase.SUCCEEDED, Reason.NONE, 100.0)


def test_promote_ends_promoting() -> None:
    """A person may say that stable has followed."""
    story = promoting()
    story.order("promote")

    assert story.seen() == (Phase.SUCCEEDED, Reason.NONE, 0.0)


def test_skip_leaves_the_step_out() -> None:
    """The next weight, without waiting for this one's verdict."""
    story = begun()
    story.order("skip")

    assert story.weight == 50.0


def test_pause_and_resume_keep_weight_and_clock() -> None:
    """Resume goes on where it was."""
    story = begun()
    story.tick()
    story.order("pause")
    assert story.seen() == (Phase.PAUSED, Reason.MANUAL_PAUSE, 20.0)

    story.order("resume")
    assert story.seen() == (Phase.PROGRESSING, Reason.NONE, 20.0)
    assert story.run.step_s == 1.0


def test_resume_after_a_lowered_weight_begins_the_step_again() -> None:
    """The step's weight comes back, and with it a step that starts at zero."""
    story = begun()
    story.tick()
    story.by_hand(canary=5.0)
    assert story.seen() == (Phase.PAUSED, Reason.MANUAL_PAUSE, 5.0)

    story.order("resume")
    assert story.seen() == (Phase.PROGRESSING, Reason.NONE, 20.0)
    assert story.run.step_s == 0.0


def test_resume_at_a_step_pause_goes_on() -> None:
    """Whoever resumes a pause does not want to be paused again."""
    story = waiting()
    story.order("resume")

    assert story.weight == 50.0


def test_abort_always_wins_and_is_idempotent() -> None:
    """From every phase the canary is at 0 after one abort, and after two."""
    for phase, tell in STORIES.items():
        story = tell()
        active, weight = story.state.active, story.state.canary_weight
        story.order("abort")
        second = story.order("abort")

        assert second.decision is None, phase
        if active:
            assert story.seen() == (Phase.ROLLED_BACK, Reason.MANUAL_ABORT, 0.0)
        else:
            assert (story.state.phase, weight) == (phase, 0.0)


def test_abort_takes_back_a_weight_set_by_hand() -> None:
    """Between runs too."""
    story = idle()
    story.by_hand(canary=5.0)
    story.order("abort")

    assert story.seen() == (Phase.IDLE, Reason.MANUAL_ABORT, 0.0)


def test_an_aborted_revision_needs_retry() -> None:
    """A person's no is remembered like the judge's."""
    story = begun()
    story.order("abort")

    assert story.state.fates == {"2": Fate.ROLLED_BACK}


@pytest.mark.parametrize(
    ("phase", "verb", "sentence"),
    [
        (Phase.IDLE, "promote", "is not active: use start"),
        (Phase.SUCCEEDED, "pause", "is not active: use start"),
        (Phase.ROLLED_BACK, "skip", "is not active: use start"),
        (Phase.PROGRESSING, "start", "is already active"),
        (Phase.PAUSED, "retry", "is already active"),
        (Phase.PROGRESSING, "resume", "is not paused"),
        (Phase.PAUSED, "pause", "is already paused"),
        (Phase.PAUSED, "skip", "is paused: resume it first"),
        (Phase.PROMOTING, "pause", "is at 100 % and waits for stable"),
        (Phase.ROLLING_BACK, "promote", "is being rolled back"),
    ],
)
def test_a_phase_that_does_not_allow_it_says_why(
    phase: Phase, verb: str, sentence: str
) -> None:
    """Refused with one sentence, and nothing changes."""
    story = STORIES[phase]()
    before = story.state

    with pytest.raises(ConflictError, match=f"rollout of shop {sentence}"):
        story.order(verb)
    assert story.state == before


def test_a_named_revision_must_be_the_current_one() -> None:
    """Nobody aborts or promotes what he did not mean."""
    story = begun()
    with pytest.raises(ConflictError, match="the canary's revision is 2, not 9"):
        story.order("promote", revision="9")
    with pytest.raises(ConflictError, match="revision is unknown, not 9"):
        Story().order("start", revision="9")

    story.order("promote", revision="2")
    assert story.weight == 50.0


# --- split ---


def test_a_split_by_hand_between_runs() -> None:
    """Stable takes the rest; the same again is no decision."""
    story = idle()
    outcome = story.by_hand(canary=5.0)

    assert story.state.split == {"stable": 95.0, "canary": 5.0}
    assert outcome.decision is not None
    assert outcome.decision.who == "ann"
    assert story.by_hand(canary=5.0).decision is None


def test_weight_for_a_rolled_back_revision_needs_force() -> None:
    """And with force it is done, and recorded."""
    story = rolled_back()
    with pytest.raises(ConflictError, match="revision 2 was rolled back: weight"):
        story.by_hand(canary=5.0)

    story.by_hand(canary=5.0, force=True)
    assert story.seen() == (Phase.ROLLED_BACK, Reason.SLO_VIOLATED, 5.0)


def test_an_active_rollout_is_only_lowered_by_hand() -> None:
    """A lower weight applies at once and pauses; a higher one is refused."""
    story = begun()
    with pytest.raises(ConflictError, match="at 20 %: the canary cannot be raised"):
        story.by_hand(canary=30.0)
    assert story.by_hand(canary=20.0).decision is None

    story.by_hand(canary=5.0)
    assert story.seen() == (Phase.PAUSED, Reason.MANUAL_PAUSE, 5.0)


def test_other_versions_stay_while_a_rollout_is_active() -> None:
    """Weight that the canary gives up goes to stable."""
    story = Story(split={"stable": 90.0, "canary": 0.0, "v3": 10.0})
    story.config()
    story.order("start")
    assert story.state.split == {"stable": 70.0, "canary": 20.0, "v3": 10.0}

    with pytest.raises(ConflictError, match="only weight between stable and canary"):
        story.by_hand(canary=10.0, v3=20.0)
    story.order("promote", full=True)
    assert story.state.split == {"stable": 0.0, "canary": 90.0, "v3": 10.0}


def test_lowering_while_rolling_back_stays_a_rollback() -> None:
    """Nothing that is being rolled back can be resumed."""
    story = retreating()
    story.by_hand(canary=5.0)

    assert story.seen() == (Phase.ROLLING_BACK, Reason.STABLE_UNHEALTHY, 5.0)


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ({"canary": 120.0}, "weight of canary is 120, expected 0-100"),
        ({"canary": -1.0}, "weight of canary is -1, expected 0-100"),
        ({"canary": 50.0, "stable": 60.0}, "weights sum to 110, expected 100"),
    ],
)
def test_impossible_weights_are_refused(
    weights: dict[str, float], sentence: str
) -> None:
    """One sentence says what they come to."""
    with pytest.raises(SettingsError, match=sentence):
        idle().send(SplitOrdered(weights, "ann"))


def test_unknown_versions_are_refused() -> None:
    """The versions that exist are named."""
    with pytest.raises(NotFoundError, match="no version v9, only stable, canary"):
        idle().by_hand(v9=5.0)


def test_a_step_pause_is_passed_again_only_by_a_person() -> None:
    """After the pause of the last step comes promotion."""
    steps = (replace(STEPS[0], pause=True), STEPS[2])
    story = begun(replace(PLAN, steps=steps))
    story.tick(PASS)
    story.order("promote")

    assert story.seen() == (Phase.SUCCEEDED, Reason.NONE, 100.0)


def test_a_winner_may_be_followed_by_hand() -> None:
    """After success the split belongs to people again."""
    story = succeeded()
    story.by_hand(stable=10.0, canary=90.0)

    assert story.state.split == {"stable": 10.0, "canary": 90.0}
