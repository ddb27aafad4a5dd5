"""The end of the tree: always forwards, always to an end, a second signal hurries."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.supervisor.drain import (
    _TABLE,
    CONTROL_STOP_S,
    HURRY_S,
    KILL_WAIT_S,
    Draining,
    Stage,
)

ORDER = list(Stage)


def test_the_table_is_total() -> None:
    """Every stage has its row."""
    assert set(_TABLE) == set(Stage)


def walk(draining: Draining, step_s: float, until_s: float) -> dict[Stage, float]:
    """Let time pass with nobody ending; return when each stage was entered."""
    entered: dict[Stage, float] = {}
    now_s = 0.0
    draining = draining.asked(now_s)
    while now_s < until_s:
        entered.setdefault(draining.stage, now_s)
        following = draining.advanced(now_s, workers_alive=True, control_alive=True)
        if following == draining:
            now_s += step_s
        draining = following
    return entered


def test_every_patience_has_its_end() -> None:
    """With children that never end, the tree ends after the sum of the limits."""
    entered = walk(Draining(delay_s=5.0, timeout_s=30.0), 0.5, 100.0)

    assert list(entered) == ORDER[1:]
    assert entered[Stage.FINISHING] == 5.0
    assert entered[Stage.KILLING_WORKERS] == 35.0
    assert entered[Stage.STOPPING] == 35.0 + KILL_WAIT_S
    assert entered[Stage.ENDED] == 35.0 + 2 * KILL_WAIT_S + CONTROL_STOP_S


def test_children_that_end_are_not_waited_for() -> None:
    """The moment the last worker is gone, control is stopped; then it ends."""
    draining = Draining(delay_s=0.0, timeout_s=30.0).asked(0.0)
    stages = []
    for _ in range(4):
        draining = draining.advanced(0.0, workers_alive=False, control_alive=False)
        stages.append(draining.stage)

    assert stages == [Stage.FINISHING, Stage.STOPPING, Stage.ENDED, Stage.ENDED]


def test_a_second_signal_cuts_delay_and_timeout() -> None:
    """No delay any more, and one second to finish."""
    draining = Draining(delay_s=60.0, timeout_s=60.0).asked(0.0).asked(10.0)

    assert draining.stage is Stage.FINISHING
    assert draining.deadline_s == 10.0 + HURRY_S


def test_a_second_signal_while_finishing_cuts_the_timeout() -> None:
    """One second from the signal on, or what was left if that is less."""
    draining = Draining(delay_s=0.0, timeout_s=60.0).asked(0.0)
    draining = draining.advanced(0.0, workers_alive=True, control_alive=True)

    assert draining.asked(10.0).deadline_s == 10.0 + HURRY_S
    assert draining.asked(59.5).deadline_s == 60.0


events = st.lists(
    st.tuples(st.booleans(), st.floats(0, 10), st.booleans(), st.booleans()),
    max_size=60,
)


@given(events, st.floats(0, 100), st.floats(0, 100))
def test_the_end_never_goes_back(
    happened: list[tuple[bool, float, bool, bool]], delay_s: float, timeout_s: float
) -> None:
    """Whatever happens in which order, stages only follow one another."""
    draining, now_s = Draining(delay_s, timeout_s), 0.0
    for asked, passed_s, workers_alive, control_alive in happened:
        now_s += passed_s
        before = draining
        if asked:
            draining = draining.asked(now_s)
        else:
            draining = draining.advanced(
                now_s, workers_alive=workers_alive, control_alive=control_alive
            )
        assert ORDER.index(draining.stage) >= ORDER.index(before.stage)
        if asked and before.stage is draining.stage:
            assert draining.deadline_s <= before.deadline_s


@pytest.mark.parametrize("alive", [True, False])
def test_nothing_ends_before_it_is_asked_to(alive: bool) -> None:  # noqa: FBT001
    """A serving tree serves, also with every child dead."""
    draining = Draining(0.0, 0.0)

    assert draining.deadline_s == math.inf
    assert draining == draining.advanced(1e9, workers_alive=alive, control_alive=alive)
