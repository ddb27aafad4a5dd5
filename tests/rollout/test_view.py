"""The public JSON: the contract's keys, units and ``next``."""

import json
from dataclasses import replace

import pytest

from proxy.model.judging import Judgement, Requests, SloJudgement
from proxy.model.vocabulary import Reason, Verdict
from proxy.rollout import After, decision_view, public_view
from tests.support.rollouts import (
    FAIL,
    MORE,
    PASS,
    PLAN,
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

CONTRACT = {
    "id", "service", "phase", "reason", "strategy", "stable", "canary", "revision",
    "step", "steps", "weight", "started_at", "exposed_requests", "plan_hash",
    "verdict", "message", "next", "slos",
}  # fmt: skip
SLO_KEYS = {
    "id", "verdict", "stable", "canary", "value", "limit", "interval", "requests",
}  # fmt: skip
ROW = SloJudgement(
    "latency-p99-ratio",
    Verdict.UNDECIDED,
    0.212,
    0.221,
    1.04,
    1.10,
    (0.97, 1.13),
    Requests(620, 189, 110),
)


def view(story: Story) -> dict[str, object]:
    """Return what the API shows."""
    return public_view(story.state, story.plan, 1_800_000_000.0)


def test_a_rollout_reads_as_the_contract_says() -> None:
    """All keys, in percent, seconds and fractions, steps from 1."""
    story = begun()
    story.tick(replace(MORE, slos=(ROW,)))
    shown = view(story)

    assert set(shown) >= CONTRACT
    assert json.loads(json.dumps(shown)) == shown
    assert (shown["id"], shown["phase"], shown["reason"]) == (
        "shop-1",
        "Progressing",
        "Undecided",
    )
    assert (shown["step"], shown["weight"], shown["verdict"]) == (1, 20.0, "undecided")
    assert shown["steps"] == [{"weight": 20.0}, {"weight": 50.0}, {"weight": 100.0}]
    assert shown["next"] == {
        "action": "advance to 50",
        "at": "2027-01-15T08:00:03Z",
        "blocked_by": "min_requests",
    }
    slos = shown["slos"]
    assert isinstance(slos, list)
    assert set(slos[0]) >= SLO_KEYS
    assert slos[0]["requests"] == {"stable": 620, "canary": 189, "needed": 110}
    assert slos[0]["interval"] == [0.97, 1.13]


def test_before_the_first_run_the_files_plan_is_shown() -> None:
    """Idle, with the steps that would be taken."""
    shown = view(idle())

    assert (shown["id"], shown["phase"], shown["next"]) == ("", "Idle", None)
    assert shown["steps"] == [{"weight": 20.0}, {"weight": 50.0}, {"weight": 100.0}]
    assert view(Story(plan=None))["steps"] == []


def test_after_a_swap_the_run_keeps_its_roles() -> None:
    """The run's canary has everything; the roles of the next are beside it."""
    shown = view(succeeded())

    assert (shown["canary"], shown["weight"]) == ("canary", 100.0)
    assert shown["roles"] == {"stable": "canary", "canary": "stable"}
    assert shown["ended_at"] is not None


@pytest.mark.parametrize(
    ("story", "action", "blocked_by"),
    [
        (begun(), "advance to 50", "traffic"),
        (paused(), "advance to 50", "resume"),
        (waiting(), "advance to 50", "promote"),
        (promoting(), "return the traffic to stable", "revision"),
        (retreating(), "roll back", "stable"),
    ],
)
def test_next_says_what_it_waits_for(
    story: Story, action: str, blocked_by: str
) -> None:
    """Every active phase has something that comes next."""
    assert view(story)["next"] == {
        "action": action,
        "at": None,
        "blocked_by": blocked_by,
    }


def test_a_revision_that_waits_for_health_comes_next() -> None:
    """Also between runs."""
    story = idle()
    story.revision("canary", "2")

    assert view(story)["next"] == {
        "action": "start revision 2",
        "at": None,
        "blocked_by": "health",
    }


@pytest.mark.parametrize(
    ("judgement", "blocked_by"),
    [
        (replace(MORE, needed=0), "min_duration"),
        (replace(MORE, reason=Reason.WARM_UP), "warmup"),
        (replace(MORE, slos=(replace(ROW, suspicious=True),)), "latency-p99-ratio"),
        (replace(MORE, wait_s=None), "min_requests"),
    ],
)
def test_a_step_names_what_blocks_it(judgement: Judgement, blocked_by: str) -> None:
    """Time, warm-up, requests, or the SLO that looks bad."""
    story = begun()
    story.tick(judgement)
    shown = view(story)["next"]

    assert isinstance(shown, dict)
    assert shown["blocked_by"] == blocked_by


def test_after_a_pass_nothing_blocks_the_new_step() -> None:
    """Until its own first judgement."""
    story = begun()
    story.tick(PASS)
    shown = view(story)["next"]

    assert isinstance(shown, dict)
    assert shown == {
        "action": "promote",
        "at": "2027-01-15T08:00:00Z",
        "blocked_by": None,
    }


def test_a_promotion_that_returns_says_so() -> None:
    """The last action depends on ``after``; pauses are shown."""
    steps = (replace(PLAN.steps[0], pause=True),)
    story = begun(replace(PLAN, after=After.RETURN, steps=steps))
    story.tick(MORE)
    shown = view(story)

    assert shown["steps"] == [{"weight": 20.0, "pause": True}]
    assert isinstance(shown["next"], dict)
    assert shown["next"]["action"] == "promote and return"


def test_a_decision_reads_with_its_evidence() -> None:
    """Instants in UTC, evidence in the same shape as the rollout's."""
    story = begun()
    outcome = story.tick(replace(FAIL, slos=(ROW,)))
    assert outcome.decision is not None

    shown = decision_view(outcome.decision)

    assert shown["at"] == "1970-01-01T00:16:46Z"
    assert isinstance(shown["evidence"], dict)
    assert shown["evidence"]["slos"][0]["id"] == "latency-p99-ratio"
    started = begun().order("pause").decision
    assert started is not None
    assert decision_view(started)["evidence"] is None
    assert view(rolled_back())["next"] is None
