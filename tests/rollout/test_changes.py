"""Revisions that appear, and a file that changes."""

from dataclasses import replace

from proxy.model.vocabulary import Phase, Reason
from proxy.rollout import Ended, Fate, RevisionSeen, Start, from_json, to_json
from tests.support.rollouts import (
    FAIL,
    PASS,
    PLAN,
    STORIES,
    Story,
    begun,
    idle,
    paused,
    retreating,
    rolled_back,
    succeeded,
)


def test_an_empty_store_records_and_starts_nothing() -> None:
    """The revisions that are there first are the ground."""
    story = Story()
    story.config()
    story.revision("stable", "1")
    story.revision("canary", "2")
    story.tick(None)

    assert story.state.phase is Phase.IDLE
    assert story.state.revisions == {"stable": "1", "canary": "2"}


def test_the_same_revision_again_is_nothing() -> None:
    """Polls repeat themselves; only changes are recorded."""
    for tell in STORIES.values():
        story = tell()
        known = story.state.revisions["canary"]

        assert story.revision("canary", known).decision is None


def test_a_newer_revision_supersedes_a_run() -> None:
    """Canary to 0, the run ended as Superseded, and the newer one starts."""
    story = begun()
    outcome = story.revision("canary", "3")
    assert story.seen() == (Phase.IDLE, Reason.SUPERSEDED, 0.0)
    assert outcome.actions[-1] == Ended("shop-1", Phase.ROLLED_BACK, Reason.SUPERSEDED)
    assert story.state.fates == {}

    story.tick(None)
    assert story.seen() == (Phase.PROGRESSING, Reason.NONE, 20.0)
    assert (story.run.id, story.run.revision) == ("shop-2", "3")


def test_superseding_leaves_a_manual_rollout_to_people() -> None:
    """``start: manual`` does not start the newer one."""
    story = Story(replace(PLAN, start=Start.MANUAL))
    story.config()
    story.revision("canary", "2")
    story.order("start")
    story.revision("canary", "3")
    story.tick(None)

    assert story.seen() == (Phase.IDLE, Reason.SUPERSEDED, 0.0)


def test_a_split_that_waited_gives_a_superseding_revision_nothing() -> None:
    """It has not been judged yet; its own run will raise it."""
    story = begun()
    story.config(stable=40.0, canary=60.0)
    story.revision("canary", "3")

    assert story.seen() == (Phase.IDLE, Reason.SUPERSEDED, 0.0)


def test_a_revision_waits_while_a_rollback_is_under_way() -> None:
    """It starts after the old one has reached 0."""
    story = retreating()
    story.revision("stable", "1b")
    story.revision("canary", "3")
    assert story.seen() == (Phase.ROLLING_BACK, Reason.STABLE_UNHEALTHY, 20.0)

    story.tick()
    assert story.state.phase is Phase.ROLLED_BACK
    assert story.state.fates == {"2": Fate.ROLLED_BACK}
    story.tick(None)
    assert story.run.revision == "3"


def test_a_rolled_back_revision_does_not_start_again() -> None:
    """Also when it comes back after another one."""
    story = rolled_back()
    story.revision("canary", "1")
    story.revision("canary", "2")
    story.tick(None)

    assert story.state.phase is Phase.ROLLED_BACK
    assert story.state.message == "revision 2 was rolled back before: it needs retry"


def test_a_revision_that_came_back_during_a_run_does_not_start() -> None:
    """Superseding by a revision with a fate ends in rest."""
    story = rolled_back()
    story.revision("canary", "3")
    story.tick(None)
    story.revision("canary", "2")
    story.tick(None)

    assert story.seen() == (Phase.IDLE, Reason.SUPERSEDED, 0.0)


def test_a_winner_that_is_deployed_again_is_judged_already() -> None:
    """Its success is remembered."""
    story = succeeded()
    story.revision("stable", "2")
    story.tick(None)

    assert story.state.phase is Phase.SUCCEEDED
    assert story.state.unjudged == {}


def test_a_live_version_that_changes_outside_a_rollout_is_flagged() -> None:
    """UnjudgedRevision, until a person sets the split."""
    story = idle()
    story.revision("stable", "1")
    story.revision("stable", "2")
    assert story.seen() == (Phase.IDLE, Reason.UNJUDGED_REVISION, 0.0)
    assert story.state.unjudged == {"stable": "2"}

    story.by_hand(canary=1.0)
    assert story.seen() == (Phase.IDLE, Reason.NONE, 1.0)
    assert story.state.unjudged == {}


def test_an_unjudged_revision_does_not_hide_why_a_run_was_rolled_back() -> None:
    """The flag is there beside the reason."""
    story = rolled_back()
    story.revision("stable", "1b")

    assert story.state.reason is Reason.SLO_VIOLATED
    assert story.state.unjudged == {"stable": "1b"}


def test_a_canary_with_weight_by_hand_is_flagged_when_nothing_starts() -> None:
    """A manual rollout does not judge what was put under live weight."""
    story = Story(replace(PLAN, start=Start.MANUAL))
    story.config(stable=95.0, canary=5.0)
    story.revision("canary", "1")
    story.revision("canary", "2")

    assert story.state.unjudged == {"canary": "2"}
    story.order("start")
    assert story.state.unjudged == {}


def test_other_versions_change_during_a_run() -> None:
    """Stable's revision is recorded and ends nothing."""
    story = begun()
    story.revision("stable", "1b")

    assert story.seen() == (Phase.PROGRESSING, Reason.NONE, 20.0)


def test_a_run_without_a_revision_is_not_superseded_by_its_own() -> None:
    """A header that is first seen when traffic comes names what runs."""
    story = Story(replace(PLAN, start=Start.MANUAL))
    story.config()
    story.order("start")
    story.send(RevisionSeen("canary", "2"))

    assert story.state.phase is Phase.PROGRESSING


# --- the file ---


def test_a_restart_changes_nothing() -> None:
    """A saved rollback is never undone by the file's split."""
    for tell in STORIES.values():
        story = tell()
        story.state = from_json(to_json(story.state))
        before = story.state

        assert story.config().decision is None
        assert story.state == before


def test_a_changed_split_applies_between_runs() -> None:
    """Against what was last seen, not against what is live."""
    story = idle()
    story.by_hand(canary=5.0)
    story.config(stable=90.0, canary=10.0)

    assert story.weight == 10.0


def test_a_changed_split_waits_for_the_end_of_a_run() -> None:
    """It is applied when the run is over, and says so meanwhile."""
    story = begun()
    outcome = story.config(stable=30.0, canary=70.0)
    assert outcome.decision is not None
    assert outcome.decision.rule == "config-waits"
    assert story.weight == 20.0

    story.tick(PASS)
    story.tick(PASS)
    assert story.state.split == {"stable": 30.0, "canary": 70.0}


def test_a_file_cannot_give_weight_to_what_was_rolled_back() -> None:
    """That needs a person and force."""
    story = begun()
    story.config(stable=90.0, canary=10.0)
    story.tick(FAIL)
    assert story.state.split == {"stable": 100.0, "canary": 0.0}

    story.config(stable=80.0, canary=20.0)
    assert story.weight == 0.0


def test_a_reload_that_removes_the_rollout_aborts() -> None:
    """The canary is at 0, and the rest belongs to the file."""
    story = paused()
    story.plan = None
    outcome = story.config()

    assert story.seen() == (Phase.ROLLED_BACK, Reason.MANUAL_ABORT, 0.0)
    assert outcome.decision is not None
    assert outcome.decision.who == "config"
    assert story.state.stable == ""


def test_a_reload_that_changes_a_role_aborts() -> None:
    """Another canary is another rollout; the old version's part goes to stable."""
    story = begun()
    story.plan = replace(PLAN, canary="v3")
    story.config(stable=100.0, v3=0.0)

    assert story.state.phase is Phase.ROLLED_BACK
    assert story.state.split == {"stable": 100.0, "v3": 0.0}
    assert story.state.canary == "v3"


def test_roles_that_follow_a_swap_are_no_change() -> None:
    """Committing what was printed after a swap, during the next run, is fine."""
    story = succeeded()
    story.revision("stable", "3")
    story.tick(None)
    story.plan = replace(PLAN, stable="canary", canary="stable")
    story.config(stable=0.0, canary=100.0)

    assert story.state.phase is Phase.PROGRESSING
    assert story.state.file_roles == ("canary", "stable")


def test_versions_come_and_go_with_the_file() -> None:
    """A removed version's part goes to stable, a new one begins at 0."""
    story = Story(split={"stable": 90.0, "canary": 0.0, "v3": 10.0})
    story.config()
    story.config(stable=100.0, canary=0.0, v4=0.0)
    assert story.state.split == {"stable": 100.0, "canary": 0.0, "v4": 0.0}

    story.order("start")
    story.config(stable=100.0, canary=0.0)
    assert story.state.split == {"stable": 80.0, "canary": 20.0}


def test_a_service_without_a_rollout_follows_its_file() -> None:
    """No roles, no run; weights are the file's, and roles may come later."""
    story = Story(plan=None, split={"only": 100.0})
    story.config()
    story.tick(None)
    assert story.state.split == {"only": 100.0}

    story.plan = PLAN
    story.config(stable=100.0, canary=0.0)
    assert (story.state.stable, story.state.canary) == ("stable", "canary")
