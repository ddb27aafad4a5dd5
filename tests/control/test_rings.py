"""Rings from the file to the row that workers read, and back to nothing."""

import json
from pathlib import Path

from proxy.model.vocabulary import Phase
from proxy.rollout.events import Command, SplitOrdered, Verb
from proxy.routing.table import compile_table
from proxy.telemetry.slab import Rings
from tests.support.control_room import BASE, ControlRoom

STEPS = (
    "steps: [{weight: 100, only: {header: {x-env: eu-1}}},"
    " {weight: 50, only: {cookie: {group: beta}}}, 20, 100]"
)
TEXT = BASE.replace("steps: [20, 60, 100]", STEPS)


def room_of(tmp_path: Path) -> ControlRoom:
    """Return a room with a rollout by rings."""
    room = ControlRoom(tmp_path)
    room.begin(TEXT)
    room.clock.now_s += 1.0
    return room


def order(room: ControlRoom, verb: Verb) -> None:
    """Let a person order something, and what waits be written."""
    room.governor.order(room.governor.steward("shop"), Command(verb, "ann"))
    room.clock.now_s += 1.0
    room.governor.watch()


def rings(room: ControlRoom) -> Rings | None:
    """Return what the row says."""
    return room.governor.slab.rings(room.slot())


def test_rings_open_one_after_another_and_stay_open(tmp_path: Path) -> None:
    """The table names them from the start; the row says how many are open."""
    room = room_of(tmp_path)
    table = compile_table(json.dumps(room.tables[-1]).encode())
    assert [ring.bound for ring in table.services[0].rings] == [100_000, 50_000]
    assert rings(room) is None

    seen = []
    for verb in (Verb.START, Verb.PROMOTE, Verb.PROMOTE, Verb.PROMOTE):
        order(room, verb)
        seen.append((room.weights()["canary"], rings(room)))
    assert seen == [
        (100.0, Rings(1, all=False, lid=100_000)),
        (50.0, Rings(2, all=False, lid=100_000)),
        (20.0, Rings(2, all=True, lid=100_000)),
        (100.0, None),
    ]
    assert room.governor.steward("shop").state.phase is Phase.SUCCEEDED


def test_a_lowered_weight_lowers_the_rings_at_once(tmp_path: Path) -> None:
    """By hand, while workers have not yet taken a table."""
    room = room_of(tmp_path)
    order(room, Verb.START)
    room.governor.order(
        room.governor.steward("shop"), SplitOrdered({"canary": 10.0}, "ann")
    )
    room.clock.now_s += 1.0
    room.governor.watch()
    assert rings(room) == Rings(1, all=False, lid=10_000)


def test_an_abort_closes_every_ring(tmp_path: Path) -> None:
    """The canary has nothing, so nobody is in a ring."""
    room = room_of(tmp_path)
    order(room, Verb.START)
    order(room, Verb.ABORT)
    assert room.weights() == {"stable": 100.0}
    assert rings(room) is None


def test_widening_waits_for_the_workers_table(tmp_path: Path) -> None:
    """Also where the number falls: 100 % of a ring to 20 % of all is a raise."""
    room = room_of(tmp_path)
    order(room, Verb.START)
    order(room, Verb.PROMOTE)
    room.follow_tables = False
    room.governor.generation += 1
    order(room, Verb.PROMOTE)
    assert rings(room) == Rings(2, all=False, lid=100_000)


def test_a_ring_is_judged_to_the_next(tmp_path: Path) -> None:
    """All of the ring has the canary; stable is heard outside, in the same seconds."""
    room = room_of(tmp_path)
    order(room, Verb.START)
    for _ in range(12):
        room.serve("stable", 100)
        room.serve("canary", 100)
        room.second()
        if room.weights()["canary"] == 50.0:
            break
    assert rings(room) == Rings(2, all=False, lid=100_000)
