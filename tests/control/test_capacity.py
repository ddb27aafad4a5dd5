"""Weight follows endpoints and needs a store, from the check to the slab."""

import sqlite3
from pathlib import Path

import pytest

from proxy.control.store import FILE_NAME
from proxy.errors import StoreError
from proxy.model.vocabulary import Phase, Reason
from proxy.rollout.events import Command, Verb
from tests.support.control_room import BASE, ControlRoom

FOUR = ", ".join(f"http://127.0.0.1:{port}" for port in range(9010, 9014))
TEXT = BASE.replace("[http://127.0.0.1:9002]", f"[{FOUR}]").replace(
    "steps: [20, 60, 100]", "steps: [60, 100]"
)


def started(tmp_path: Path) -> ControlRoom:
    """Return a room whose canary, of four endpoints, has 60 %."""
    room = ControlRoom(tmp_path)
    room.begin(TEXT)
    room.clock.now_s += 1
    room.governor.order(room.governor.steward("shop"), Command(Verb.START, "ann"))
    assert room.weights()["canary"] == 60.0
    return room


def test_unhealthy_endpoints_take_weight_and_give_it_back(tmp_path: Path) -> None:
    """One of four carries a quarter of the traffic; healthy again, the step's."""
    room = started(tmp_path)
    steward = room.governor.steward("shop")
    steward.health["canary"], steward.capacity["canary"] = True, 0.25
    room.second()
    assert room.weights()["canary"] == 25.0
    assert steward.state.reason is Reason.CAPACITY_LIMITED

    steward.capacity["canary"] = 1.0
    room.second()
    assert room.weights()["canary"] == 60.0


def test_a_canary_without_an_endpoint_gets_nothing(tmp_path: Path) -> None:
    """It is not given traffic, and the rollout waits for it."""
    room = started(tmp_path)
    steward = room.governor.steward("shop")
    steward.health["canary"], steward.capacity["canary"] = False, 0.0
    room.second()
    assert room.weights() == {"stable": 100.0}
    assert steward.state.phase is Phase.PROGRESSING


def test_endpoints_that_workers_leave_out_count_too(tmp_path: Path) -> None:
    """But all of them failing is a fault of the revision, not a lack of capacity."""
    room = started(tmp_path)
    steward = room.governor.steward("shop")
    steward.ejected["canary"] = 3
    assert steward.carries("canary") == 0.25
    steward.ejected["canary"] = 4
    assert steward.carries("canary") == 0.25
    assert steward.carries("stable") == 1.0


def test_an_unhealthy_stable_does_not_block_the_fix(tmp_path: Path) -> None:
    """Stable fails everything, the canary nothing: the rollout goes on and says so."""
    room = started(tmp_path)
    for _ in range(9):
        room.serve("stable", 100, code=500)
        room.serve("canary", 100)
        room.second()
    assert room.governor.steward("shop").state.phase is Phase.SUCCEEDED
    notes = [one["note"] for one in room.store.decisions("shop")]
    assert "stable itself breaks error_rate-max" in notes


def test_weight_of_a_locked_store_never_rises(tmp_path: Path) -> None:
    """Somebody else holds the file: raises are refused, an abort is carried out."""
    room = started(tmp_path)
    steward = room.governor.steward("shop")
    blocker = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    room.clock.now_s += 1
    with pytest.raises(StoreError, match="locked"):
        room.governor.order(steward, Command(Verb.PROMOTE, "ann"))
    assert room.weights()["canary"] == 60.0
    assert "locked" in room.governor.store_error

    room.governor.order(steward, Command(Verb.ABORT, "ann"))
    assert room.weights() == {"stable": 100.0}
    blocker.execute("ROLLBACK")
    blocker.close()
    room.second()
    assert room.governor.store_error == ""
    assert room.store.load()["shop"].document["rollout"]["phase"] == "RolledBack"
