"""What the judge is shown: the live bank of both roles, by route."""

from pathlib import Path

import pytest

from proxy.analysis.values import ALL_ROUTES, Evidence
from proxy.control.allocation import ARM_CONTROL
from proxy.control.evidence import Roles, Units, gather
from proxy.model.buckets import lower_edge_us
from proxy.model.judging import Slo
from proxy.rollout.events import Command, Verb
from proxy.telemetry import layout
from tests.support.control_room import BASE, ControlRoom

ROUTED = BASE.replace("    rollout:", '    routes: ["GET /a", "POST /b"]\n    rollout:')


def evidence(room: ControlRoom, *slos: Slo) -> Evidence:
    """Gather the evidence of the present epoch."""
    return gather(
        room.governor.slab,
        room.governor.allocation,
        room.governor.steward("shop").wish,
        Roles("stable", "canary", room.epoch(), baseline=True),
        slos,
    )


def test_both_roles_are_summed_over_workers(tmp_path: Path) -> None:
    """Evidence is what all workers counted in the live epoch."""
    room = ControlRoom(tmp_path)
    room.begin()
    room.serve("stable", 5, worker=0)
    room.serve("stable", 6, worker=1)
    room.serve("canary", 2, code=503)

    seen = evidence(room)

    arms = seen.routes[ALL_ROUTES]
    assert arms.stable.codes == {200: 11}
    assert arms.canary.codes == {503: 2}
    assert arms.canary.latency == {}
    assert sum(arms.canary.censored.values()) == 2
    assert arms.canary.assigned == 2
    assert evidence(room).routes[ALL_ROUTES].canary.codes == {}


def test_only_named_routes_are_read(tmp_path: Path) -> None:
    """A route is read where an objective names it, all of them for ``each``."""
    room = ControlRoom(tmp_path)
    room.begin(ROUTED)
    room.serve("canary", 3, route=2)

    named = evidence(room, Slo("error_rate", max=0.1, route="POST /b"))
    room.serve("canary", 4, route=2)
    each = evidence(room, Slo("error_rate", max=0.1, route="each"))

    assert set(named.routes) == {ALL_ROUTES, "POST /b"}
    assert named.routes["POST /b"].canary.codes == {200: 3}
    assert set(each.routes) == {ALL_ROUTES, "GET /a", "POST /b"}
    assert each.routes["GET /a"].canary.codes == {}
    assert each.routes["POST /b"].canary.codes == {200: 4}


def test_events_are_counted_where_an_objective_names_them(tmp_path: Path) -> None:
    """A business event is hits in trials; nobody's objective reads nothing."""
    text = BASE.replace(
        "    rollout:",
        "    events: {orders: {when: {path_prefix: /o, status: 2xx}}}\n    rollout:",
    )
    room = ControlRoom(tmp_path)
    room.begin(text)
    room.order("canary", 3, trials=40)

    seen = evidence(room, Slo("orders", min_ratio=0.95))

    assert seen.routes[ALL_ROUTES].canary.counts == {"orders": (3, 40)}
    assert evidence(room).routes[ALL_ROUTES].canary.counts == {}


def test_the_slice_of_stable_is_read(tmp_path: Path) -> None:
    """Stable can be held against a random part of itself."""
    room = ControlRoom(tmp_path)
    room.begin()
    allocation, wish = room.governor.allocation, room.governor.steward("shop").wish
    bank = layout.cell_offset(allocation.cell(wish, ARM_CONTROL))
    bank += layout.bank_offset(room.epoch())
    room.workers[1].words[bank + layout.B_CODES + 200] += 7

    control = evidence(room).routes[ALL_ROUTES].control

    assert control is not None
    assert control.codes == {200: 7}


def test_a_busy_unit_is_a_part_of_the_traffic(tmp_path: Path) -> None:
    """Half of the requests came again, all of them of one unit: it is a half."""
    room = ControlRoom(tmp_path)
    room.begin()
    cell = room.governor.allocation.cell(room.governor.steward("shop").wish, "canary")
    units = Units()
    assert units.share(room.governor.slab, cell, 0) is None
    words, at = room.workers[0].words, layout.cell_offset(cell)
    words[at + layout.C_ROUTED] += 100
    words[at + layout.C_TOP_BUCKET] = 4711
    words[at + layout.C_TOP_HITS] = 60
    words[at + layout.C_TOP_LOOKS] = 60

    share = units.share(room.governor.slab, cell, 50)

    assert share == pytest.approx(0.5)


def test_workers_are_told_what_is_slow(tmp_path: Path) -> None:
    """Stable's p99 of late: a unit whose answer takes longer is silent for a while."""
    room = ControlRoom(tmp_path)
    room.begin()
    start = Command(Verb.START, "ann")
    room.governor.order(room.governor.steward("shop"), start)
    word = layout.service_base(room.slot()) + layout.S_SLOW
    assert room.workers[0].shared[word] == 0

    for _ in range(8):
        room.serve("stable", 95, latency_us=10_000)
        room.serve("stable", 5, latency_us=80_000)
        room.serve("canary", 20, latency_us=300_000)
        room.second()

    slow_us = lower_edge_us(room.workers[0].shared[word])
    assert 80_000 <= slow_us <= 80_000 * 1.04
