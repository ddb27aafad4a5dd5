"""Whom a weight is meant for, step by step."""

from dataclasses import replace

from proxy.model.vocabulary import Phase
from proxy.rollout import Bake, Ring, Step
from proxy.rollout.state import OpenRings, open_rings_of
from tests.support.rollouts import FAIL, PASS, PLAN, Story, begun

RINGED = replace(
    PLAN,
    steps=(
        Step(100.0, only=Ring(header={"x-env": "eu-1"})),
        Step(20.0, only=Ring(cookie={"group": "beta"})),
        Step(50.0),
        Step(100.0),
    ),
)


def meant(story: Story) -> OpenRings | None:
    """Return the rings that are open."""
    return open_rings_of(story.state)


def test_100_of_a_ring_is_no_promotion() -> None:
    """It is a step like any other; promotion is 100 for all."""
    story = begun(RINGED)
    assert (story.state.phase, story.weight) == (Phase.PROGRESSING, 100.0)
    assert meant(story) == OpenRings(1, all=False, lid=100.0)
    story.tick(PASS)
    assert (story.weight, meant(story)) == (20.0, OpenRings(2, all=False, lid=100.0))
    story.tick(PASS)
    assert (story.weight, meant(story)) == (50.0, OpenRings(2, all=True, lid=100.0))
    story.tick(PASS)
    assert story.state.phase is Phase.SUCCEEDED
    assert meant(story) is None


def test_rings_stay_open_in_the_bake() -> None:
    """The holdback is everybody else's."""
    story = begun(replace(RINGED, bake=Bake(30.0, 1.0)))
    story.order("promote", full=True)
    assert (story.weight, meant(story)) == (99.0, OpenRings(2, all=True, lid=100.0))


def test_capacity_is_a_lid() -> None:
    """A quarter of the endpoints is a quarter for each ring."""
    story = begun(RINGED)
    story.tick(canary_capacity=0.25)
    assert meant(story) == OpenRings(1, all=False, lid=25.0)


def test_a_failure_closes_them_all() -> None:
    """At once, also where rollbacks go by steps."""
    story = begun(RINGED)
    story.tick(FAIL)
    assert (story.weight, meant(story)) == (0.0, None)
