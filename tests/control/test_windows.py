"""Business metrics over windows: what is inside, what has left, what is whole."""

from proxy.analysis.values import ALL_ROUTES, Evidence, RouteEvidence, Window
from proxy.control.windows import SLOTS, Windows
from proxy.model.judging import JudgePlan
from proxy.rollout.plan import RolloutPlan, Step
from proxy.rollout.state import Run

PLAN = RolloutPlan(
    "stable",
    "canary",
    (Step(20.0),),
    JudgePlan(()),
    windows={"orders": (60.0, 600.0)},
)
RUN = Run("shop-1", "stable", "canary", "2", PLAN, "", started_at_s=6000.0)


def second(stable: tuple[int, int], canary: tuple[int, int]) -> Evidence:
    """Return a second's evidence of orders."""
    pair = [Window(counts={"orders": counts}) for counts in (stable, canary)]
    return Evidence(1, {ALL_ROUTES: RouteEvidence(*pair)})


def test_windows_stand_side_by_side() -> None:
    """A minute of good orders after nine without: each window tells its part."""
    windows = Windows(RUN)
    for at in range(540):
        windows.note(second((8, 80), (0, 20)), 6000.0 + at)
    for at in range(540, 600):
        windows.note(second((8, 80), (2, 20)), 6000.0 + at)

    short, long = windows.rates(6599.0)["orders"]
    assert (short.window_s, long.window_s) == (60.0, 600.0)
    assert short.canary == (120, 1200)
    assert short.stable == (480, 4800)
    assert long.canary == (120, 12_000)


def test_a_window_says_whether_it_is_whole() -> None:
    """A rollout of two minutes has no ten minutes to show."""
    windows = Windows(RUN)

    complete = [one.complete for one in windows.rates(6120.0)["orders"]]
    assert complete == [True, False]


def test_nothing_was_seen_yet() -> None:
    """No counts are no rates."""
    short, _ = Windows(RUN).rates(6001.0)["orders"]

    assert (short.stable, short.canary) == ((0, 0), (0, 0))


def test_what_has_left_the_window_is_forgotten() -> None:
    """Also when nothing came meanwhile; and it costs no memory."""
    windows = Windows(RUN)
    for at in range(100_000):
        windows.note(second((1, 1), (1, 1)), 6000.0 + at)

    held = windows.rates(106_000.0)["orders"]
    gone = windows.rates(110_000.0)["orders"]
    assert [one.stable[1] for one in held] == [59, 590]
    assert [one.stable[1] for one in gone] == [0, 0]
    assert SLOTS == 60
