"""
What the judge is shown of one service: what the live banks gained, by arm and route.

Only routes that an objective names are read beside the whole. What was judged
before is noted in the slab, so a control process that was restarted goes on with
all of it. Nothing is judged here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from proxy.analysis.values import ALL_ROUTES, Evidence, RouteEvidence, Window
from proxy.control.allocation import ARM_CONTROL, Allocation, Wish
from proxy.model.judging import MEASURED, ROUTE_ALL, ROUTE_EACH, Slo
from proxy.telemetry import layout
from proxy.telemetry.added import Added, read_added
from proxy.telemetry.slab import ControlSlab

LOOKS_MIN = 30
"""Looks at units seen again before one of them is said to be the busiest: a few
seconds of traffic that repeats itself."""
FADING = 0.97
"""A second's requests weigh half after 23 seconds."""


@dataclass(frozen=True, slots=True)
class Roles:
    """Who is compared, in which weight epoch."""

    stable: str
    canary: str
    epoch: int
    baseline: bool
    """Stable has live weight."""


def gather(
    slab: ControlSlab,
    allocation: Allocation,
    wish: Wish,
    roles: Roles,
    slos: Iterable[Slo],
) -> Evidence:
    """Return what both roles gained since the last call, and note it as judged."""
    wanted = tuple(slos)
    named = {slo.metric for slo in wanted} - MEASURED
    words = {
        name: allocation.event(wish, name) for name in wish.events if name in named
    }
    stable_cell = allocation.cell(wish, roles.stable)
    canary_cell = allocation.cell(wish, roles.canary)
    control = read_added(slab, allocation.cell(wish, ARM_CONTROL), roles.epoch)
    routes: dict[str, RouteEvidence] = {}
    for route, offset in _routes(wish, wanted):
        stable = read_added(slab, stable_cell + offset, roles.epoch)
        canary = read_added(slab, canary_cell + offset, roles.epoch)
        routes[route] = RouteEvidence(
            _window(stable, words),
            _window(canary, words),
            control.window if route == ALL_ROUTES else None,
        )
    return Evidence(roles.epoch, routes, roles.baseline)


def _window(added: Added, events: dict[str, int]) -> Window:
    """Return a window with the counts of business events, and what was assigned."""
    trials = added.head.get(layout.B_TRIALS, 0)
    counts = {
        name: (added.head.get(layout.B_EVENTS + word, 0), trials)
        for name, word in events.items()
    }
    return replace(added.window, counts=counts, assigned=added.ended)


def _routes(wish: Wish, slos: Iterable[Slo]) -> list[tuple[str, int]]:
    """Return the routes to read and how many cells after the arm's first they lie."""
    named = {slo.route for slo in slos} - {ROUTE_ALL}
    if ROUTE_EACH in named:
        named = set(wish.routes)
    places = [(route, at) for at, route in enumerate(wish.routes, start=1)]
    return [(ALL_ROUTES, 0), *(place for place in places if place[0] in named)]


class Units:
    """
    How much of one version's traffic its busiest unit is, of late.

    Workers look ten times a second which unit was seen again last. How often it
    is the same one, times the part of all requests whose unit was seen again, is
    that unit's part of the traffic.
    """

    __slots__ = ("_all", "_heard", "_routed")

    def __init__(self) -> None:
        self._routed: int | None = None
        self._all = 0.0
        self._heard = 0.0

    def share(self, slab: ControlSlab, cell: int, heard: int) -> float | None:
        """Return the share after ``heard`` more witnesses; ``None``: not known yet."""
        routed = slab.sum_words(cell, layout.C_ROUTED, 1)[0]
        before, self._routed = self._routed, routed
        if before is not None:
            self._all = self._all * FADING + max(routed - before, 0)
            self._heard = self._heard * FADING + heard
        hits: dict[int, int] = {}
        looks = 0
        for worker in range(slab.workers):
            words = slab.cell_words(worker, cell, layout.C_TOP_BUCKET, 3)
            hits[words[0]] = hits.get(words[0], 0) + words[1]
            looks += words[2]
        if looks < LOOKS_MIN or not self._all:
            return None
        again = max(1.0 - self._heard / self._all, 0.0)
        return again * max(hits.values()) / looks
