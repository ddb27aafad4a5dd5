"""
Rates of business metrics over windows, side by side; for show only.

Each window is kept in ``SLOTS`` parts, whatever its length. After a start of
control a run's windows are filled again from its recording.
"""

from collections import deque
from dataclasses import dataclass

from proxy.analysis.values import ALL_ROUTES, Evidence
from proxy.rollout.state import Run

SLOTS = 60
"""Parts of a window: it is shown to a sixtieth of its length."""

Counts = tuple[int, int]
"""Trials with the event, and all trials."""
NOTHING: Counts = (0, 0)


@dataclass(frozen=True, slots=True)
class Rates:
    """An event over one window: each arm's trials with it, and all."""

    window_s: float
    stable: Counts
    canary: Counts
    complete: bool
    """The run is as old as the window."""


class Windows:
    """One run's business metrics over its windows."""

    def __init__(self, run: Run) -> None:
        self.run_id = run.id
        self._began_s = run.started_at_s
        self._slots = {
            (event, window_s): _Slots(window_s)
            for event, windows in run.plan.windows.items()
            for window_s in windows
        }

    def note(self, evidence: Evidence, at_s: float) -> None:
        """Add a second's counts; ``at_s`` is Unix time."""
        arms = evidence.routes[ALL_ROUTES]
        for (event, _), slots in self._slots.items():
            stable = arms.stable.counts.get(event, NOTHING)
            slots.add(at_s, stable, arms.canary.counts.get(event, NOTHING))

    def rates(self, at_s: float) -> dict[str, list[Rates]]:
        """Return the rates by event, the shortest window first."""
        found: dict[str, list[Rates]] = {}
        for (event, window_s), slots in self._slots.items():
            stable, canary = slots.within(at_s)
            complete = at_s - self._began_s >= window_s
            rates = Rates(window_s, stable, canary, complete)
            found.setdefault(event, []).append(rates)
        return found


class _Slots:
    """Counts of the last ``window_s`` seconds in ``SLOTS`` parts."""

    __slots__ = ("_slots", "_width_s", "window_s")

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self._width_s = window_s / SLOTS
        self._slots: deque[tuple[int, list[int]]] = deque(maxlen=SLOTS + 1)

    def add(self, at_s: float, stable: Counts, canary: Counts) -> None:
        """Add counts to the part that ``at_s`` lies in."""
        place = int(at_s / self._width_s)
        if not self._slots or self._slots[-1][0] != place:
            self._slots.append((place, [0, 0, 0, 0]))
        sums = self._slots[-1][1]
        for index, count in enumerate((*stable, *canary)):
            sums[index] += count

    def within(self, at_s: float) -> tuple[Counts, Counts]:
        """Return the sums of stable and canary over the window before ``at_s``."""
        first = int(at_s / self._width_s) - SLOTS
        held = [sums for place, sums in self._slots if place > first]
        sums = [sum(column) for column in zip(*held, strict=True)] or [0, 0, 0, 0]
        return (sums[0], sums[1]), (sums[2], sums[3])
