"""Pushed events in the evidence: counted once, and never harm for being late."""

import math
from dataclasses import replace

import pytest

from proxy.analysis.values import ALL_ROUTES, Evidence, RouteEvidence, Window
from proxy.control.pushes import LATE_S, Pushes
from proxy.model.judging import JudgePlan
from proxy.rollout.plan import RolloutPlan, Step
from proxy.rollout.state import Run

PLAN = RolloutPlan("stable", "canary", (Step(20.0),), JudgePlan(()))
RUN = Run("shop-1", "stable", "canary", "2", PLAN, "", 0.0)


class Desk:
    """Pushes of one service, a second at a time."""

    def __init__(self, run: Run = RUN) -> None:
        self.run = run
        self.pushes = Pushes()
        self.pushed: dict[str, dict[str, int]] = {}
        self.now_s = 1000.0

    def push(self, stable: int, canary: int) -> None:
        """Push orders of both versions."""
        for version, count in (("stable", stable), ("canary", canary)):
            events = self.pushed.setdefault(version, {})
            events["orders"] = events.get("orders", 0) + count

    def second(
        self, ratio: float, *, trials: tuple[int, int] = (80, 20), after_s: float = 1.0
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """Let a second pass; return stable's and canary's (orders, trials)."""
        self.now_s += after_s
        windows = [Window(counts={"orders": (0, count)}) for count in trials]
        found = self.pushes.join(
            "shop",
            self.run,
            Evidence(1, {ALL_ROUTES: RouteEvidence(*windows)}),
            self.pushed,
            ratio=ratio,
            now_s=self.now_s,
        )
        arms = found.routes[ALL_ROUTES]
        return arms.stable.counts["orders"], arms.canary.counts["orders"]


def test_without_pushes_the_evidence_is_untouched() -> None:
    """Counted events need no patience."""
    desk = Desk()

    assert desk.second(0.25) == ((0, 80), (0, 20))


def test_a_push_counts_once() -> None:
    """In the second in which it came, and in no other."""
    desk = Desk()
    desk.push(1, 1)
    desk.second(0.25)
    desk.second(0.25, after_s=LATE_S)
    desk.push(8, 2)

    assert desk.second(0.25) == ((8, 80), (2, 20))
    assert desk.second(0.25) == ((0, 80), (0, 20))


def test_what_was_pushed_before_this_process_counts_no_more() -> None:
    """The totals that were saved are not today's orders."""
    desk = Desk()
    desk.push(1000, 1000)

    desk.second(0.25)
    assert desk.second(0.25, after_s=LATE_S) == ((0, 80), (0, 20))


def test_after_the_first_exposure_late_orders_are_not_judged() -> None:
    """They may all be of users who only ever saw stable."""
    desk = Desk()
    desk.push(1, 0)
    desk.second(0.0, trials=(100, 0), after_s=LATE_S)
    desk.push(100, 0)

    assert desk.second(0.25) == ((0, 0), (0, 0))
    desk.push(100, 0)
    assert desk.second(0.25, after_s=LATE_S / 2) == ((0, 0), (0, 0))
    desk.push(80, 20)
    assert desk.second(0.25, after_s=LATE_S / 2) == ((80, 80), (20, 20))


def test_after_a_raise_the_old_share_is_believed() -> None:
    """20 to 50 %: orders still come as of 20 %, so do the canary's trials."""
    desk = Desk()
    desk.push(1, 1)
    desk.second(0.25)
    desk.second(0.25, after_s=LATE_S)
    desk.push(80, 20)

    assert desk.second(1.0, trials=(50, 50)) == ((80, 50), (20, 12))


def test_after_a_fall_nothing_is_held_back() -> None:
    """Late orders of more traffic only speak for the canary."""
    desk = Desk()
    desk.push(1, 1)
    desk.second(1.0)
    desk.second(1.0, after_s=LATE_S)
    desk.push(50, 50)

    assert desk.second(0.25) == ((50, 80), (50, 20))


@pytest.mark.parametrize("window_s", [5.0, 300.0])
def test_the_shortest_window_is_the_patience(window_s: float) -> None:
    """`windows: [5m, 30m]`: a push may come five minutes late."""
    plan = replace(PLAN, windows={"orders": (window_s, 9 * window_s)})
    desk = Desk(replace(RUN, plan=plan))
    desk.push(1, 0)
    desk.second(0.25)
    desk.push(80, 20)
    before = desk.second(0.25, after_s=window_s * 0.9)
    desk.push(80, 20)

    assert before == ((0, 0), (0, 0))
    assert desk.second(0.25, after_s=window_s * 0.1) == ((80, 80), (20, 20))


def test_without_stable_the_canarys_orders_stand() -> None:
    """At 100 % there is nobody to be compared with."""
    desk = Desk()
    desk.push(1, 1)
    desk.second(math.inf)
    desk.push(0, 5)

    assert desk.second(math.inf, trials=(0, 100), after_s=LATE_S) == ((0, 0), (5, 100))
