"""
What the judge is shown of one service: the slab's live banks, by arm and route.

Only routes that an objective names are read beside the whole. The bank of the
present weight epoch *is* the evidence, so a control process that was restarted
goes on with all of it. Nothing is judged here.
"""

from collections import deque
from collections.abc import Iterable

from proxy.analysis.values import ALL_ROUTES, Evidence, RouteEvidence
from proxy.control.allocation import Allocation, Wish
from proxy.model.judging import ROUTE_ALL, ROUTE_EACH, Slo
from proxy.telemetry.cut import Readable, read_bank

RATE_WINDOW_S = 10.0
"""How far back the rate of evidence looks: it answers "how long until"."""
RATE_SAMPLES_MAX = 32
"""One a second over the window, and some for ticks that came early."""


def gather(
    slab: Readable,
    allocation: Allocation,
    wish: Wish,
    *,
    stable: str,
    canary: str,
    epoch: int,
    slos: Iterable[Slo],
    baseline: bool,
) -> Evidence:
    """Return the evidence of both roles in weight epoch ``epoch``."""
    stable_cell = allocation.cell(wish, stable)
    canary_cell = allocation.cell(wish, canary)
    routes = {
        route: RouteEvidence(
            read_bank(slab, stable_cell + offset, epoch).window,
            read_bank(slab, canary_cell + offset, epoch).window,
        )
        for route, offset in _routes(wish, slos)
    }
    return Evidence(epoch, routes, baseline)


def canary_requests(evidence: Evidence) -> int:
    """Return how many finished canary requests the evidence holds."""
    return sum(evidence.routes[ALL_ROUTES].canary.codes.values())


def _routes(wish: Wish, slos: Iterable[Slo]) -> list[tuple[str, int]]:
    """Return the routes to read and how many cells after the arm's first they lie."""
    named = {slo.route for slo in slos} - {ROUTE_ALL}
    if ROUTE_EACH in named:
        named = set(wish.routes)
    places = [(route, at) for at, route in enumerate(wish.routes, start=1)]
    return [(ALL_ROUTES, 0), *(place for place in places if place[0] in named)]


class Rate:
    """How fast evidence comes in, over the last ``RATE_WINDOW_S`` seconds."""

    __slots__ = ("_epoch", "_samples")

    def __init__(self) -> None:
        self._epoch = -1
        self._samples: deque[tuple[float, int]] = deque(maxlen=RATE_SAMPLES_MAX)

    def add(self, epoch: int, count: int, now_s: float) -> float:
        """Note ``count`` requests so far in ``epoch``; return requests a second."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._samples.clear()
        self._samples.append((now_s, count))
        while now_s - self._samples[0][0] > RATE_WINDOW_S:
            self._samples.popleft()
        first_s, first = self._samples[0]
        return (count - first) / (now_s - first_s) if now_s > first_s else 0.0
