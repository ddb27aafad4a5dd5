"""What the judge is shown: the live bank of both roles, by route."""

from pathlib import Path

from proxy.analysis.values import ALL_ROUTES, Evidence
from proxy.control.evidence import Rate, canary_requests, gather
from proxy.model.judging import Slo
from tests.support.control_room import BASE, ControlRoom

ROUTED = BASE.replace("    rollout:", '    routes: ["GET /a", "POST /b"]\n    rollout:')


def evidence(room: ControlRoom, *slos: Slo) -> Evidence:
    """Gather the evidence of the present epoch."""
    return gather(
        room.governor.slab,
        room.governor.allocation,
        room.governor.steward("shop").wish,
        stable="stable",
        canary="canary",
        epoch=room.epoch(),
        slos=slos,
        baseline=True,
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
    assert canary_requests(seen) == 2


def test_only_named_routes_are_read(tmp_path: Path) -> None:
    """A route is read where an objective names it, all of them for ``each``."""
    room = ControlRoom(tmp_path)
    room.begin(ROUTED)
    room.serve("canary", 3, route=2)

    named = evidence(room, Slo("error_rate", max=0.1, route="POST /b"))
    each = evidence(room, Slo("error_rate", max=0.1, route="each"))

    assert set(named.routes) == {ALL_ROUTES, "POST /b"}
    assert named.routes["POST /b"].canary.codes == {200: 3}
    assert set(each.routes) == {ALL_ROUTES, "GET /a", "POST /b"}
    assert each.routes["GET /a"].canary.codes == {}


def test_rate_looks_back_ten_seconds() -> None:
    """The rate is what came lately, and begins again with an epoch."""
    rate = Rate()

    assert rate.add(1, 0, 0.0) == 0.0
    assert rate.add(1, 50, 5.0) == 10.0
    assert rate.add(1, 50, 20.0) == 0.0
    assert rate.add(2, 7, 21.0) == 0.0
