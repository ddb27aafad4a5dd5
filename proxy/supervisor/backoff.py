"""
How long to wait before a child that ended is started again; pure.

A child that ran well and then died is replaced soon, one that dies again and
again is given more and more time, so that a broken start cannot burn a core.
"""

from dataclasses import dataclass

WAIT_FIRST_S = 0.1
WAIT_MAX_S = 5.0
"""A minute of crashes costs 12 starts; an operator sees the repair within 5 s."""
WORKER_WELL_S = 2.0
"""
A worker that ran so long is replaced at once. Any longer, and a worker lost
every few seconds (the OOM killer, a person) would leave fewer and fewer alive.
"""
CONTROL_WELL_S = 10.0
"""Control costs more to start, and traffic does not wait for it."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """
    The deaths of one child that came soon after its start.

    ``free`` of them cost no wait; ``well_s`` of life wipe all out.
    """

    well_s: float
    free: int
    deaths: int = 0

    def after_death(self, alive_s: float) -> "Backoff":
        """Return what holds after a death ``alive_s`` seconds after its start."""
        deaths = 1 if alive_s >= self.well_s else self.deaths + 1
        return Backoff(self.well_s, self.free, deaths)

    @property
    def wait_s(self) -> float:
        """Seconds from the last death to the next start, 0 to ``WAIT_MAX_S``."""
        doublings = self.deaths - self.free - 1
        if doublings < 0:
            return 0.0
        return float(min(WAIT_FIRST_S * 2 ** min(doublings, 16), WAIT_MAX_S))


def worker_backoff() -> Backoff:
    """Return the back-off of a worker: the first replacement comes at once."""
    return Backoff(WORKER_WELL_S, free=1)


def control_backoff() -> Backoff:
    """Return the back-off of control."""
    return Backoff(CONTROL_WELL_S, free=0)
