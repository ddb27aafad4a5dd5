"""
Business events that are pushed by the API join the evidence here.

A push may come late, and after a weight was raised late events are still of the
old weights: until the shortest window has passed since, the canary's trials
count only as far as the old weights would have brought them, so that lateness
never looks like harm. After a start of control nothing is known of the weights
before, and that long nothing pushed is judged.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace

from proxy.analysis.values import ALL_ROUTES, Evidence, Window
from proxy.rollout.state import Run

LATE_S = 60.0
"""How late a push may come where the event has no window."""
CHANGES_MAX = 256
"""Weight changes remembered a service; more within one window are no rollout's."""

Counts = tuple[int, int]
"""Trials with the event, and all trials."""
Pushed = Mapping[str, Mapping[str, int]]
"""Events pushed since ever, by version and event."""


class Pushes:
    """What was pushed, and the weights it may be of, service by service."""

    def __init__(self) -> None:
        self._before: dict[str, dict[str, dict[str, int]]] = {}
        self._ratios: dict[str, deque[tuple[float, float]]] = {}

    def forget(self, service: str) -> None:
        """Let go of a service."""
        self._before.pop(service, None)
        self._ratios.pop(service, None)

    def join(
        self,
        service: str,
        run: Run,
        evidence: Evidence,
        pushed: Pushed,
        *,
        ratio: float,
        now_s: float,
    ) -> Evidence:
        """
        Return the evidence with what was pushed since the last call.

        ``ratio`` is the canary's share of the traffic over stable's (infinite
        where stable has none), ``now_s`` any clock that only grows.
        """
        ratios = self._noted(service, ratio, now_s)
        added = self._added(service, pushed)
        arms = evidence.routes[ALL_ROUTES]
        stable, canary = dict(arms.stable.counts), dict(arms.canary.counts)
        changed = False
        for event in sorted(canary.keys() & stable.keys()):
            if not any(events.get(event) for events in pushed.values()):
                continue
            changed = True
            late_s = min(run.plan.windows.get(event, ()), default=LATE_S)
            lowest = _lowest(ratios, now_s - late_s)
            stable[event], canary[event] = _joined(
                _more(stable[event], added, run.stable, event),
                _more(canary[event], added, run.canary, event),
                1.0 if lowest == ratio else lowest / ratio,
            )
        if not changed:
            return evidence
        whole = replace(
            arms, stable=_with(arms.stable, stable), canary=_with(arms.canary, canary)
        )
        return replace(evidence, routes={**evidence.routes, ALL_ROUTES: whole})

    def _noted(
        self, service: str, ratio: float, now_s: float
    ) -> deque[tuple[float, float]]:
        """Note the shares of this moment; the first ones may be seconds old."""
        ratios = self._ratios.setdefault(service, deque([(0.0, 0.0)], CHANGES_MAX))
        if ratios[-1][1] != ratio:
            ratios.append((now_s, ratio))
        return ratios

    def _added(self, service: str, pushed: Pushed) -> dict[tuple[str, str], int]:
        """Return what was pushed since the last call, by version and event."""
        now = {version: dict(events) for version, events in pushed.items()}
        before = self._before.get(service, now)
        self._before[service] = now
        return {
            (version, event): count - before.get(version, {}).get(event, 0)
            for version, events in now.items()
            for event, count in events.items()
        }


def _lowest(ratios: deque[tuple[float, float]], since_s: float) -> float:
    """Return the lowest ratio that was in force since then."""
    lowest = ratios[-1][1]
    for at_s, ratio in reversed(ratios):
        lowest = min(lowest, ratio)
        if at_s <= since_s:
            break
    return lowest


def _more(
    counts: Counts, added: Mapping[tuple[str, str], int], version: str, event: str
) -> Counts:
    return counts[0] + added.get((version, event), 0), counts[1]


def _joined(stable: Counts, canary: Counts, part: float) -> tuple[Counts, Counts]:
    """Return both arms' counts where only ``part`` of the canary's trials count."""
    if part <= 0.0:
        return (0, 0), (0, 0)
    return stable, (canary[0], int(canary[1] * part))


def _with(window: Window, counts: dict[str, Counts]) -> Window:
    return replace(window, counts=counts)
