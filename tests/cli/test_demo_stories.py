"""Which ends of a story are as told, and which are complained about."""

from dataclasses import replace
from typing import Any

import pytest

from proxy.cli.demo.behaviour import Tally
from proxy.cli.demo.stories import (
    MORE,
    STORIES,
    Story,
    Watched,
    compared,
    judge,
    named,
)
from tests.support.parallel_run import diverging_report, equivalent_report

BAKE = {"duration": 8.0, "holdback": 10.0}
STEPS = [{"weight": weight} for weight in (20, 40, 60, 80, 100)]


def story(name: str) -> Story:
    """Return a story by its name."""
    return named([name])[0]


def watched(phase: str, reason: str = "", *weights: float) -> Watched:
    """Return a rollout that ended so."""
    rollout: dict[str, Any] = {"phase": phase, "reason": reason, "steps": STEPS}
    rollout["bake"] = BAKE
    return Watched(rollout, (0.0, *weights), took_s=20.0)


def tally(requests: int, over_s: float, in_flight_peak: int) -> Tally:
    """Return what a canary counted over some seconds."""
    return Tally(requests, in_flight_peak, first_s=100.0, last_s=100.0 + over_s)


def test_a_good_canary_has_to_pass_every_step() -> None:
    """Succeeded over 20, 40, 60, 80, the bake and 100 % is as told; a jump is not."""
    all_steps = watched("Succeeded", "", 20.0, 40.0, 60.0, 80.0, 90.0, 100.0)
    jump = watched("Succeeded", "", 20.0, 100.0)

    assert judge(story("good"), all_steps, tally(999, 20, 9), 2).wrong == ()
    assert judge(story("good"), jump, tally(999, 20, 9), 2).wrong


def test_the_slow_canary_has_to_be_rolled_back_for_its_latency() -> None:
    """Another reason, or another phase, is not the story that was announced."""
    seen = tally(400, 5, 9)

    told = judge(story("slow"), watched("RolledBack", "SloViolated", 20.0), seen, 2)
    other = judge(story("slow"), watched("RolledBack", "FailFast", 20.0), seen, 2)
    still = judge(story("slow"), watched("Progressing", "Undecided", 20.0), seen, 2)

    assert told.wrong == ()
    assert other.wrong == ("reason FailFast, expected SloViolated",)
    assert still.wrong == ("phase Progressing, expected RolledBack",)


@pytest.mark.parametrize(
    ("seen", "as_told"),
    [
        (tally(45, 0.9, 5), True),
        (tally(45, 1.1, 5), False),  # too late
        (tally(46, 0.9, 5), False),  # more than 20 a worker and 5 in flight
        (Tally(), False),  # nothing was exposed: nothing was shown
    ],
)
def test_a_failing_canary_is_out_within_a_second(seen: Tally, *, as_told: bool) -> None:
    """At most 20 a worker plus those in flight, and at most 1 s of failing."""
    ending = judge(story("failing"), watched("RolledBack", "FailFast", 20.0), seen, 2)

    assert (ending.wrong == ()) is as_told


def test_a_silent_canary_fails_first_when_its_first_attempt_times_out() -> None:
    """The second counts from the first timeout, 1 s after the first request."""
    end = watched("RolledBack", "FailFast", 20.0)

    assert judge(story("silent"), end, tally(120, 1.9, 90), 2).wrong == ()
    assert judge(story("silent"), end, tally(120, 2.1, 90), 2).wrong


def test_a_turn_that_was_not_taken_is_complained_about() -> None:
    """A fault before 100 % is not the late one that was announced."""
    end = watched("RolledBack", "SloViolated", 95.0)

    assert judge(story("late"), end, tally(400, 5, 9), 2).wrong == ()
    early = replace(end, left=("Baking",))
    assert judge(story("late"), early, tally(400, 5, 9), 2).wrong == (
        "it was never Baking",
    )


def test_the_number_of_exposed_requests_is_told() -> None:
    """The sentence of a dropped canary holds the number and its bound."""
    end = watched("RolledBack", "FailFast", 20.0)

    told = judge(story("failing"), end, tally(23, 0.25, 3), 2).told

    assert "0.25 s after its first failure" in told
    assert "23 requests were exposed" in told


def test_stories_are_told_in_their_order_whatever_was_asked_first() -> None:
    """Two in the order of the demo; asking for none gives the usual four."""
    assert [one.name for one in named(["slow", "good"])] == ["good", "slow"]
    assert named(None) == named([]) == STORIES
    assert named(["late"]) == (MORE[0],)
    assert len(STORIES) == 4


def test_a_story_that_does_not_exist_is_refused_by_name() -> None:
    """The refusal names the story and those that there are."""
    with pytest.raises(ValueError, match="no story 'fast', expected one of good, slow"):
        named(["good", "fast"])


def test_every_story_sets_the_whole_behaviour() -> None:
    """No story inherits a failure from the one before it on the same shop."""
    keys = {"median_s", "error_rate", "hangs", "lost_orders"}
    changes = [one.behaviour for one in (*STORIES, *MORE)]
    changes += [
        turn.behaviour
        for one in MORE
        for turn in one.turns
        if turn.behaviour is not None
    ]

    assert all(keys <= set(change) for change in changes)


def test_a_parallel_run_has_to_name_the_price_and_nothing_else() -> None:
    """Rolled back by Mismatch, the one field named, and no user on the canary."""
    end = watched("RolledBack", "Mismatch")
    unseen = Watched({**end.rollout, "exposed_requests": 0}, end.weights, 20.0)
    seen = Watched({**end.rollout, "exposed_requests": 3}, end.weights, 20.0)

    good = compared(story("parallel"), unseen, diverging_report())
    assert good.wrong == ()
    assert "$.items[].price differs; noise: $.id" in good.told
    assert compared(story("parallel"), seen, diverging_report()).wrong
    assert compared(story("parallel"), unseen, equivalent_report()).wrong
