"""A recorded rollout decided again: the same by the same plan, otherwise by another."""

from dataclasses import replace
from pathlib import Path

from proxy.analysis.recording import Second
from proxy.control.plans import rollout_plan
from proxy.control.recordings import seconds_in
from proxy.control.replay import Replayed, replayed
from proxy.model.vocabulary import Phase, Reason
from proxy.rollout.plan import RolloutPlan
from tests.control.test_business import SHOP, begin, trade
from tests.support.control_room import ControlRoom, load

BROKEN = SHOP.replace(
    "slos: [{metric: orders, min_ratio: 0.9, windows: [10s, 60s]}]",
    "slos: [{metric: orders, min_ratio: 0.9}, {metric: error_rate, max: 5%}]",
)


def plan_of(text: str) -> RolloutPlan:
    """Return the plan of the shop in a file."""
    plan = rollout_plan(load(text).settings.services["shop"])
    assert plan is not None
    return plan


def recorded(tmp_path: Path, text: str, *, stable: int, canary: int) -> list[Second]:
    """Return the recording of a rollout with so many orders a second."""
    room = ControlRoom(tmp_path)
    begin(room, text)
    trade(room, 70, stable=stable, canary=canary)
    return list(seconds_in(room.governor.chronicle.recorder.lines("shop", "shop-1")))


def again(text: str, seconds: list[Second]) -> Replayed:
    """Replay a recording by the plan of a file."""
    return replayed(plan_of(text), seconds, service="shop", revision="2.4.0")


def test_the_same_plan_decides_the_same(tmp_path: Path) -> None:
    """Rolled back for the same reason, in the last second of the recording."""
    seconds = recorded(tmp_path, BROKEN, stable=20, canary=10)
    found = again(BROKEN, seconds)

    assert (found.state.phase, found.state.reason) == (
        Phase.ROLLED_BACK,
        Reason.SLO_VIOLATED,
    )
    assert "orders-min_ratio" in found.state.message
    assert found.seconds == len(seconds)
    assert [one.decision.rule for one in found.decisions][-1] == "slo-violated"
    assert found.decisions[-1].weight_then == 50.0


def test_a_lax_plan_would_have_gone_on(tmp_path: Path) -> None:
    """Half of the orders are enough for it; the recording ends before it does."""
    seconds = recorded(tmp_path, BROKEN, stable=20, canary=10)
    found = again(BROKEN.replace("0.9", "0.3"), seconds)

    assert not found.ended
    assert found.state.phase is Phase.PROGRESSING


def test_a_quicker_plan_would_have_been_done_sooner(tmp_path: Path) -> None:
    """A step of 30 s was promoted; of 5 s it is after 5 s."""
    seconds = recorded(tmp_path, BROKEN, stable=20, canary=20)
    slow, quick = (
        again(BROKEN.replace("min_duration: 30s", f"min_duration: {wait}"), seconds)
        for wait in ("30s", "5s")
    )

    assert slow.state.phase is quick.state.phase is Phase.SUCCEEDED
    assert quick.lasted_s + 20 <= slow.lasted_s


def test_a_stricter_plan_tells_what_was_not_recorded(tmp_path: Path) -> None:
    """Routes and events that nobody judged then cannot be judged now."""
    seconds = recorded(tmp_path, BROKEN, stable=20, canary=20)
    wider = BROKEN.replace(
        "events: {orders: {when: {method: POST}}}",
        "events: {orders: {}, gifts: {}}\n    routes: [GET /a]",
    ).replace(
        "{metric: error_rate, max: 5%}",
        "{metric: gifts, min_ratio: 0.9}, "
        "{metric: error_rate, max: 5%, route: GET /a}, "
        "{metric: prometheus, url: 'http://127.0.0.1:9', query: up, max: 5}",
    )
    found = again(wider, seconds)

    assert set(found.unrecorded) == {
        "gifts-min_ratio",
        "error_rate-max@GET /a",
        "prometheus-max",
    }
    assert found.state.phase is Phase.SUCCEEDED


def test_nobody_is_waited_for(tmp_path: Path) -> None:
    """Pauses and gates have nobody who could answer."""
    seconds = recorded(tmp_path, BROKEN, stable=20, canary=20)
    plan = plan_of(BROKEN)
    paused = tuple(replace(step, pause=True) for step in plan.steps)
    found = replayed(
        replace(plan, steps=paused), seconds, service="shop", revision=None
    )

    assert found.state.phase is Phase.SUCCEEDED


def test_an_empty_recording_decides_nothing() -> None:
    """It began and nothing was seen."""
    found = again(BROKEN, [])

    assert (found.seconds, found.lasted_s, found.ended) == (0, 0.0, False)
